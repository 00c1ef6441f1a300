//! `Cache-Status` (RFC 9211): what this cache did, appended to the values of caches behind it.

use std::fmt::Write;
use std::time::SystemTime;

use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::entry::Kept;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Action of the cache.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Done {
    /// Answered without the origin.
    pub(super) is_hit: bool,
    /// Reason for the request to the origin.
    pub(super) forwarded: Option<&'static str>,
    /// Status of the origin, if it differs from that of the answer.
    pub(super) origin_status: Option<u16>,
    pub(super) is_stored: bool,
    pub(super) is_collapsed: bool,
    pub(super) detail: Option<&'static str>,
}

impl Done {
    pub(super) fn hit() -> Self {
        Self { is_hit: true, ..Self::default() }
    }

    pub(super) fn forwarded(why: &'static str) -> Self {
        Self { forwarded: Some(why), ..Self::default() }
    }

    /// Adds the header. `kept` is the kept response that was returned, if any.
    pub(super) fn write(&self, name: &str, headers: &mut HeaderMap, kept: Option<(&Kept, SystemTime)>) {
        let mut text = name.to_owned();
        if self.is_hit {
            text.push_str("; hit");
        }
        // Writing to a string never fails.
        if let Some(why) = self.forwarded {
            let _ = write!(text, "; fwd={why}");
        }
        if let Some(status) = self.origin_status {
            let _ = write!(text, "; fwd-status={status}");
        }
        if let Some((kept, now)) = kept {
            let seconds = |time: std::time::Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
            let left = seconds(kept.freshness.lifetime).saturating_sub(seconds(kept.age(now)));
            let _ = write!(text, "; ttl={left}");
        }
        for (is_so, word) in [(self.is_stored, "; stored"), (self.is_collapsed, "; collapsed")] {
            if is_so {
                text.push_str(word);
            }
        }
        if let Some(detail) = self.detail {
            let _ = write!(text, "; detail=\"{detail}\"");
        }
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.append(CACHE_STATUS, value);
        }
    }
}
