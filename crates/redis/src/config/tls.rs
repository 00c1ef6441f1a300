//! Trusted certificate authorities for TLS.

use std::path::Path;
use std::sync::Arc;

use fred::rustls::crypto::ring;
use fred::rustls::pki_types::CertificateDer;
use fred::rustls::pki_types::pem::PemObject;
use fred::rustls::{ClientConfig, RootCertStore};
use fred::rustls_native_certs::load_native_certs;
use fred::types::config::{TlsConfig, TlsConnector};

use super::ConfigError;

/// TLS that trusts the authority in the file, or those of the system if there is no file.
pub(super) fn connector(authority: Option<&Path>) -> Result<TlsConfig, ConfigError> {
    let roots = match authority {
        Some(path) => from_file(path)?,
        None => from_system()?,
    };
    // The provider is explicit, so that it doesn't depend on the other crates of the program.
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| ConfigError::Tls(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(config).into())
}

fn from_file(path: &Path) -> Result<RootCertStore, ConfigError> {
    let unusable = |detail: String| ConfigError::Authority { path: path.to_owned(), detail };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))? {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() { Err(unusable("there is no certificate in it".to_owned())) } else { Ok(roots) }
}

fn from_system() -> Result<RootCertStore, ConfigError> {
    let mut roots = RootCertStore::empty();
    // An unreadable certificate must not prevent the use of the others.
    roots.add_parsable_certificates(load_native_certs().certs);
    if roots.is_empty() {
        return Err(ConfigError::Tls(
            "the system has no certificate authorities; name one with ?ca=/path.pem".to_owned(),
        ));
    }
    Ok(roots)
}
