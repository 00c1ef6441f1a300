//! The tower layer: HTTP responses kept by the rules of RFC 9111.

mod alone;
mod body;
mod change;
mod directives;
mod entry;
mod freshness;
mod origin;
mod rules;
mod service;
mod status;
mod target;
mod vary;
mod wants;
#[cfg(feature = "redis")]
mod wire;
/// Replaces the codec of responses.
#[cfg(not(feature = "redis"))]
mod wire {
    pub(super) struct Wire;

    impl Wire {
        pub(super) fn new(_most_body: usize) -> Self {
            Self
        }
    }
}

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderName;
use http::{StatusCode, request};
use tower_layer::Layer;

pub use body::CachedBody;
pub use rules::ResponseTags;
pub use service::HttpCache;

use crate::tiered::TieredCache;
use alone::Alone;
use entry::Entry;
use rules::{Lifetimes, PassWhen, Rules, Scope};
use tidegate_cache_tiers::TtlClass;
use wire::Wire;

/// Largest kept body, unless a layer sets it.
const MOST_BODY: usize = 1 << 20;
/// How long a stale response is held for validation, if the class has no grace of its own.
const HELD_STALE: Duration = Duration::from_secs(60 * 60);

/// Keeps the responses of a service in a [`TieredCache`], as a shared cache by RFC 9111. Works for
/// tower services with `http` and bodies of [`Bytes`](bytes::Bytes): axum, hyper, tonic.
///
/// ```
/// use std::convert::Infallible;
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use tidegate_cache::{CacheLayer, TieredCache};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = TieredCache::builder().build();
/// let service = ServiceBuilder::new()
///     .layer(CacheLayer::new(&cache))
///     .service(service_fn(async |_| {
///         let body = Full::new(Bytes::from("made once"));
///         let response = Response::builder().header("cache-control", "max-age=60").body(body);
///         Ok::<_, Infallible>(response.expect("a good header"))
///     }));
///
/// let request = || Request::get("http://example.com/").body(Full::<Bytes>::default());
/// let first = service.clone().oneshot(request()?).await?;
/// assert_eq!(first.headers()["cache-status"], "Tidegate; fwd=uri-miss; ttl=60; stored");
/// let second = service.oneshot(request()?).await?;
/// assert_eq!(second.headers()["cache-status"], "Tidegate; hit; ttl=60");
/// # Ok(())
/// # }
/// ```
///
/// # Where to put it
///
/// Inside of access control, limits, request ids and compression, which differ by client. An outer
/// layer that wraps the bodies of *requests* must pass on their `is_end_stream` and `size_hint`.
/// Otherwise each GET looks as if it had a body and bypasses the cache, and `Cache-Status` says
/// `fwd=bypass; detail="body"`.
///
/// **Put the tenant into the [`scope`](CacheLayerBuilder::scope)** if anything but host and path
/// separates tenants. Path and query are in keys as they are: let requests with a secret query
/// [pass](CacheLayerBuilder::pass_when).
///
/// [What is kept, what is answered, and what is one response][guarantees], is a page of its own.
///
/// [guarantees]: https://github.com/tidegate/tidegate/blob/main/docs/guarantees/cache-http.md
#[derive(Debug, Clone)]
pub struct CacheLayer {
    rules: Arc<Rules>,
}

impl CacheLayer {
    /// Creates a layer with the default settings.
    pub fn new(cache: &TieredCache) -> Self {
        Self::builder(cache).build()
    }

    /// Starts the settings of a layer.
    pub fn builder(cache: &TieredCache) -> CacheLayerBuilder {
        CacheLayerBuilder {
            cache: cache.clone(),
            class: TtlClass::API,
            name: "Tidegate".to_owned(),
            most_body: MOST_BODY,
            scope: Box::new(|_| Some(String::new())),
            pass_when: Box::new(|_| false),
            lifetimes: Box::new(|_| None),
            keyed: target::TRICKY.into_iter().map(HeaderName::from_static).collect(),
            tag_header: HeaderName::from_static("cache-tag"),
            makes_validators: false,
            obeys_requests: true,
        }
    }
}

impl<S> Layer<S> for CacheLayer {
    type Service = HttpCache<S>;

    fn layer(&self, inner: S) -> HttpCache<S> {
        HttpCache { inner, rules: Arc::clone(&self.rules) }
    }
}

/// Settings of a [`CacheLayer`].
#[must_use = "settings do nothing until `build`"]
pub struct CacheLayerBuilder {
    cache: TieredCache,
    class: TtlClass,
    name: String,
    most_body: usize,
    scope: Scope,
    pass_when: PassWhen,
    lifetimes: Lifetimes,
    keyed: Vec<HeaderName>,
    tag_header: HeaderName,
    makes_validators: bool,
    obeys_requests: bool,
}

