//! The form of a cached read in a response: body, ETag, and its source.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tidegate_cache::{Codec, CodecError, Read, Source};

use crate::problem::Problem;

/// A JSON body with its ETag, made once and cached.
#[derive(Debug, Clone)]
pub struct Representation {
    body: Bytes,
    etag: HeaderValue,
}

impl Representation {
    /// Writes `value` as JSON. The ETag is a digest of the body, the same on every instance. It is
    /// weak, since the body may be sent in several encodings.
    ///
    /// # Errors
    ///
    /// When `value` can't be written as JSON.
    pub fn of(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        Ok(Self::of_bytes(serde_json::to_vec(value)?))
    }

    /// Like [`of`](Self::of), for a value that is already JSON.
    pub fn of_json(json: String) -> Self {
        Self::of_bytes(json.into_bytes())
    }

    fn of_bytes(body: Vec<u8>) -> Self {
        let digest = Sha256::digest(&body);
        // 128 bits are far more than enough to distinguish the states of one object.
        let tag = digest.iter().take(16).fold(u128::default(), |tag, byte| tag << 8 | u128::from(*byte));
        let etag = HeaderValue::try_from(format!("W/\"{tag:032x}\"")).unwrap_or(HeaderValue::from_static("W/\"\""));
        Self { body: body.into(), etag }
    }

    /// Returns its size in the cache in bytes.
    pub fn weight(&self) -> usize {
        self.body.len() + self.etag.len() + size_of::<Self>()
    }
}

/// The bytes in the shared cache: length of the ETag, ETag, body. No bytes for `None`.
pub struct RepresentationCodec;

impl Codec<Option<Representation>> for RepresentationCodec {
    fn version(&self) -> u8 {
        2
    }

    fn encode(&self, representation: &Option<Representation>) -> Result<Vec<u8>, CodecError> {
        let Some(Representation { body, etag }) = representation else { return Ok(Vec::new()) };
        let length = u8::try_from(etag.len()).map_err(CodecError::failed)?;
        Ok([&[length], etag.as_bytes(), body].concat())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Option<Representation>, CodecError> {
        let Some((length, rest)) = bytes.split_first() else { return Ok(None) };
        let (etag, body) =
            rest.split_at_checked(usize::from(*length)).ok_or_else(|| CodecError::failed("the ETag is cut off"))?;
        let etag = HeaderValue::from_bytes(etag).map_err(CodecError::failed)?;
        Ok(Some(Representation { body: Bytes::copy_from_slice(body), etag }))
    }
}

/// A representation or its absence, and the `Cache-Status` that names its source.
pub struct Found {
    value: Arc<Option<Representation>>,
    status: HeaderValue,
}

impl Found {
    /// A representation that was read from the store and not from the cache.
    pub fn past_the_cache(representation: Representation) -> Self {
        Self { value: Arc::new(Some(representation)), status: HeaderValue::from_static("tidegate; fwd=bypass") }
    }
}

impl Found {
    /// The response to a write that the cache holds now.
    pub fn written(representation: Representation) -> Self {
        let status = HeaderValue::from_static("tidegate; fwd=method; stored");
        Self { value: Arc::new(Some(representation)), status }
    }

    /// Whether there is something to send.
    pub fn is_something(&self) -> bool {
        self.value.is_some()
    }
}

impl From<Read<Option<Representation>>> for Found {
    fn from(read: Read<Option<Representation>>) -> Self {
        Self { status: cache_status(&read), value: read.value }
    }
}

/// The tags that the client already has. Empty, and without an allocation, for most requests.
pub struct IfNoneMatch(Vec<HeaderValue>);

impl<S: Sync> FromRequestParts<S> for IfNoneMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.headers.get_all(header::IF_NONE_MATCH).iter().cloned().collect()))
    }
}

impl IfNoneMatch {
    /// Whether the client has the representation with that tag.
    pub fn has(&self, tag: &str) -> bool {
        self.0.iter().any(|value| matches_any(value.as_bytes(), tag.as_bytes()))
    }

    /// No tag: the client always gets the body.
    pub fn nothing() -> Self {
        Self(Vec::new())
    }
}

/// Enough for the headers of an answer to a tenant.
const HEADERS: usize = 24;

