//! The settings of a layer, and the decisions that follow from them alone.

use std::fmt;
use std::time::{Duration, SystemTime};

use http::header::{HeaderMap, HeaderName};
use http::{Method, Response, StatusCode, request};
use http_body::Body;

use super::alone::{Alone, Company};
use super::body::CachedBody;
use super::entry::{Entry, Kept};
use super::status::Done;
use super::target::Target;
use super::wants::{Wants, Why};
use crate::handle::TypedCache;
use tidegate_cache_tiers::{Event, Key, Tag};

pub(super) type Scope = Box<dyn Fn(&request::Parts) -> Option<String> + Send + Sync>;
pub(super) type PassWhen = Box<dyn Fn(&request::Parts) -> bool + Send + Sync>;
pub(super) type Lifetimes = Box<dyn Fn(StatusCode) -> Option<Duration> + Send + Sync>;

/// Tags of a response, as its extension, set by the handler. They invalidate the kept response.
#[derive(Debug, Clone, Default)]
pub struct ResponseTags(pub Vec<Tag>);

pub(super) struct Rules {
    pub(super) cache: TypedCache<Entry>,
    pub(super) alone: Alone,
    pub(super) name: String,
    pub(super) most_body: usize,
    pub(super) scope: Scope,
    pub(super) pass_when: PassWhen,
    pub(super) lifetimes: Lifetimes,
    pub(super) keyed: Vec<HeaderName>,
    pub(super) tag_header: HeaderName,
    pub(super) makes_validators: bool,
    pub(super) obeys_requests: bool,
}

/// Way in which a request is handled.
pub(super) enum Plan {
    /// No response is kept and none is dropped.
    Forward(Why),
    /// A read whose response is not kept, for this reason.
    Pass(Why, &'static str),
    /// It may change its target.
    Change(Target),
    /// A kept response may answer it.
    Look(Target, Wants),
}

impl Rules {
    /// Returns how to handle a request, with or without a body.
    pub(super) fn plan(&self, request: &request::Parts, has_body: bool) -> Plan {
        let is_read = matches!(request.method, Method::GET | Method::HEAD);
        if !is_read && request.method.is_safe() {
            return Plan::Forward("method");
        }
        // A change drops the kept responses even if the target would not be cached.
        let passes = is_read && (self.pass_when)(request);
        let Some(scope) = (self.scope)(request).filter(|_| !passes) else {
            return if is_read { Plan::Pass("bypass", "bypass") } else { Plan::Forward("bypass") };
        };
        let target = Target::of(request, scope, &self.keyed);
        if !is_read {
            return Plan::Change(target);
        }
        match Wants::of(request, has_body, self.obeys_requests) {
            Ok(wants) => Plan::Look(target, wants),
            // A word of its own, because a layer may be the cause.
            Err("body") => Plan::Pass("bypass", "body"),
            Err(why) => Plan::Pass(why, why),
        }
    }

    /// Reports why the response to a read is not kept.
    pub(super) fn not_kept(&self, reason: &'static str) {
        let class = self.cache.class().name();
        self.cache.cache().tiers.notify(&Event::ResponseNotKept { class, reason });
    }

    /// Returns the requests that may share a query to the origin for this key.
    pub(super) fn company(&self, key: &Key, is_authorized: bool) -> Company {
        match is_authorized {
            false => Company::All,
            true if self.alone.is_open(key, self.clock_time()) => Company::Authorized,
            true => Company::None,
        }
    }

    /// Returns the monotonic time of the cache's clock.
    pub(super) fn clock_time(&self) -> Duration {
        self.cache.cache().tiers.clock.coarse()
    }

    /// Returns the time of day by the cache's clock.
    pub(super) fn wall_time(&self) -> SystemTime {
        self.cache.cache().tiers.clock.wall()
    }

    /// Removes the tags from a response, because they are internal.
    pub(super) fn take_tags(&self, response: &mut http::response::Parts) -> Vec<Tag> {
        let mut tags = response.extensions.remove::<ResponseTags>().unwrap_or_default().0;
        for line in response.headers.get_all(&self.tag_header) {
            let names = line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            tags.extend(names.filter(|name| !name.is_empty()).map(|name| Tag::named(&String::from_utf8_lossy(name))));
        }
        response.headers.remove(&self.tag_header);
        tags
    }

    /// Returns the response as it is sent on.
    pub(super) fn pass<R>(&self, response: Response<R>, done: Done) -> Response<CachedBody<R>>
    where
        R: Body<Data = bytes::Bytes>,
    {
        let (mut head, body) = response.into_parts();
        self.take_tags(&mut head);
        done.write(&self.name, &mut head.headers, None);
        Response::from_parts(head, CachedBody::through(body))
    }

    /// Returns a kept response as the answer to a request.
    pub(super) fn answer<R>(&self, kept: &Kept, wants: &Wants, done: Done) -> Response<CachedBody<R>>
    where
        R: Body<Data = bytes::Bytes>,
    {
        let now = self.wall_time();
        let mut headers = kept.headers_at(now);
        done.write(&self.name, &mut headers, Some((kept, now)));
        let is_known = wants.has(kept);
        let body = if is_known || wants.is_head { bytes::Bytes::new() } else { kept.body.clone() };
        let mut response = Response::new(CachedBody::whole(body));
        *response.status_mut() = kept.status;
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            without_representation(&mut headers);
        }
        *response.headers_mut() = headers;
        response
    }

    /// Returns an answer of the cache itself.
    pub(super) fn refusal<R>(&self, status: StatusCode, done: Done) -> Response<CachedBody<R>>
    where
        R: Body<Data = bytes::Bytes>,
    {
        let mut response = Response::new(CachedBody::whole(bytes::Bytes::new()));
        *response.status_mut() = status;
        done.write(&self.name, response.headers_mut(), None);
        response
    }
}

/// A 304 has no content to describe (RFC 9110, 15.4.5).
fn without_representation(headers: &mut HeaderMap) {
    for name in ["content-encoding", "content-language", "content-length", "content-range", "content-type"] {
        headers.remove(name);
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").field("name", &self.name).field("most_body", &self.most_body).finish_non_exhaustive()
    }
}
