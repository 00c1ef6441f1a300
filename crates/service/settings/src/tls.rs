//! The server's own certificate.

use std::path::PathBuf;

use crate::error::SettingsError;
use crate::reader::Reader;
use crate::setting::{Setting, setting};

pub(crate) const SETTINGS: &[Setting] = &[
    setting(
        "tls.certificate",
        "TIDEGATE_TLS_CERTIFICATE",
        None,
        "PEM file with the server certificate and its chain; setting it and tls.key enables HTTPS and disables plain HTTP",
    ),
    setting("tls.key", "TIDEGATE_TLS_KEY", None, "PEM file with the private key of the certificate, not encrypted"),
];

/// The files of the API's certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// PEM file with the certificate and its chain.
    pub certificate: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

/// With only one of the two, the server would serve plain HTTP although the operator wants TLS.
pub(crate) fn tls(raw: &Reader<'_>) -> Result<Option<TlsSettings>, SettingsError> {
    let path = |key| raw.text(key).map(|(text, _)| PathBuf::from(text));
    match (path("tls.certificate"), path("tls.key")) {
        (Some(certificate), Some(key)) => Ok(Some(TlsSettings { certificate, key })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(raw.invalid("tls.certificate", "requires tls.key (TIDEGATE_TLS_KEY) too".to_owned())),
        (None, Some(_)) => {
            Err(raw.invalid("tls.key", "requires tls.certificate (TIDEGATE_TLS_CERTIFICATE) too".to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::test_ground::check_with;

    #[test]
    fn a_certificate_and_its_key_are_set_together() {
        let (certificate, key) = (("TIDEGATE_TLS_CERTIFICATE", "chain.pem"), ("TIDEGATE_TLS_KEY", "key.pem"));
        assert_eq!(check_with(&[]).unwrap().tls, None);
        let both = check_with(&[certificate, key]).unwrap().tls.unwrap();
        assert_eq!((both.certificate.as_path(), both.key.as_path()), (Path::new("chain.pem"), Path::new("key.pem")));
        let missing = |set| check_with(&[set]).unwrap_err().to_string();
        assert!(missing(certificate).contains("requires tls.key (TIDEGATE_TLS_KEY)"), "{}", missing(certificate));
        assert!(missing(key).contains("requires tls.certificate (TIDEGATE_TLS_CERTIFICATE)"), "{}", missing(key));
    }
}
