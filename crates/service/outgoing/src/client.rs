//! Requests that a node makes to others.

use std::sync::Arc;

use reqwest::{Client, ClientBuilder, redirect};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};

/// A client that goes where it is told and nowhere else: by no proxy that the environment names, and after no redirect.
/// Over TLS it believes the authorities of the system.
///
/// # Errors
///
/// When TLS can't be had.
pub fn client() -> Result<ClientBuilder, rustls::Error> {
    let mut roots = RootCertStore::empty();
    // One certificate that can't be read is no reason to do without the others.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    // The provider is named, so that it doesn't depend on what else is linked into the program.
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let builder = Client::builder().no_proxy().redirect(redirect::Policy::none());
    Ok(builder.tls_backend_preconfigured(tls).user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION"))))
}
