//! Requirements of a request for its response.

use std::time::{Duration, SystemTime};

use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, ETAG, HeaderMap, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE, TRANSFER_ENCODING, UPGRADE,
};
use http::{Method, StatusCode, request};

use super::directives::Directives;
use super::entry::Kept;

/// Reason for a bypass of the cache, in the words of RFC 9211; or `body`, which is a `bypass`.
pub(super) type Why = &'static str;

/// Relation of a kept response to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// It answers the request.
    Fresh,
    /// It answers the request, while another is fetched.
    Stale,
    /// It answers the request once the origin has confirmed it.
    Validate,
    /// Not usable for this request.
    Pass(Why),
}

/// The requirements of one request.
#[derive(Debug)]
pub(super) struct Wants {
    pub(super) is_head: bool,
    pub(super) is_authorized: bool,
    pub(super) only_if_cached: bool,
    no_cache: bool,
    max_age: Option<Duration>,
    min_fresh: Option<Duration>,
    none_match: Vec<HeaderValue>,
    modified_since: Option<SystemTime>,
}

impl Wants {
    /// Returns the requirements of a GET or HEAD.
    ///
    /// # Errors
    ///
    /// Reason why it must go to the origin, whatever is kept.
    pub(super) fn of(request: &request::Parts, has_body: bool, obeys: bool) -> Result<Self, Why> {
        let headers = &request.headers;
        if headers.contains_key(RANGE) || headers.contains_key(IF_RANGE) {
            return Err("partial");
        }
        // Over HTTP/2 no header has to state it.
        let has_body = has_body
            || headers.contains_key(TRANSFER_ENCODING)
            || headers.get(CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0");
        let is_special = [IF_MATCH, IF_UNMODIFIED_SINCE, UPGRADE].iter().any(|name| headers.contains_key(name));
        if has_body {
            return Err("body");
        }
        if is_special {
            return Err("bypass");
        }
        let says = if obeys { Directives::of_request(headers) } else { Directives::default() };
        if says.has("no-store") {
            return Err("request");
        }
        let date = |value: &HeaderValue| httpdate::parse_http_date(value.to_str().ok()?).ok();
        Ok(Self {
            is_head: request.method == Method::HEAD,
            is_authorized: headers.contains_key(AUTHORIZATION),
            only_if_cached: says.has("only-if-cached"),
            no_cache: says.has("no-cache"),
            max_age: says.seconds("max-age"),
            min_fresh: says.seconds("min-fresh"),
            none_match: headers.get_all(IF_NONE_MATCH).iter().cloned().collect(),
            modified_since: headers.get(IF_MODIFIED_SINCE).and_then(date),
        })
    }

    pub(super) fn judge(&self, kept: &Kept, now: SystemTime) -> Use {
        let (age, lifetime) = (kept.age(now), kept.freshness.lifetime);
        if self.is_authorized && !kept.freshness.is_open {
            return Use::Pass("bypass");
        }
        let is_too_old = self.max_age.is_some_and(|limit| age > limit || limit.is_zero());
        let ends_too_soon = self.min_fresh.is_some_and(|left| lifetime.saturating_sub(age) < left);
        if self.no_cache || is_too_old || ends_too_soon {
            return Use::Pass("request");
        }
        if age < lifetime {
            Use::Fresh
        } else if age < lifetime.saturating_add(kept.freshness.while_revalidate) {
            Use::Stale
        } else {
            Use::Validate
        }
    }

    /// Whether the client already has this response (RFC 9110, 13.2.2).
    pub(super) fn has(&self, kept: &Kept) -> bool {
        if kept.status != StatusCode::OK {
            return false;
        }
        if !self.none_match.is_empty() {
            let Some(mine) = kept.headers.get(ETAG).map(|tag| weak(tag.as_bytes())) else { return false };
            return self
                .none_match
                .iter()
                .any(|line| line.as_bytes() == b"*" || tags(line.as_bytes()).any(|tag| weak(tag) == mine));
        }
        let modified = || httpdate::parse_http_date(kept.headers.get(LAST_MODIFIED)?.to_str().ok()?).ok();
        self.modified_since.is_some_and(|since| modified().is_some_and(|modified| modified <= since))
    }
}

/// Makes the request check whether `kept` is still valid, not the response of the client.
pub(super) fn validate(headers: &mut HeaderMap, kept: Option<&Kept>) {
    headers.remove(IF_NONE_MATCH);
    headers.remove(IF_MODIFIED_SINCE);
    let Some(kept) = kept else { return };
    if let Some(tag) = kept.headers.get(ETAG) {
        headers.insert(IF_NONE_MATCH, tag.clone());
    }
    if let Some(modified) = kept.headers.get(LAST_MODIFIED) {
        headers.insert(IF_MODIFIED_SINCE, modified.clone());
    }
}

/// Whether two lists of entity tags of one element are the same by the weak comparison.
pub(super) fn is_same_tag(left: &HeaderValue, right: &HeaderValue) -> bool {
    weak(left.as_bytes()) == weak(right.as_bytes())
}

fn weak(tag: &[u8]) -> &[u8] {
    let tag = tag.trim_ascii();
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// The tags of a list; a comma within quotes belongs to its tag.
fn tags(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut is_quoted = false;
    line.split(move |byte| {
        is_quoted ^= *byte == b'"';
        *byte == b',' && !is_quoted
    })
}
