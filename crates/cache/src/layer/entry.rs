//! The kept data of a response.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{AGE, DATE, HeaderMap, HeaderName, HeaderValue};
use http::{StatusCode, header};

use super::freshness::Freshness;
use super::vary::Selection;

/// Result of a load.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly all are responses, and each has an `Arc` of its own")]
pub(super) enum Entry {
    /// A response that is private to its client. Waiting requests are notified; it is not kept.
    Unshared,
    /// A response that may be kept.
    Kept(Kept),
}

impl Entry {
    /// Returns its approximate size in bytes.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Unshared => size_of::<Self>(),
            Self::Kept(kept) => size_of::<Self>() + kept.body.len() + weight(&kept.headers),
        }
    }
}

/// A response that may go to every request that its selection admits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) received: SystemTime,
    pub(super) freshness: Freshness,
    pub(super) selection: Selection,
}

/// Headers of a connection, not of the response (RFC 9110, 7.6.1).
const OF_THE_CONNECTION: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

impl Kept {
    /// RFC 9111, 4.2.3. A clock that was set back makes no response younger than it came.
    pub(super) fn age(&self, now: SystemTime) -> Duration {
        let resident = now.duration_since(self.received).unwrap_or_default();
        self.freshness.initial_age.saturating_add(resident)
    }

    /// Returns its headers as they are sent now.
    pub(super) fn headers_at(&self, now: SystemTime) -> HeaderMap {
        let mut headers = self.headers.clone();
        headers.insert(AGE, HeaderValue::from(self.age(now).as_secs()));
        headers
    }
}

/// Returns the approximate size of headers in bytes.
pub(super) fn weight(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 64).sum()
}

/// Returns headers to keep: none of the connection, and with a `Date` (RFC 9110, 6.6.1).
pub(super) fn keepable(headers: &HeaderMap, now: SystemTime) -> HeaderMap {
    let mut kept = headers.clone();
    for line in headers.get_all(header::CONNECTION) {
        for name in line.as_bytes().split(|byte| *byte == b',') {
            if let Ok(name) = HeaderName::from_bytes(name.trim_ascii()) {
                kept.remove(name);
            }
        }
    }
    for name in &OF_THE_CONNECTION {
        kept.remove(name);
    }
    if !kept.contains_key(DATE)
        && let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(now.max(SystemTime::UNIX_EPOCH)))
    {
        kept.insert(DATE, date);
    }
    kept
}
