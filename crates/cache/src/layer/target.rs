//! The target of a request, as a key and a tag of the cache.

use data_encoding::HEXLOWER;
use http::header::{HOST, HeaderMap, HeaderName};
use http::{Uri, request};
use sha2::{Digest, Sha256};

use super::vary::Selection;
use tidegate_cache_tiers::{Key, KeyBuilder, Tag};

/// Headers by which frameworks and proxies let a client choose host, path, scheme or method. An
/// origin that obeys one without naming it in `Vary` would otherwise answer all clients with the
/// choice of one client. So they are part of the key.
pub(super) const TRICKY: [&str; 14] = [
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-host",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-host",
    "x-original-url",
    "x-rewrite-url",
    "x-url-scheme",
];

/// The target of a request within its scope.
///
/// In the tag, by which a change drops all kept responses of a target, scheme and host are in lower
/// case, without user information and a default port, and an empty path is `/`. The key is not
/// normalized: targets that the origin can distinguish have different keys.
#[derive(Debug, Clone)]
pub(super) struct Target {
    scope: String,
    scheme: &'static str,
    host: String,
    path: String,
    /// Hash of other target data that the origin receives: the host as sent, keyed headers.
    digest: Option<String>,
}

impl Target {
    pub(super) fn of(request: &request::Parts, scope: String, keyed: &[HeaderName]) -> Self {
        let authority = request.uri.authority().map(http::uri::Authority::as_str);
        let named = authority.or_else(|| request.headers.get(HOST).and_then(|host| host.to_str().ok()));
        let scheme = if request.uri.scheme_str() == Some("https") { "https" } else { "http" };
        let host = plain_host(named.unwrap_or_default(), scheme);
        let mut told = Told::default();
        if let Some(authority) = authority.filter(|authority| *authority != host) {
            told.add("@authority", &[authority.as_bytes()]);
        }
        // A framework builds links by the header, even if something else names the host.
        let lines = |name: &HeaderName| -> Vec<&[u8]> {
            request.headers.get_all(name).iter().map(http::HeaderValue::as_bytes).collect()
        };
        let hosts = lines(&HOST);
        if hosts.len() > 1 || hosts.iter().any(|line| *line != host.as_bytes()) {
            told.add("@host", &hosts);
        }
        for name in keyed.iter().filter(|name| request.headers.contains_key(*name)) {
            told.add(name.as_str(), &lines(name));
        }
        Self { scope, scheme, host, path: path_of(&request.uri), digest: told.digest() }
    }

    /// Returns the key of the first response.
    pub(super) fn key(&self) -> Option<Key> {
        self.build(None)
    }

    /// Returns the key of the variant for this request, beside one that does not match it.
    pub(super) fn variant(&self, selection: &Selection, request: &HeaderMap) -> Option<Key> {
        self.build(Some(selection.variant(request)))
    }

    fn build(&self, variant: Option<String>) -> Option<Key> {
        let parts = [self.scope.as_str(), self.scheme, &self.host, &self.path];
        let mut key = parts.into_iter().fold(Key::builder("http"), KeyBuilder::part);
        if let Some(variant) = variant {
            key = key.part(variant);
        }
        if let Some(digest) = &self.digest {
            key = key.named("as", digest);
        }
        key.build().ok()
    }

    /// Returns the tag of all kept responses of the target, whatever headers chose them.
    pub(super) fn tag(&self) -> Tag {
        Tag::of(["http", self.scope.as_str(), self.scheme, &self.host, &self.path])
    }

    /// Returns the target of a `Location` or `Content-Location`, if it is of the same origin.
    pub(super) fn beside(&self, location: &str) -> Option<Self> {
        let uri: Uri = location.parse().ok()?;
        match (uri.scheme_str(), uri.authority()) {
            (None, None) if location.starts_with('/') => {}
            (Some(scheme), Some(authority))
                if scheme.eq_ignore_ascii_case(self.scheme)
                    && plain_host(authority.as_str(), self.scheme) == self.host => {}
            _ => return None,
        }
        Some(Self { path: path_of(&uri), ..self.clone() })
    }
}

fn path_of(uri: &Uri) -> String {
    match uri.path_and_query().map(http::uri::PathAndQuery::as_str) {
        None | Some("") => "/".to_owned(),
        Some(path) => path.to_owned(),
    }
}

fn plain_host(host: &str, scheme: &str) -> String {
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host).to_ascii_lowercase();
    let default = if scheme == "https" { ":443" } else { ":80" };
    host.strip_suffix(default).map_or(host.clone(), str::to_owned)
}

/// Data that the origin receives, as a hash: header values may be credentials. Each length precedes
/// its text, so that no two requests have the same input.
#[derive(Default)]
struct Told(Option<Sha256>);

impl Told {
    fn add(&mut self, name: &str, lines: &[&[u8]]) {
        let hash = self.0.get_or_insert_default();
        hash.update((lines.len() as u64).to_le_bytes());
        for text in std::iter::once(&name.as_bytes()).chain(lines) {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
    }

    fn digest(self) -> Option<String> {
        Some(HEXLOWER.encode(&self.0?.finalize()[..16]))
    }
}
