//! A bucket on a local test server.

use object_store::aws::AmazonS3Builder;
use object_store::path::Path;

use super::Files;

/// Returns a builder with the server's address and that key.
pub(super) fn builder(port: u16, key: &str, secret: &str) -> AmazonS3Builder {
    AmazonS3Builder::new()
        .with_endpoint(format!("http://127.0.0.1:{port}"))
        .with_region("eu-central-1")
        .with_access_key_id(key)
        .with_secret_access_key(secret)
}

impl Files {
    /// Opens files in a bucket of the server at that port, with that key and its secret.
    ///
    /// # Panics
    ///
    /// If the bucket cannot be used.
    pub fn in_stand_in(port: u16, bucket: &str, (key, secret): (&str, &str)) -> Self {
        let builder = builder(port, key, secret).with_allow_http(true);
        let prefix = Path::parse("some/where").expect("a path");
        Self::in_bucket(builder, bucket, &prefix).expect("a bucket")
    }
}
