//! Response headers with which a client can pace itself.
//!
//! `RateLimit-Policy` and `RateLimit` follow draft-ietf-httpapi-ratelimit-headers-10, and
//! `Retry-After` follows RFC 9110:
//!
//! ```text
//! RateLimit-Policy: "minute";q=100;w=60
//! RateLimit: "minute";r=20;t=23
//! Retry-After: 23
//! ```
//!
//! [`apply_x`] adds the three headers that were common before the draft, for clients that support
//! no others. The reset is in seconds from now, not a date:
//!
//! ```text
//! X-RateLimit-Limit: 100
//! X-RateLimit-Remaining: 20
//! X-RateLimit-Reset: 23
//! ```
//!
//! All times are whole seconds, rounded up, so that a client that obeys them is never early.

use std::fmt::Write;
use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

use crate::{Decision, Quota, TenantDecision};

/// `RateLimit`: the remaining amount, and the time until the reset or the retry.
pub const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// `RateLimit-Policy`: the quota.
pub const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// `X-RateLimit-Limit`: the maximum amount that can be available at once.
pub const X_RATELIMIT_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
/// `X-RateLimit-Remaining`: the remaining amount.
pub const X_RATELIMIT_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
/// `X-RateLimit-Reset`: the time until the reset or the retry, in seconds.
pub const X_RATELIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Maximum integer of a structured field (RFC 9651).
const MAX_INTEGER: u64 = 999_999_999_999_999;

/// Adds the headers of one limiter's decision. Keeps the headers of other limiters. Of several
/// `Retry-After` values, the longest is kept.
pub fn apply(headers: &mut HeaderMap, name: &str, decision: &Decision) {
    append(headers, RATELIMIT_POLICY, policy(name, decision.quota()));
    append(headers, RATELIMIT, left(name, decision));
    if let Some(retry_after) = decision.retry_after() {
        raise_retry_after(headers, retry_after);
    }
}

/// Adds the headers of a tenant's decision: the policies of its three windows, and the remaining
/// amount of the [binding](TenantDecision::binding) one.
pub fn apply_tenant(headers: &mut HeaderMap, decision: &TenantDecision) {
    let policies = decision.windows.iter().map(|window| policy(window.name, window.decision.quota()));
    append(headers, RATELIMIT_POLICY, policies.collect::<Vec<_>>().join(", "));
    let binding = decision.binding();
    append(headers, RATELIMIT, left(binding.name, &binding.decision));
    if let Some(retry_after) = decision.retry_after() {
        raise_retry_after(headers, retry_after);
    }
}

/// Sets the three `X-RateLimit` headers, which are shared by all limiters. If they are present
/// already, the ones with the smaller remaining amount are kept.
pub fn apply_x(headers: &mut HeaderMap, decision: &Decision) {
    let present = headers.get(&X_RATELIMIT_REMAINING).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    // A refusal may leave less than the cost. Of two that leave nothing, one may admit.
    if present.is_some_and(|present| present < decision.remaining() || (present == 0 && decision.is_allowed())) {
        return;
    }
    let until = whole_seconds(decision.retry_after().unwrap_or(decision.reset_after()));
    for (name, value) in [
        (X_RATELIMIT_LIMIT, decision.limit()),
        (X_RATELIMIT_REMAINING, decision.remaining()),
        (X_RATELIMIT_RESET, until),
    ] {
        // A full header map is the caller's responsibility.
        let _ = headers.try_insert(name, HeaderValue::from(value));
    }
}

/// A duration in whole seconds, rounded up, as in `Retry-After`.
pub fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

/// Space for a name of typical length and two numbers.
const CAPACITY: usize = 48;

fn policy(name: &str, quota: Quota) -> String {
    let (limit, window) = (quota.limit().min(MAX_INTEGER), whole_seconds(quota.period()));
    let mut text = quoted(name);
    // Writing to a string cannot fail.
    let _ = write!(text, ";q={limit};w={window}");
    text
}

fn left(name: &str, decision: &Decision) -> String {
    let until = decision.retry_after().unwrap_or(decision.reset_after());
    let (remaining, until) = (decision.remaining().min(MAX_INTEGER), whole_seconds(until).min(MAX_INTEGER));
    let mut text = quoted(name);
    let _ = write!(text, ";r={remaining};t={until}");
    text
}

/// Formats a structured-field string with spare capacity. Invalid characters become `_`.
fn quoted(name: &str) -> String {
    let mut text = String::with_capacity(CAPACITY);
    text.push('"');
    for character in name.chars() {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            ' '..='~' => text.push(character),
            _ => text.push('_'),
        }
    }
    text.push('"');
    text
}

fn append(headers: &mut HeaderMap, name: HeaderName, value: String) {
    // The text is visible ASCII and spaces, which is valid. A full map is up to the caller.
    if let Ok(value) = HeaderValue::try_from(value) {
        let _ = headers.try_append(name, value);
    }
}

fn raise_retry_after(headers: &mut HeaderMap, retry_after: Duration) {
    let seconds = whole_seconds(retry_after);
    let present = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if present.is_none_or(|present| present < seconds) {
        let _ = headers.try_insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
}
