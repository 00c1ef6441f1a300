//! The headers of every response, and its encoding. This layer is the outermost one, so that
//! refusals, problems and probes have them too.
//!
//! A response may have several encodings, so its tag is weak. Its `Vary` names `Accept-Encoding`,
//! also on a 304 and on a response that is too small for compression.

use std::convert::Infallible;
use std::future::ready;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::{self, HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use tower::{ServiceExt, service_fn};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::Predicate;
use tower_layer::Layer;

use tidegate_server::fn_layer::{Inner, answered};

/// Browsers must not run or frame any response of this API. A page sets its own policy.
const NOTHING_RUNS: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
/// Devices that no page needs, and that no injected script may use.
const NO_DEVICES: HeaderValue = HeaderValue::from_static(
    "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), publickey-credentials-get=(), usb=()",
);
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");

/// Headers that hold for every answer, whatever it is.
const ALWAYS: [(HeaderName, HeaderValue); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (HeaderName::from_static("cross-origin-resource-policy"), SAME_ORIGIN),
    (HeaderName::from_static("cross-origin-opener-policy"), SAME_ORIGIN),
    (HeaderName::from_static("permissions-policy"), NO_DEVICES),
];

/// Headers that a route may override. A response of a route that sets none is not stored by caches.
const UNLESS_SAID: [(HeaderName, HeaderValue); 3] = [
    (header::CONTENT_SECURITY_POLICY, NOTHING_RUNS),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// Selects what is compressed: text of at least a minimum size, and text of unknown length.
#[derive(Debug, Clone, Copy)]
pub struct Compressible {
    /// Minimum size in bytes. 0 to compress nothing.
    pub above: u64,
}

impl Predicate for Compressible {
    fn should_compress<B: HttpBody>(&self, response: &http::Response<B>) -> bool {
        let is_long = || response.body().size_hint().exact().is_none_or(|size| size >= self.above);
        self.above > 0 && is_text(response.headers()) && is_long()
    }
}

/// Whether the response is text that may be encoded: no file, no event stream, no `no-transform`.
fn is_text(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = text(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_text = match kind.split_once('/') {
        Some(("text", name)) => name != "event-stream",
        Some(("application", name)) => {
            matches!(name, "json" | "javascript" | "openmetrics-text") || name.ends_with("+json")
        }
        _ => false,
    };
    is_text
        && !headers.contains_key(header::CONTENT_DISPOSITION)
        && !text(header::CACHE_CONTROL).contains("no-transform")
}

/// Layer that completes a response.
pub fn layer<S: Inner>(
    compression: Compressible,
    request: Request,
    inner: &mut S,
) -> impl Future<Output = Response> + Send + use<S> {
    let accepted: Vec<_> = request.headers().get_all(header::ACCEPT_ENCODING).iter().cloned().collect();
    let answer = answered(inner.call(request));
    async move {
        let mut response = answer.await;
        // Without an encoding, the body would only be wrapped.
        if !accepted.is_empty() && compression.should_compress(&response) {
            response = compressed(response, accepted, compression).await;
        }
        harden(response.headers_mut());
        if compression.above > 0 {
            tell_apart(response.headers_mut());
        }
        response
    }
}

/// Returns the response in the best encoding that its client accepts, which may be none.
async fn compressed(response: Response, accepted: Vec<HeaderValue>, compression: Compressible) -> Response {
    let mut request = http::Request::new(());
    request.headers_mut().extend(accepted.into_iter().map(|value| (header::ACCEPT_ENCODING, value)));
    let mut response = Some(response);
    let answer = service_fn(move |_| ready(Ok::<_, Infallible>(response.take().unwrap_or_default())));
    let encoded = CompressionLayer::new().compress_when(compression).layer(answer).oneshot(request).await;
    encoded.unwrap_or_else(|never| match never {}).map(Body::new)
}

/// Makes caches store each encoding separately.
fn tell_apart(headers: &mut HeaderMap) {
    let is_encoded = headers.contains_key(header::CONTENT_ENCODING);
    if is_encoded
        && let Some(strong) = headers.get(header::ETAG).filter(|tag| !tag.as_bytes().starts_with(b"W/"))
        // One tag for two encodings must not be a strong one.
        && let Ok(weak) = HeaderValue::from_bytes(&[b"W/", strong.as_bytes()].concat())
    {
        headers.insert(header::ETAG, weak);
    }
    // A response without a type has no body, but may stand for one that has a body, as a 304 does.
    let may_be_encoded = is_encoded || !headers.contains_key(header::CONTENT_TYPE) || is_text(headers);
    let says_so = |value: &HeaderValue| {
        let mut names = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        names.any(|name| name.eq_ignore_ascii_case(b"accept-encoding"))
    };
    if may_be_encoded && !headers.get_all(header::VARY).iter().any(says_so) {
        headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
}

fn harden(headers: &mut HeaderMap) {
    for (name, value) in ALWAYS {
        headers.insert(name, value);
    }
    for (name, value) in UNLESS_SAID {
        headers.entry(name).or_insert(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(of: &[(HeaderName, &str)]) -> HeaderMap {
        of.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn cache_control_and_csp_of_a_route_are_kept() {
        let mut own = headers(&[
            (header::CACHE_CONTROL, "private, no-cache"),
            (header::CONTENT_SECURITY_POLICY, "style-src 'self'"),
            (header::REFERRER_POLICY, "same-origin"),
        ]);
        harden(&mut own);
        assert_eq!(own[header::CACHE_CONTROL], "private, no-cache");
        assert_eq!(own[header::CONTENT_SECURITY_POLICY], "style-src 'self'");
        assert_eq!(own[header::REFERRER_POLICY], "same-origin");
        assert_eq!(own[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        let mut silent = HeaderMap::new();
        harden(&mut silent);
        assert_eq!(silent[header::CACHE_CONTROL], "no-store");
    }

    #[test]
    fn only_text_that_may_be_changed_on_its_way_is_compressed() {
        let worthwhile = Compressible { above: 10 };
        let is_compressed = |kind: &str, more: &[(HeaderName, &str)], body: &'static str| {
            let mut response = Response::new(Body::from(body));
            *response.headers_mut() = headers(more);
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_str(kind).unwrap());
            worthwhile.should_compress(&response)
        };
        for kind in
            ["application/json", "Application/Problem+JSON", "text/html; charset=utf-8", "application/javascript"]
        {
            assert!(is_compressed(kind, &[], "0123456789"), "{kind}");
            assert!(!is_compressed(kind, &[], "012345678"), "{kind} that is short");
            assert!(
                !is_compressed(kind, &[(header::CONTENT_DISPOSITION, "attachment")], "0123456789"),
                "{kind}, a file"
            );
            assert!(!is_compressed(kind, &[(header::CACHE_CONTROL, "no-transform")], "0123456789"), "{kind} as it is");
        }
        for kind in ["text/event-stream", "image/png", "application/zstd", "application/octet-stream", ""] {
            assert!(!is_compressed(kind, &[], "0123456789"), "{kind}");
        }
        let none = Compressible { above: 0 };
        let mut response = Response::new(Body::from("0123456789"));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        assert!(!none.should_compress(&response));
    }

    #[test]
    fn a_tag_of_what_was_encoded_is_weak_and_vary_says_it_once() {
        let mut encoded = headers(&[
            (header::CONTENT_ENCODING, "br"),
            (header::ETAG, "\"a\""),
            (header::VARY, "authorization, Accept-Encoding"),
        ]);
        tell_apart(&mut encoded);
        assert_eq!(
            (&encoded[header::ETAG], encoded.get_all(header::VARY).iter().count()),
            (&"W/\"a\"".parse().unwrap(), 1)
        );
        let mut plain = headers(&[(header::ETAG, "\"a\""), (header::CONTENT_TYPE, "image/png")]);
        tell_apart(&mut plain);
        assert_eq!((&plain[header::ETAG], plain.get(header::VARY)), (&"\"a\"".parse().unwrap(), None));
    }
}
