//! Requests to a test's own servers.

use reqwest::{Client, ClientBuilder};
use rustls::crypto::ring;

/// A client for the test's own servers. It ignores proxies that are set in the environment.
pub fn http_client() -> ClientBuilder {
    // If a program under test enables TLS in reqwest, each client needs a crypto provider. Fails if
    // one is already installed, which is fine.
    let _ = ring::default_provider().install_default();
    Client::builder().no_proxy()
}
