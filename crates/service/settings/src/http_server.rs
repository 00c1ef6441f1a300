//! The HTTP server.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::error::SettingsError;
use crate::reader::Reader;
use crate::setting::{Setting, setting};

pub(crate) const SETTINGS: &[Setting] = &[
    setting("http.max_body", "TIDEGATE_HTTP_MAX_BODY", Some("1MiB"), "maximum size of a JSON body"),
    setting("http.max_import", "TIDEGATE_HTTP_MAX_IMPORT", Some("64MiB"), "maximum size of an import"),
    setting(
        "http.request_timeout",
        "TIDEGATE_HTTP_REQUEST_TIMEOUT",
        Some("30s"),
        "timeout of a request, which then gets a 503",
    ),
    setting("http.upload_timeout", "TIDEGATE_HTTP_UPLOAD_TIMEOUT", Some("1h"), "timeout of a whole upload"),
    setting(
        "http.header_timeout",
        "TIDEGATE_HTTP_HEADER_TIMEOUT",
        Some("10s"),
        "maximum time for a whole request head to arrive before the connection is closed",
    ),
    setting(
        "http.write_timeout",
        "TIDEGATE_HTTP_WRITE_TIMEOUT",
        Some("30s"),
        "how long a client may read nothing of its response before it is cut off",
    ),
    setting(
        "http.max_connections",
        "TIDEGATE_HTTP_MAX_CONNECTIONS",
        Some("10000"),
        "maximum number of open connections; beyond it the one that has been idle longest is closed",
    ),
    setting(
        "http.max_connections_per_address",
        "TIDEGATE_HTTP_MAX_CONNECTIONS_PER_ADDRESS",
        Some("512"),
        "maximum number of open connections per client address; further ones are closed as they arrive; trusted proxies are not counted",
    ),
    setting(
        "http.max_in_flight",
        "TIDEGATE_HTTP_MAX_IN_FLIGHT",
        Some("1024"),
        "maximum number of requests in flight; further ones get a 503 immediately; streams and requests that wait for their body don't count",
    ),
    setting(
        "http.min_rate",
        "TIDEGATE_HTTP_MIN_RATE",
        Some("512B"),
        "minimum rate per second at which a client sends a body and reads a response, after 10 s of waiting; 0B: none",
    ),
    setting(
        "http.compress_above",
        "TIDEGATE_HTTP_COMPRESS_ABOVE",
        Some("1KiB"),
        "minimum size of responses that are compressed for clients that accept gzip, br or zstd; 0: none",
    ),
    setting(
        "http.access_log",
        "TIDEGATE_HTTP_ACCESS_LOG",
        Some("sampled"),
        "`full`: one log line per request; `sampled`: for a share of them and each that failed; `off`: none",
    ),
    setting(
        "http.access_log_sample",
        "TIDEGATE_HTTP_ACCESS_LOG_SAMPLE",
        Some("0.01"),
        "share of requests in a sampled access log",
    ),
    setting(
        "http.drain_delay",
        "TIDEGATE_HTTP_DRAIN_DELAY",
        Some("0s"),
        "how long a shutdown still serves requests while /readyz returns 503, so that load balancers see it",
    ),
    setting(
        "http.drain_timeout",
        "TIDEGATE_HTTP_DRAIN_TIMEOUT",
        Some("20s"),
        "how long a shutdown then waits for requests in flight before it cuts them off",
    ),
];

/// Which requests appear in the access log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AccessLogSettings {
    /// None.
    Off,
    /// This share of the requests, and each one that failed.
    Sampled(f64),
    /// All.
    Full,
}

/// Settings of the HTTP server.
#[derive(Debug, Clone, Copy)]
pub struct HttpSettings {
    /// Maximum size of a JSON body in bytes.
    pub max_body: usize,
    /// Maximum size of an import in bytes.
    pub max_import: u64,
    /// Timeout of a request, which then gets a 503. For an upload it applies to each received
    /// piece.
    pub request_timeout: Duration,
    /// Timeout of a whole upload.
    pub upload_timeout: Duration,
    /// Maximum time for a request head to arrive, and for an idle connection to wait for its next
    /// request. The connection is closed after that.
    pub header_timeout: Duration,
    /// How long a client may read nothing of its response before its connection is cut off.
    pub write_timeout: Duration,
    /// Minimum rate of a request body in bytes per second, after ten seconds of grace.
    pub min_rate: u64,
    /// Maximum number of open connections. Beyond it, the connection that has been idle longest
    /// makes room.
    pub max_connections: usize,
    /// Maximum number of requests in flight. Further ones get a 503 immediately.
    pub max_in_flight: NonZeroU32,
    /// Minimum size in bytes of responses that are compressed. 0 to compress none.
    pub compress_above: u64,
    /// Which requests appear in the access log.
    pub access_log: AccessLogSettings,
    /// Maximum number of connections per IPv4 address or IPv6 prefix. Further connections are
    /// closed as they arrive.
    ///
    /// Connections of trusted proxies are not counted.
    pub max_connections_per_address: usize,
    /// How long a shutdown still accepts requests while `/readyz` already returns 503.
    pub drain_delay: Duration,
    /// How long a shutdown waits for requests in flight.
    pub drain_timeout: Duration,
}

pub(crate) fn http(raw: &Reader<'_>) -> Result<HttpSettings, SettingsError> {
    Ok(HttpSettings {
        max_body: raw.size("http.max_body", 1024..=64 << 20)?.try_into().unwrap_or(usize::MAX),
        max_import: raw.size("http.max_import", 1024..=16 << 30)?,
        request_timeout: raw.duration("http.request_timeout", Duration::from_millis(100), Duration::from_secs(3600))?,
        upload_timeout: raw.duration("http.upload_timeout", Duration::from_secs(1), Duration::from_secs(24 * 3600))?,
        header_timeout: raw.duration("http.header_timeout", Duration::from_millis(100), Duration::from_secs(3600))?,
        write_timeout: raw.duration("http.write_timeout", Duration::from_millis(100), Duration::from_secs(3600))?,
        min_rate: raw.size("http.min_rate", 0..=1 << 30)?,
        max_connections: raw.count("http.max_connections", 1..=1_000_000)?,
        max_in_flight: raw.required("http.max_in_flight", "a whole number from 1 to 1000000", |text| {
            text.parse::<NonZeroU32>().ok().filter(|most| most.get() <= 1_000_000)
        })?,
        compress_above: raw.size("http.compress_above", 0..=64 << 20)?,
        access_log: access_log(raw)?,
        max_connections_per_address: raw.count("http.max_connections_per_address", 1..=1_000_000)?,
        drain_delay: raw.duration("http.drain_delay", Duration::ZERO, Duration::from_secs(3600))?,
        drain_timeout: raw.duration("http.drain_timeout", Duration::ZERO, Duration::from_secs(3600))?,
    })
}

/// The share is checked even if it is not used.
fn access_log(raw: &Reader<'_>) -> Result<AccessLogSettings, SettingsError> {
    let share = raw.share("http.access_log_sample")?;
    raw.required("http.access_log", "`off`, `sampled` or `full`", |text| match text {
        "off" => Some(AccessLogSettings::Off),
        "sampled" => Some(AccessLogSettings::Sampled(share)),
        "full" => Some(AccessLogSettings::Full),
        _ => None,
    })
}
