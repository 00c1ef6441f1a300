//! The HTTP client of a node.

use std::sync::Arc;

use reqwest::{Client, ClientBuilder, redirect};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};

/// Returns the builder of a client that uses no proxy from the environment and follows no
/// redirects. For TLS it trusts the certificate authorities of the system.
///
/// # Errors
///
/// Fails if TLS can't be set up.
pub fn client() -> Result<ClientBuilder, rustls::Error> {
    let mut roots = RootCertStore::empty();
    // A certificate that can't be parsed must not prevent the use of the others.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    // The provider is explicit, so that it does not depend on which crates are linked.
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let builder = Client::builder().no_proxy().redirect(redirect::Policy::none());
    Ok(builder.tls_backend_preconfigured(tls).user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION"))))
}
