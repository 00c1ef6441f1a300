//! What a request is for, as a key and a tag of the cache.

use http::header::{HOST, HeaderMap, HeaderName};
use http::{Uri, request};

use super::vary::Selection;
use crate::key::{Key, KeyBuilder};
use crate::tag::Tag;

/// Headers by which frameworks and proxies let a client choose host, path, scheme or method. An origin that heeds one and
/// doesn't say so in `Vary` would otherwise answer everybody with what one client chose: so they are part of the key.
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
/// Scheme and host are written in lower case and without a default port, an empty path is `/`. Nothing else is made alike: what
/// the origin can tell apart, the key tells apart.
#[derive(Debug, Clone)]
pub(super) struct Target {
    scope: String,
    scheme: &'static str,
    host: String,
    path: String,
    keyed: Vec<(HeaderName, String)>,
}

impl Target {
    pub(super) fn of(request: &request::Parts, scope: String, keyed: &[HeaderName]) -> Self {
        let host = match request.uri.authority() {
            Some(authority) => authority.as_str(),
            None => request.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default(),
        };
        let scheme = if request.uri.scheme_str() == Some("https") { "https" } else { "http" };
        let keyed = keyed.iter().filter_map(|name| Some((name.clone(), joined(&request.headers, name)?)));
        Self { scope, scheme, host: plain_host(host, scheme), path: path_of(&request.uri), keyed: keyed.collect() }
    }

    /// The key of whatever answers first.
    pub(super) fn key(&self) -> Option<Key> {
        self.build(None)
    }

    /// The key of the variant that this request wants, beside one that it can't have.
    pub(super) fn variant(&self, selection: &Selection, request: &HeaderMap) -> Option<Key> {
        self.build(Some(selection.variant(request)))
    }

    fn build(&self, variant: Option<String>) -> Option<Key> {
        let parts = [self.scope.as_str(), self.scheme, &self.host, &self.path];
        let mut key = parts.into_iter().fold(Key::builder("http"), KeyBuilder::part);
        if let Some(variant) = variant {
            key = key.part(variant);
        }
        self.keyed.iter().fold(key, |key, (name, value)| key.named(name, value)).build().ok()
    }

    /// The tag of all that is kept for the target, whatever headers chose it.
    pub(super) fn tag(&self) -> Tag {
        Tag::of(["http", self.scope.as_str(), self.scheme, &self.host, &self.path])
    }

    /// What a `Location` or `Content-Location` names, if it is of the same origin.
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

/// All lines of the header as one; none when it isn't there.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let lines: Vec<_> = headers.get_all(name).iter().map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
    (!lines.is_empty()).then(|| lines.join(","))
}
