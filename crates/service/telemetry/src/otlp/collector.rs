//! The client for the collector.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use reqwest::{Client, Url};
use tidegate_base::LogThrottle;
use tidegate_perfmon::OperationHandle;
use tidegate_settings::OtlpSettings;

/// Timeout of a connection.
const CONNECT: Duration = Duration::from_secs(3);
/// Timeout of a whole message.
const SEND: Duration = Duration::from_secs(10);
/// Maximum number of bytes that are read of an answer. A longer one has no useful content.
const ANSWER: usize = 64 << 10;
/// Interval between log lines about a collector that is unreachable.
const COMPLAINT: Duration = Duration::from_secs(60);

/// Kind of a message.
#[derive(Debug, Clone, Copy)]
pub(super) enum Signal {
    Traces,
    Metrics,
}

impl Signal {
    const fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
        }
    }
}

/// The configured collector can't be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("otlp.endpoint: {0}")]
    Endpoint(String),
    #[error("otlp.headers: one of them is not a valid header")]
    Headers,
    #[error("the client for the collector can't be created: {0}")]
    Client(String),
}

/// The collector did not accept a message.
#[derive(Debug, thiserror::Error)]
enum NotTaken {
    #[error("{}", chain(.0))]
    Unreachable(reqwest::Error),
    #[error("the collector answered {0}")]
    Refused(StatusCode),
}

/// Sends messages, each one once.
pub(super) struct Collector {
    client: Client,
    traces: Url,
    metrics: Url,
    complaints: LogThrottle,
    sending: Arc<OperationHandle>,
}

impl Collector {
    /// `sending` records the duration of each message, up to the end of the answer.
    pub(super) fn new(settings: &OtlpSettings, sending: Arc<OperationHandle>) -> Result<Self, Unusable> {
        let url = |path: &str| {
            let url = format!("{}{path}", settings.endpoint.reveal().trim_end_matches('/'));
            url.parse::<Url>().map_err(|error| Unusable::Endpoint(error.to_string()))
        };
        let (traces, metrics) = (url("/v1/traces")?, url("/v1/metrics")?);
        let client = tidegate_outgoing::client()
            .map_err(|error| Unusable::Client(error.to_string()))?
            .default_headers(headers(settings)?)
            .connect_timeout(CONNECT)
            .timeout(SEND)
            .build()
            .map_err(|error| Unusable::Client(chain(&error)))?;
        Ok(Self { client, traces, metrics, complaints: LogThrottle::new(COMPLAINT), sending })
    }

    /// Sends a message and returns the beginning of the answer. Errors are logged once a minute.
    pub(super) async fn send(&self, signal: Signal, message: Vec<u8>) -> Result<Vec<u8>, ()> {
        self.sending.measure_result(self.try_send(signal, message)).await.map_err(|error| {
            if let Some(unlogged) = self.complaints.count() {
                let signal = signal.name();
                tracing::warn!(%error, signal, unlogged, "the collector of otlp.endpoint did not accept the data");
            }
        })
    }

    async fn try_send(&self, signal: Signal, message: Vec<u8>) -> Result<Vec<u8>, NotTaken> {
        let url = match signal {
            Signal::Traces => &self.traces,
            Signal::Metrics => &self.metrics,
        };
        let unreachable = |error: reqwest::Error| NotTaken::Unreachable(error.without_url());
        let mut answer = self.client.post(url.clone()).body(message).send().await.map_err(unreachable)?;
        if !answer.status().is_success() {
            return Err(NotTaken::Refused(answer.status()));
        }
        let mut beginning = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(unreachable)? {
            if beginning.len() + piece.len() > ANSWER {
                return Ok(Vec::new());
            }
            beginning.extend_from_slice(&piece);
        }
        Ok(beginning)
    }
}

/// Returns the configured headers (`name=value`, separated by commas) and the content type.
fn headers(settings: &OtlpSettings) -> Result<HeaderMap, Unusable> {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    let Some(secret) = &settings.headers else { return Ok(headers) };
    for pair in secret.reveal().split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or(Unusable::Headers)?;
        let name = HeaderName::try_from(name.trim()).map_err(|_| Unusable::Headers)?;
        let mut value = HeaderValue::try_from(value.trim()).map_err(|_| Unusable::Headers)?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

/// Formats an error with its causes: the client's own message is only "error sending request".
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words
}
