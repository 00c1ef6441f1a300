//! The client of a bucket: its timeouts, its retries and its TLS.

use std::time::Duration;

use object_store::RetryConfig;
use object_store::aws::AmazonS3Builder;
use object_store::client::{ClientConfigKey, ClientOptions, HttpClient, HttpConnector};

/// How long a connection to S3 may take, and how long a response may make no progress.
const CONNECT: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(30);
/// How often the S3 client itself retries. If a job still fails, the queue retries it later.
const TRIES: usize = 3;
const TRYING: Duration = Duration::from_secs(60);

/// Applies the timeouts and the HTTP client of this program.
pub(super) fn with_client(builder: AmazonS3Builder) -> AmazonS3Builder {
    let retry = RetryConfig { max_retries: TRIES, retry_timeout: TRYING, ..RetryConfig::default() };
    builder.with_retry(retry).with_http_connector(Outgoing)
}

/// Connects to S3 like all other outgoing connections of this program: with one TLS provider, and
/// without a proxy from the environment.
#[derive(Debug)]
struct Outgoing;

impl HttpConnector for Outgoing {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient, object_store::Error> {
        let failed = |source| object_store::Error::Generic { store: "S3", source };
        let builder = tidegate_outgoing::client().map_err(|error| failed(error.into()))?;
        // `AWS_ALLOW_HTTP`: without TLS every machine on the path can read along. The address that
        // serves a machine's own credentials permits plain HTTP by itself.
        let allows_http = options.get_config_value(&ClientConfigKey::AllowHttp).is_some_and(|said| said == "true");
        let client = builder.https_only(!allows_http).connect_timeout(CONNECT).read_timeout(SILENCE).build();
        Ok(HttpClient::new(client.map_err(|error| failed(error.into()))?))
    }
}
