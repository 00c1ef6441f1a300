//! What every answer bears, whoever made it: outermost, so that refusals, problems and probes have it too.

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;

/// Nothing that this API sends is to be run or framed by a browser. A page says for itself what it needs.
const NOTHING_RUNS: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
/// What no page here needs, and no script that got in is to have.
const NO_DEVICES: HeaderValue = HeaderValue::from_static(
    "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), publickey-credentials-get=(), usb=()",
);
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");

/// Headers that hold for every answer, whatever it is.
const ALWAYS: [(HeaderName, HeaderValue); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-resource-policy"), SAME_ORIGIN),
    (HeaderName::from_static("cross-origin-opener-policy"), SAME_ORIGIN),
    (HeaderName::from_static("permissions-policy"), NO_DEVICES),
];

/// Headers that a route may say otherwise: who said nothing about keeping an answer is not kept anywhere.
const UNLESS_SAID: [(HeaderName, HeaderValue); 2] =
    [(header::CONTENT_SECURITY_POLICY, NOTHING_RUNS), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];

/// Puts the headers of safety on an answer.
pub(crate) fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        headers.insert(name, value);
    }
    for (name, value) in UNLESS_SAID {
        headers.entry(name).or_insert(value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_route_says_of_keeping_and_running_stays() {
        let mut own = Response::default();
        own.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        own.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("style-src 'self'"));
        let own = harden(own);
        assert_eq!(own.headers()[header::CACHE_CONTROL], "private, no-cache");
        assert_eq!(own.headers()[header::CONTENT_SECURITY_POLICY], "style-src 'self'");
        assert_eq!(own.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(harden(Response::default()).headers()[header::CACHE_CONTROL], "no-store");
    }
}
