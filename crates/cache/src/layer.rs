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

#[cfg(not(feature = "redis"))]
use crate::l2::wire;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::HeaderName;
use http::{StatusCode, request};
use tower_layer::Layer;

pub use body::CachedBody;
pub use rules::ResponseTags;
pub use service::HttpCache;

use crate::tiered::TieredCache;
use crate::ttl::TtlClass;
use alone::Alone;
use entry::Entry;
use rules::{Lifetimes, Now, PassWhen, Rules, Scope};
use wire::Wire;

/// Largest body that is kept, unless a layer says otherwise.
const MOST_BODY: usize = 1 << 20;
/// How long what is no longer fresh is held to be validated, where the class has no grace of its own.
const HELD_STALE: Duration = Duration::from_secs(60 * 60);

/// Keeps the responses of a service in a [`TieredCache`], as a shared cache by RFC 9111. For everything that speaks tower and
/// `http` with bodies of [`Bytes`](bytes::Bytes): axum, hyper, tonic.
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
///         let response = Response::builder().header("cache-control", "max-age=60");
///         Ok::<_, Infallible>(response.body(Full::new(Bytes::from("made once"))).expect("a good header"))
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
/// # What is kept
///
/// - Responses to GET that say how long they are fresh (`s-maxage`, `max-age`, `Expires`), or that
///   [`lifetime`](CacheLayerBuilder::lifetime) names a time for. Nothing is guessed from `Last-Modified`, and nothing from how a
///   path ends.
/// - Never what says `no-store`, `private` or `no-cache`, sets a cookie, varies by `*` or by more than 8 headers, is partial, is longer
///   than [`max_body`](CacheLayerBuilder::max_body), has trailers, or breaks off. It streams through. While a response that may be
///   kept is read it is held back, so one that goes on for ever must not name a lifetime.
/// - An answer to a request with `Authorization` only if it says `public`, `s-maxage` or `must-revalidate`; and such a request is
///   given nothing else.
///
/// # What is answered
///
/// - A fresh response that the headers named in its `Vary` select, with its `Age`; HEAD from what GET brought; 304 where the
///   client has it already. `Cache-Status` (RFC 9211) says what was done.
/// - A stale one within its `stale-while-revalidate`, while another is fetched, and within its `stale-if-error` where the origin
///   fails. `must-revalidate` and `proxy-revalidate` forbid both. Any other stale one after the origin has said by 304 that it
///   holds. What is stale is held for the grace of the class, or for an hour; where only the shared
///   tier holds it, it is fetched anew whole, and stands in for an origin that fails from the next request on.
/// - Requests that come together while nothing is kept are one request to the origin. If what it brings may not be shared, the
///   others ask for themselves, and for a minute after each such response nobody waits for another's there, until one says that it may be
///   shared; that is remembered of up to 4,096 targets, in this process. If the origin fails, the others ask once more, together,
///   and are then told its status. A load goes on when its client leaves, in a task of its own: it must not rely on what belongs to
///   the client's task.
/// - Requests with `Authorization` wait for one another only where a response of that target has said that they may share it (`public`,
///   `s-maxage`, `must-revalidate`), for its lifetime and a minute; before that, and after one that said otherwise, each goes alone.
///   Those without one never wait for them, nor they for those.
/// - Ranges, `If-Match`, upgrades, requests with a body and those that say `no-store` pass. So do those that ask for something
///   newer than what is kept, which isn't replaced by what they get.
/// - Other methods pass, and what is kept for their target goes when they succeed, before their answer is given; so do the
///   targets of the same origin that it names in `Location` and `Content-Location`. So it is exactly where the service answers with a
///   status of success or redirection, though the client has left: a change goes on in a task of its own to its end. A service that answers
///   with an error after it has changed something invalidates by itself.
/// - A status that refuses the client (401, 429, 431, …), or that isn't known here, is passed on to who asked. What is kept stays, and
///   the others who waited ask once more, together.
///
/// # Where to put it
///
/// Outside of what makes responses, inside of what is each client's own: access, limits, request ids and compression stand outside of it.
/// A layer outside that wraps the bodies of *requests* must pass their `is_end_stream` and `size_hint` on. Where it doesn't, each GET looks as if
/// it had a body and passes: then `Cache-Status` says `fwd=bypass; detail="body"`. Whatever is not kept, `Cache-Status` says why, and so does
/// [`Event::ResponseNotKept`](crate::Event::ResponseNotKept).
///
/// # What is one response
///
/// Scope, scheme, host, path and query as the origin sees them, and the headers in [`keyed`](CacheLayerBuilder::keyed). A host in another
/// form, with user information, a port, capitals, or another `Host` beside an authority, is another response, since a service may build
/// links by it; a change in any form drops them all. **Put a
/// tenant into the [`scope`](CacheLayerBuilder::scope)** where anything but host and path tells tenants apart. The layer
/// believes its service: a header that changes a response and stands in neither `Vary` nor the key is a fault that it can't see.
///
/// Headers stand in keys as hashes. **Path and query stand there as they are**, and so in Redis, its slow log and what shows keys, unless
/// the key is longer than 200 characters: let requests whose query is a secret [pass](CacheLayerBuilder::pass_when).
///
/// Extensions of a response are not kept. A handler that panics is a 500; one that takes longer than the class allows
/// ([`TtlClass::hard_timeout`], [`TtlClass::load_limit`]) a 504, and a load without a place ([`TtlClass::max_loads`]) a 503.
#[derive(Debug, Clone)]
pub struct CacheLayer {
    rules: Arc<Rules>,
}

