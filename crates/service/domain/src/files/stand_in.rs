//! A bucket of a server on this machine, for tests.

use object_store::aws::AmazonS3Builder;
use object_store::path::Path;

use super::Files;

/// Its address, with that key.
pub(super) fn builder(port: u16, key: &str, secret: &str) -> AmazonS3Builder {
    AmazonS3Builder::new()
        .with_endpoint(format!("http://127.0.0.1:{port}"))
        .with_region("eu-central-1")
        .with_access_key_id(key)
        .with_secret_access_key(secret)
}

impl Files {
    /// Files in a bucket of the server at that port, with that key and its secret.
    ///
    /// # Panics
    ///
    /// When they can't be used.
    pub fn in_stand_in(port: u16, bucket: &str, (key, secret): (&str, &str)) -> Self {
        let builder = builder(port, key, secret).with_allow_http(true);
        let prefix = Path::parse("some/where").expect("a path");
        Self::in_bucket(builder, bucket, &prefix).expect("a bucket")
    }
}
