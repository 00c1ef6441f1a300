//! The HTTP server.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::error::SettingsError;
use crate::reader::Reader;
use crate::setting::{Setting, setting};

pub(crate) const SETTINGS: &[Setting] = &[
    setting(
        "http.max_size",
        "TIDEGATE_HTTP_MAX_SIZE",
        Some("body=1MiB, import=64MiB"),
        "maximum size of a JSON body and of an import",
    ),
    setting(
        "http.timeouts",
        "TIDEGATE_HTTP_TIMEOUTS",
        Some("request=30s, upload=1h"),
        "timeout of a request, which then gets a 503, and of a whole upload",
    ),
    setting(
        "http.slow_clients",
        "TIDEGATE_HTTP_SLOW_CLIENTS",
        Some("header=10s, write=30s, min_rate=512B"),
        "maximum time for a whole request head to arrive before the connection is closed, time that a client may read nothing of its response before it is cut off, and minimum rate per second at which it sends a body and reads a response, after 10 s of waiting (0B: none)",
    ),
    setting(
        "http.capacity",
        "TIDEGATE_HTTP_CAPACITY",
        Some("connections=10000, per_address=512, in_flight=1024"),
        "maximum number of open connections, beyond which the one that has been idle longest is closed; of connections per client address, beyond which further ones are closed as they arrive (trusted proxies are not counted); and of requests in flight, beyond which further ones get a 503 immediately (streams and requests that wait for their body don't count)",
    ),
    setting(
        "http.drain",
        "TIDEGATE_HTTP_DRAIN",
        Some("delay=0s, timeout=20s"),
        "how long a shutdown still serves requests while /readyz returns 503, so that load balancers see it, and how long it then waits for requests in flight before it cuts them off",
    ),
    setting(
        "http.access_log",
        "TIDEGATE_HTTP_ACCESS_LOG",
        Some("0.01"),
        "`full`: one log line per request; a share, such as 0.01: for that share of them and each that failed; `off`: none",
    ),
    setting(
        "http.compress_above",
        "TIDEGATE_HTTP_COMPRESS_ABOVE",
        Some("1KiB"),
        "minimum size of responses that are compressed for clients that accept gzip, br or zstd; 0: none",
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
    let (max_size, timeouts) = (raw.options("http.max_size")?, raw.options("http.timeouts")?);
    let slow_clients = raw.options("http.slow_clients")?;
    let (capacity, drain) = (raw.options("http.capacity")?, raw.options("http.drain")?);
    Ok(HttpSettings {
        max_body: max_size.size("body", 1024..=64 << 20)?.try_into().unwrap_or(usize::MAX),
        max_import: max_size.size("import", 1024..=16 << 30)?,
        request_timeout: timeouts.duration("request", Duration::from_millis(100), Duration::from_secs(3600))?,
        upload_timeout: timeouts.duration("upload", Duration::from_secs(1), Duration::from_secs(24 * 3600))?,
        header_timeout: slow_clients.duration("header", Duration::from_millis(100), Duration::from_secs(3600))?,
        write_timeout: slow_clients.duration("write", Duration::from_millis(100), Duration::from_secs(3600))?,
        min_rate: slow_clients.size("min_rate", 0..=1 << 30)?,
        max_connections: capacity.count("connections", 1..=1_000_000)?,
        max_in_flight: capacity.required("in_flight", "a whole number from 1 to 1000000", |text| {
            text.parse::<NonZeroU32>().ok().filter(|most| most.get() <= 1_000_000)
        })?,
        compress_above: raw.size("http.compress_above", 0..=64 << 20)?,
        access_log: access_log(raw)?,
        max_connections_per_address: capacity.count("per_address", 1..=1_000_000)?,
        drain_delay: drain.duration("delay", Duration::ZERO, Duration::from_secs(3600))?,
        drain_timeout: drain.duration("timeout", Duration::ZERO, Duration::from_secs(3600))?,
    })
}

fn access_log(raw: &Reader<'_>) -> Result<AccessLogSettings, SettingsError> {
    let wanted = "`off`, `full` or a share above 0 and below 1, such as 0.01";
    raw.required("http.access_log", wanted, |text| match text {
        "off" => Some(AccessLogSettings::Off),
        "full" => Some(AccessLogSettings::Full),
        _ => text.parse().ok().filter(|share| *share > 0.0 && *share < 1.0).map(AccessLogSettings::Sampled),
    })
}
