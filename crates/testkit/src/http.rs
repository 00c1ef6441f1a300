//! Requests to a test's own servers.

use reqwest::{Client, ClientBuilder};
use rustls::crypto::ring;

/// A client for the test's own servers: a proxy named by the environment has no business in between.
pub fn http_client() -> ClientBuilder {
    // Where a program under test brings TLS into reqwest, each client wants a provider of it, whatever it is used for. One
    // that was installed before is as good.
    let _ = ring::default_provider().install_default();
    Client::builder().no_proxy()
}
