//! Certificates that are trusted.

use std::path::Path;

use reqwest::{Certificate, ClientBuilder, Url};
use rustls::crypto::ring;

use crate::failure::Failure;

/// Has a client trust the authorities of the system, or those of a file alone.
pub(super) fn trusting(
    builder: ClientBuilder,
    base: &Url,
    authorities: Option<&Path>,
) -> Result<ClientBuilder, Failure> {
    // One that was installed before is as good.
    let _ = ring::default_provider().install_default();
    let Some(file) = authorities else {
        // Reading the system's authorities takes longer than a request: only HTTPS needs them.
        let is_tls = base.scheme() == "https";
        return Ok(if is_tls { builder } else { builder.tls_certs_only([]) });
    };
    let bad = |reason: &dyn std::fmt::Display| Failure::usage(format!("--ca {}: {reason}", file.display()));
    let pem = std::fs::read(file).map_err(|error| bad(&error))?;
    let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| bad(&error))?;
    if certificates.is_empty() {
        return Err(bad(&"holds no certificate in PEM"));
    }
    Ok(builder.tls_certs_only(certificates))
}
