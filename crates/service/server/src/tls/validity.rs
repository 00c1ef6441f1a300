//! The validity period of a certificate (RFC 5280, 4.1.2.5).
//!
//! The server needs only this field, at a fixed place in the DER. Clients check the rest.

use chrono::{DateTime, TimeDelta, Utc};

/// How long before the expiry of a certificate a warning is logged. Automatic renewal has usually
/// happened by then.
const SOON: TimeDelta = TimeDelta::days(14);

const SEQUENCE: u8 = 0x30;
/// The version, which is absent in version 1.
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Returns the warning about the validity period. `None` also for a certificate that cannot be
/// parsed: clients will report it.
pub(super) fn warning(certificate: &[u8], now: DateTime<Utc>) -> Option<String> {
    let (begin, end) = of(certificate)?;
    // Texts of one format sort like their times.
    let text = |time: DateTime<Utc>| time.format("%Y%m%d%H%M%S").to_string();
    let day = |time: &str| time.get(..8).map(|day| format!("{}-{}-{}", &day[..4], &day[4..6], &day[6..]));
    if end < text(now) {
        Some(format!("has expired on {}", day(&end)?))
    } else if end < text(now + SOON) {
        Some(format!("expires on {}", day(&end)?))
    } else if begin > text(now) {
        Some(format!("is not valid before {}", day(&begin)?))
    } else {
        None
    }
}

/// Returns both times as `YYYYMMDDHHMMSS`.
fn of(certificate: &[u8]) -> Option<(String, String)> {
    let (_, certificate, _) = element(certificate).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (_, mut rest, _) = element(certificate).filter(|(tag, ..)| *tag == SEQUENCE)?;
    if let (VERSION, _, behind) = element(rest)? {
        rest = behind;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (_, validity, _) = element(rest).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (tag, begin, rest) = element(validity)?;
    let begin = time(tag, begin)?;
    let (tag, end, _) = element(rest)?;
    Some((begin, time(tag, end)?))
}

fn time(tag: u8, text: &[u8]) -> Option<String> {
    let digits = text.strip_suffix(b"Z").filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    let digits = std::str::from_utf8(digits).ok()?;
    match (tag, digits.len()) {
        (UTC_TIME, 12) => Some(format!("{}{digits}", if digits < "50" { "20" } else { "19" })),
        (GENERALIZED_TIME, 14) => Some(digits.to_owned()),
        _ => None,
    }
}

/// Returns tag and content of the first element, and the bytes after it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f)).filter(|(bytes, _)| bytes.len() <= 4)?;
        (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
    };
    let (content, behind) = rest.split_at_checked(length)?;
    Some((tag, content, behind))
}

#[cfg(test)]
mod tests {
    use chrono::Days;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    /// Returns the warning at noon, that many days after 2030-01-01.
    fn told(begin: (i32, u8, u8), end: (i32, u8, u8), day: u64) -> Option<String> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(begin.0, begin.1, begin.2);
        params.not_after = date_time_ymd(end.0, end.1, end.2);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let begin: DateTime<Utc> = "2030-01-01T12:00:00Z".parse().unwrap();
        warning(certificate.der(), begin + Days::new(day))
    }

    #[test]
    fn what_has_expired_or_soon_will_is_told() {
        let told = |end, day| told((2029, 1, 1), end, day);
        assert_eq!(told((2031, 1, 1), 0), None);
        assert_eq!(told((2030, 2, 1), 0), None);
        assert_eq!(told((2030, 2, 1), 20).as_deref(), Some("expires on 2030-02-01"));
        assert_eq!(told((2030, 2, 1), 31).as_deref(), Some("has expired on 2030-02-01"));
        assert_eq!(told((2051, 2, 1), 31), None, "another form of time");
    }

    #[test]
    fn what_does_not_count_yet_is_told() {
        assert_eq!(told((2030, 3, 1), (2031, 1, 1), 0).as_deref(), Some("is not valid before 2030-03-01"));
    }

    #[test]
    fn what_is_no_certificate_is_left_to_others() {
        let now = "2030-01-01T12:00:00Z".parse().unwrap();
        for bytes in [&b""[..], b"\x30", b"\x30\x84\xff\xff\xff\xff", b"\x30\x02\x30\x00", &[0x30; 64], &[0xff; 64]] {
            assert_eq!(warning(bytes, now), None);
        }
    }
}