impl CacheLayer {
    /// A layer with the default settings.
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
            now: Box::new(wall_time),
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
    now: Now,
}

impl CacheLayerBuilder {
    /// The class under which responses are counted and invalidated; [`TtlClass::API`] unless set. Responses say themselves how
    /// long they are fresh; its caps per tier and its grace count.
    pub fn class(mut self, class: TtlClass) -> Self {
        self.class = class;
        self
    }

    /// The name of this cache in `Cache-Status`, a token of RFC 9110; `Tidegate` unless set. Of another text what is no letter,
    /// digit or dash is left out.
    pub fn name(mut self, name: &str) -> Self {
        let kept: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        // A token of structured fields begins with a letter.
        if kept.starts_with(|c: char| c.is_ascii_alphabetic()) {
            self.name = kept;
        }
        self
    }

    /// The largest body that is kept, in bytes; 1 MiB unless set. So much memory may be taken for each load under way.
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.most_body = bytes;
        self
    }

    /// Whose response it is: what is kept in one scope is never given in another, nor dropped by a change there. One for all
    /// unless set. A request without a scope passes. Tags that a service names are those of the whole cache, whatever the scope: put the
    /// tenant into them.
    pub fn scope(mut self, scope: impl Fn(&request::Parts) -> Option<String> + Send + Sync + 'static) -> Self {
        self.scope = Box::new(scope);
        self
    }

    /// Reads that pass the cache by: they are neither answered from it nor kept.
    pub fn pass_when(mut self, passes: impl Fn(&request::Parts) -> bool + Send + Sync + 'static) -> Self {
        self.pass_when = Box::new(passes);
        self
    }

    /// The lifetime of responses that name none, by their status; they are not kept unless this is set. Those that forbid it
    /// aren't kept then either.
    pub fn lifetime(mut self, of: impl Fn(StatusCode) -> Option<Duration> + Send + Sync + 'static) -> Self {
        self.lifetimes = Box::new(of);
        self
    }

    /// Adds a request header to the key: requests that differ in it never share a response, whatever `Vary` says.
    ///
    /// Headers by which clients choose host, path, scheme or method of what they ask for, such as `X-Forwarded-Host` and
    /// `X-Original-URL`, are part of it already. `Forwarded` is not, since it often names the client too: add it, or have it
    /// removed in front, where the service heeds it. Keys have a hash of the values, never the values.
    pub fn keyed(mut self, name: HeaderName) -> Self {
        self.keyed.push(name);
        self
    }

    /// The response header that names tags, separated by commas; `Cache-Tag` by default. It is not
    /// sent on.
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

    /// Leaves what clients say in `Cache-Control` and `Pragma` unheard, so that none can reach the service past what is kept.
    pub fn ignore_request_directives(mut self) -> Self {
        self.obeys_requests = false;
        self
    }

    /// The time of day, by which ages are counted; the system's unless set, for tests.
    pub fn now(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.now = Box::new(now);
        self
    }

    /// Builds the layer.
    pub fn build(mut self) -> CacheLayer {
        if self.class.grace_period().is_zero() {
            self.class = self.class.grace(HELD_STALE);
        }
        // What is stale in L2 is given out by the rules of HTTP alone: not before the origin was asked.
        self.class = self.class.soft_timeout(self.class.limit());
        // A name that stands here twice would be no key.
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
            now: self.now,
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

#[expect(clippy::disallowed_methods, reason = "ages and dates are told by the time of day, here alone")]
fn wall_time() -> SystemTime {
    SystemTime::now()
}