impl CacheLayerBuilder {
    /// Class for statistics and invalidation, [`TtlClass::API`] by default. Responses name their
    /// own freshness. The caps per tier and the grace of the class apply.
    pub fn class(mut self, class: TtlClass) -> Self {
        self.class = class;
        self
    }

    /// Name of this cache in `Cache-Status`, a token of RFC 9110, `Tidegate` by default. Characters
    /// other than letters, digits and dashes are removed.
    pub fn name(mut self, name: &str) -> Self {
        let kept: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        // A token of structured fields begins with a letter.
        if kept.starts_with(|c: char| c.is_ascii_alphabetic()) {
            self.name = kept;
        }
        self
    }

    /// Largest kept body in bytes, 1 MiB by default. Each load in progress may take this memory.
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.most_body = bytes;
        self
    }

    /// Scope of a response, one for all requests by default. A response of one scope is never
    /// served in another, nor dropped by a change there. A request without a scope bypasses the
    /// cache. Tags of a service span all scopes: put the tenant into them.
    pub fn scope(mut self, scope: impl Fn(&request::Parts) -> Option<String> + Send + Sync + 'static) -> Self {
        self.scope = Box::new(scope);
        self
    }

    /// Selects reads that bypass the cache: it neither answers nor keeps them.
    pub fn pass_when(mut self, passes: impl Fn(&request::Parts) -> bool + Send + Sync + 'static) -> Self {
        self.pass_when = Box::new(passes);
        self
    }

    /// Sets the lifetime of responses that name none, by status. By default they are not kept.
    /// Responses that forbid it are never kept.
    pub fn lifetime(mut self, of: impl Fn(StatusCode) -> Option<Duration> + Send + Sync + 'static) -> Self {
        self.lifetimes = Box::new(of);
        self
    }

    /// Adds a request header to the key: requests that differ in it share no response.
    ///
    /// Headers by which clients choose host, path, scheme or method, such as `X-Forwarded-Host` and
    /// `X-Original-URL`, are in the key already. `Forwarded` is not, since it often names the
    /// client too. If the service uses it, add it or remove it in front. Keys contain a hash of the
    /// values.
    pub fn keyed(mut self, name: HeaderName) -> Self {
        self.keyed.push(name);
        self
    }

    /// The response header with tags, separated by commas. `Cache-Tag` by default; not sent on.
    ///
    /// A colon separates the parts of a tag: `Cache-Tag: shop:7` names `Tag::of(["shop", "7"])`.
    /// Within a part, `%3A` stands for a colon and `%2C` for a comma, so the text of
    /// [`Tag::as_str`](crate::Tag::as_str) names that tag. A tag is the same in every scope. A
    /// handler can also set [`ResponseTags`].
    pub fn tag_header(mut self, name: HeaderName) -> Self {
        self.tag_header = name;
        self
    }

    /// Gives kept responses that have no validator a weak `ETag`, made of their body.
    pub fn make_validators(mut self) -> Self {
        self.makes_validators = true;
        self
    }

    /// Ignores `Cache-Control` and `Pragma` of requests, so that clients cannot bypass the cache.
    pub fn ignore_request_directives(mut self) -> Self {
        self.obeys_requests = false;
        self
    }

    /// Builds the layer.
    pub fn build(mut self) -> CacheLayer {
        if self.class.grace_period().is_zero() {
            self.class = self.class.grace(HELD_STALE);
        }
        // The rules of HTTP alone decide about stale responses in L2: the origin is queried first.
        self.class = self.class.soft_timeout(self.class.limit());
        // A name that occurs twice would not be a valid key.
        self.keyed.sort_unstable_by(|left, right| left.as_str().cmp(right.as_str()));
        self.keyed.dedup();
        let mut cache = self.cache.typed::<Entry>(self.class);
        cache.form.codec = Some(Arc::new(Wire::new(self.most_body)));
        let rules = Rules {
            cache: cache.weigh(Entry::weight),
            alone: Alone::new(),
            name: self.name,
            most_body: self.most_body,
            scope: self.scope,
            pass_when: self.pass_when,
            lifetimes: self.lifetimes,
            keyed: self.keyed,
            tag_header: self.tag_header,
            makes_validators: self.makes_validators,
            obeys_requests: self.obeys_requests,
        };
        CacheLayer { rules: Arc::new(rules) }
    }
}

impl fmt::Debug for CacheLayerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheLayerBuilder")
            .field("class", &self.class)
            .field("name", &self.name)
            .field("most_body", &self.most_body)
            .finish_non_exhaustive()
    }
}