/// Responds to a cached read: 200, 304 if the client already has it, or `absent` if there is none.
///
/// # Errors
///
/// `absent`.
pub fn respond(known: &IfNoneMatch, found: Found, absent: impl FnOnce() -> Problem) -> Result<Response, Problem> {
    let Found { value, status } = found;
    let Some(representation) = &*value else {
        return Err(absent().header(header::HeaderName::from_static("cache-status"), status));
    };
    let is_known = known.0.iter().any(|value| matches_any(value.as_bytes(), representation.etag.as_bytes()));
    let mut response = Response::new(if is_known { Body::empty() } else { Body::from(representation.body.clone()) });
    // Reserves room for all headers. A map that grows would do so three times.
    *response.headers_mut() = HeaderMap::with_capacity(HEADERS);
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let headers = response.headers_mut();
    headers.insert(header::ETAG, representation.etag.clone());
    // A client may store it but must revalidate it. A shared cache must not store a tenant's data.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("authorization, cookie, x-tenant-id"));
    headers.insert("cache-status", status);
    Ok(response)
}

/// RFC 9211: which cache responded, or why none could.
fn cache_status(read: &Read<Option<Representation>>) -> HeaderValue {
    match read.source {
        Source::Hit => HeaderValue::try_from(format!("tidegate; hit; ttl={}", read.fresh_for.as_secs())).unwrap_or(HIT),
        Source::Shared => HeaderValue::from_static("tidegate; hit; detail=shared"),
        Source::Stale => HeaderValue::from_static("tidegate; hit; ttl=-1; detail=stale"),
        Source::Collapsed => HeaderValue::from_static("tidegate; fwd=uri-miss; collapsed"),
        Source::Loaded if read.stored => HeaderValue::from_static("tidegate; fwd=uri-miss; stored"),
        _ => HeaderValue::from_static("tidegate; fwd=uri-miss"),
    }
}

const HIT: HeaderValue = HeaderValue::from_static("tidegate; hit");

/// Returns a tag without the weak marker.
fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Whether one of the tags of an `If-None-Match` is `etag`, by the weak comparison of RFC 9110.
fn matches_any(header: &[u8], etag: &[u8]) -> bool {
    let etag = opaque(etag);
    // A tag may contain a comma. Only a comma between tags separates them.
    let mut is_within = false;
    let tags = header.split(|byte| {
        is_within ^= *byte == b'"';
        *byte == b',' && !is_within
    });
    tags.map(<[u8]>::trim_ascii).any(|candidate| candidate == b"*" || opaque(candidate) == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_equal_tags() {
        let one = Representation::of(&"a").unwrap();
        assert_eq!(one.etag, Representation::of(&"a").unwrap().etag);
        assert_ne!(one.etag, Representation::of(&"b").unwrap().etag);
    }

    #[test]
    fn the_shared_cache_gives_back_what_it_got() {
        let codec = RepresentationCodec;
        assert!(codec.decode(&codec.encode(&None).unwrap()).unwrap().is_none());
        let one = Representation::of(&"a").unwrap();
        let bytes = codec.encode(&Some(one.clone())).unwrap();
        let again = codec.decode(&bytes).unwrap().unwrap();
        assert_eq!((&again.body, &again.etag), (&one.body, &one.etag));
        assert!(codec.decode(&bytes[..10]).is_err());
    }

    #[test]
    fn if_none_match_takes_lists_weak_tags_and_the_star() {
        for header in ["\"a\"", "\"b\", \"a\"", "W/\"a\"", "*", " \"a\" "] {
            assert!(matches_any(header.as_bytes(), b"\"a\""), "{header}");
        }
        for header in ["", "a", "\"b\"", "\"a", "W/\"b\""] {
            assert!(!matches_any(header.as_bytes(), b"\"a\""), "{header}");
        }
        assert!(matches_any(b"\"a\"", b"W/\"a\"") && matches_any(b"W/\"a\"", b"W/\"a\""));
    }

    #[test]
    fn a_comma_within_a_tag_parts_nothing() {
        assert!(matches_any(b"\"x\", \"a,b\"", b"\"a,b\""));
        for header in ["\"x,\"a\"\"", "\"x,*,y\"", "\"x, \"a\", y\""] {
            assert!(!matches_any(header.as_bytes(), b"\"a\""), "{header}");
        }
    }
}
