//! The validity period of a certificate (RFC 5280, 4.1.2.5). Clients check the rest.

use chrono::{DateTime, TimeDelta, Utc};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

/// How long before the expiry of a certificate a warning is logged. Automatic renewal has usually
/// happened by then.
const SOON: TimeDelta = TimeDelta::days(14);

/// Returns the warning about the validity period. `None` also for a certificate that cannot be
/// parsed: clients will report it.
pub(super) fn warning(certificate: &[u8], now: DateTime<Utc>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let validity = certificate.validity();
    let (begin, end) = (time(validity.not_before)?, time(validity.not_after)?);
    if end < now {
        Some(format!("has expired on {}", end.format("%F")))
    } else if end < now + SOON {
        Some(format!("expires on {}", end.format("%F")))
    } else if begin > now {
        Some(format!("is not valid before {}", begin.format("%F")))
    } else {
        None
    }
}

fn time(time: ASN1Time) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(time.timestamp(), 0)
}

#[cfg(test)]
mod tests {
    use chrono::Days;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    /// Returns the warning at noon, `day` days after 2030-01-01.
    fn warning_after(begin: (i32, u8, u8), end: (i32, u8, u8), day: u64) -> Option<String> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(begin.0, begin.1, begin.2);
        params.not_after = date_time_ymd(end.0, end.1, end.2);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let begin: DateTime<Utc> = "2030-01-01T12:00:00Z".parse().unwrap();
        warning(certificate.der(), begin + Days::new(day))
    }

    #[test]
    fn an_expired_or_expiring_certificate_gets_a_warning() {
        let warning = |end, day| warning_after((2029, 1, 1), end, day);
        assert_eq!(warning((2031, 1, 1), 0), None);
        assert_eq!(warning((2030, 2, 1), 0), None);
        assert_eq!(warning((2030, 2, 1), 20).as_deref(), Some("expires on 2030-02-01"));
        assert_eq!(warning((2030, 2, 1), 31).as_deref(), Some("has expired on 2030-02-01"));
        assert_eq!(warning((2051, 2, 1), 31), None, "another form of time");
    }

    #[test]
    fn a_certificate_that_is_not_valid_yet_gets_a_warning() {
        assert_eq!(warning_after((2030, 3, 1), (2031, 1, 1), 0).as_deref(), Some("is not valid before 2030-03-01"));
    }

    #[test]
    fn bytes_that_are_no_certificate_get_no_warning() {
        let now = "2030-01-01T12:00:00Z".parse().unwrap();
        for bytes in [&b""[..], b"\x30", b"\x30\x84\xff\xff\xff\xff", b"\x30\x02\x30\x00", &[0x30; 64], &[0xff; 64]] {
            assert_eq!(warning(bytes, now), None);
        }
    }
}
