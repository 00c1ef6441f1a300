//! Which responses are kept, and how long each is fresh (RFC 9111, 3 and 4.2; RFC 5861).

use std::time::{Duration, SystemTime};

use http::header::{AGE, AUTHORIZATION, DATE, EXPIRES, HeaderMap, HeaderName, SET_COOKIE, VARY};
use http::{StatusCode, response};

use super::directives::Directives;

/// Statuses that this cache understands. Partial content is not one of them.
const UNDERSTOOD: [u16; 15] = [200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 451, 501];

/// Whether a response of this status says nothing about the target for other clients: one client
/// was refused, or the meaning of the status is not known. Failures of the origin are such
/// responses too.
pub(super) fn is_refusal(status: StatusCode) -> bool {
    !UNDERSTOOD.contains(&status.as_u16())
}

/// Times for which a kept response may be used, counted in its age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Freshness {
    /// Fresh until this age.
    pub(super) lifetime: Duration,
    /// Time after its lifetime for which it is served while it is reloaded.
    pub(super) while_revalidate: Duration,
    /// Time after its lifetime for which it is served if the origin fails.
    pub(super) if_error: Duration,
    /// Its age when it was received.
    pub(super) initial_age: Duration,
    /// Whether requests with an `Authorization` may have it.
    pub(super) is_open: bool,
}

impl Freshness {
    /// Returns how much longer it is fresh once received.
    pub(super) fn left(&self) -> Duration {
        self.lifetime.saturating_sub(self.initial_age)
    }
}

/// Properties of the request for a response that decide whether the response may be kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) is_authorized: bool,
    pub(super) at: SystemTime,
}

impl Asked {
    pub(super) fn by(headers: &HeaderMap, at: SystemTime) -> Self {
        Self { is_authorized: headers.contains_key(AUTHORIZATION), at }
    }
}

/// Judges a response that came just now.
///
/// # Errors
///
/// Why it may not be kept, in a word for `Cache-Status`.
pub(super) fn judge(
    asked: Asked,
    response: &response::Parts,
    now: SystemTime,
    otherwise: impl Fn(StatusCode) -> Option<Duration>,
) -> Result<Freshness, &'static str> {
    let (status, headers) = (response.status, &response.headers);
    if is_refusal(status) {
        return Err("status");
    }
    let says = Directives::of_response(headers);
    for forbidden in ["no-store", "private", "no-cache"] {
        if says.has(forbidden) {
            return Err(forbidden);
        }
    }
    let is_open = says.has("public") || says.has("s-maxage") || says.has("must-revalidate");
    if asked.is_authorized && !is_open {
        return Err("authorization");
    }
    if headers.contains_key(SET_COOKIE) {
        return Err("set-cookie");
    }
    if headers.get_all(VARY).iter().any(|line| line.as_bytes().contains(&b'*')) {
        return Err("vary");
    }
    let date = time(headers, &DATE).flatten();
    let lifetime = match (says.seconds("s-maxage"), says.seconds("max-age"), time(headers, &EXPIRES)) {
        (Some(lifetime), ..) | (None, Some(lifetime), _) => lifetime,
        // A date that cannot be parsed counts as passed.
        (None, None, Some(expires)) => expires.map_or(Duration::ZERO, |expires| since(expires, date.unwrap_or(now))),
        (None, None, None) => otherwise(status).ok_or("no lifetime")?,
    };
    let must_revalidate = says.has("must-revalidate") || says.has("proxy-revalidate");
    let window = |name| says.seconds(name).filter(|_| !must_revalidate).unwrap_or_default();
    let freshness = Freshness {
        lifetime,
        while_revalidate: window("stale-while-revalidate"),
        if_error: window("stale-if-error"),
        initial_age: initial_age(headers, date, asked.at, now),
        is_open,
    };
    if freshness.left().is_zero() { Err("stale") } else { Ok(freshness) }
}

/// RFC 9111, 4.2.3.
fn initial_age(headers: &HeaderMap, date: Option<SystemTime>, asked: SystemTime, now: SystemTime) -> Duration {
    let apparent = date.map_or(Duration::ZERO, |date| since(now, date));
    let told = headers.get(AGE).and_then(|age| age.to_str().ok()).map_or(Duration::ZERO, |age| {
        let age = age.split(',').next().unwrap_or_default().trim();
        let is_number = !age.is_empty() && age.bytes().all(|byte| byte.is_ascii_digit());
        // A number that is too large means very old. Any other text is ignored.
        if is_number { Duration::from_secs(age.parse::<u32>().unwrap_or(u32::MAX).into()) } else { Duration::ZERO }
    });
    apparent.max(told.saturating_add(since(now, asked)))
}

/// `None` if there is no such header, `Some(None)` if it is not a time or there are several.
fn time(headers: &HeaderMap, name: &HeaderName) -> Option<Option<SystemTime>> {
    let mut lines = headers.get_all(name).iter();
    let line = lines.next()?;
    if lines.next().is_some() {
        return Some(None);
    }
    Some(line.to_str().ok().and_then(|text| httpdate::parse_http_date(text).ok()))
}

fn since(later: SystemTime, earlier: SystemTime) -> Duration {
    later.duration_since(earlier).unwrap_or_default()
}
