//! Queries to the service behind the cache, once for all waiting requests.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::header::{AGE, CONTENT_LENGTH, DATE, ETAG, HeaderMap, HeaderValue, LAST_MODIFIED};
use http::{Method, Request, Response, StatusCode, request, response};
use http_body::Body;
use sha2::{Digest, Sha256};
use tower_service::Service;

use super::alone::Because;
use super::body::{CachedBody, Collected, collect};
use super::entry::{Entry, Kept, keepable, weight};
use super::freshness::{Asked, Freshness, is_refusal, judge};
use super::rules::Rules;
use super::status::Done;
use super::vary::Selection;
use super::wants;
use tidegate_cache_tiers::{Fill, Key, Tag};

/// Headers above this size are not kept.
const MOST_HEADERS: usize = 64 << 10;
/// Statuses of a failed origin (RFC 5861, 4).
pub(super) const FAILURES: [u16; 4] = [500, 502, 503, 504];
/// Headers of a 304 that describe another body, and replace no kept header (RFC 9111, 3.2).
const OF_THE_BODY: [&str; 5] =
    ["content-encoding", "content-length", "content-range", "content-type", "transfer-encoding"];

/// A load in which the origin failed or refused the client. Its response is on the desk of that
/// client. The waiting clients get the status alone, because the rest may be confidential.
#[derive(Debug)]
pub(super) struct Unserved(pub(super) StatusCode);

/// The same in a load of authorized requests only. A separate type, to distinguish the loads.
#[derive(Debug)]
pub(super) struct UnservedAuthorized(pub(super) StatusCode);

/// The same in a load that no request joins.
#[derive(Debug)]
pub(super) struct UnservedAlone(pub(super) StatusCode);

impl Unserved {
    pub(super) fn authorized(self) -> UnservedAuthorized {
        UnservedAuthorized(self.0)
    }

    pub(super) fn alone(self) -> UnservedAlone {
        UnservedAlone(self.0)
    }
}

/// Subject of a load.
#[derive(Clone)]
pub(super) struct Errand {
    pub(super) key: Key,
    /// The tag of the target.
    pub(super) target: Tag,
    /// Kept response that is no longer fresh.
    pub(super) old: Option<Arc<Entry>>,
    pub(super) why: &'static str,
}

/// A request with the service that was made ready for it.
pub(super) struct Order<S, B> {
    pub(super) service: S,
    pub(super) parts: request::Parts,
    pub(super) body: B,
}

/// Response for one caller alone.
pub(super) type Answer<S, R, B> = Result<Response<CachedBody<R>>, <S as Service<Request<B>>>::Error>;

/// A caller leaves its order for a load here, takes it out again if another's load answered, and
/// finds the response that is for it alone.
pub(super) struct Desk<S: Service<Request<B>>, B, R: Body> {
    order: Mutex<Option<Order<S, B>>>,
    answer: Mutex<Option<Answer<S, R, B>>>,
}

impl<S, B, R> Desk<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body<Data = Bytes> + Unpin,
{
    pub(super) fn new(order: Order<S, B>) -> Arc<Self> {
        Arc::new(Self { order: Mutex::new(Some(order)), answer: Mutex::new(None) })
    }

    pub(super) fn take_order(&self) -> Option<Order<S, B>> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn take_answer(&self) -> Option<Answer<S, R, B>> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn leave(&self, answer: Answer<S, R, B>) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
    }

    /// The load itself.
    pub(super) async fn fetch(self: Arc<Self>, rules: Arc<Rules>, errand: Errand) -> Result<Fill<Entry>, Unserved> {
        let Some(Order { mut service, mut parts, body }) = self.take_order() else {
            return Err(Unserved(StatusCode::INTERNAL_SERVER_ERROR));
        };
        let old = errand.old.as_deref().and_then(|old| if let Entry::Kept(kept) = old { Some(kept) } else { None });
        let asked = Asked::by(&parts.headers, rules.wall_time());
        wants::validate(&mut parts.headers, old);
        // The whole body is kept, so that it can answer HEAD too.
        parts.method = Method::GET;
        let requested = parts.headers.clone();
        let response = match service.call(Request::from_parts(parts, body)).await {
            Ok(response) => response,
            Err(error) => {
                self.leave(Err(error));
                return Err(Unserved(StatusCode::BAD_GATEWAY));
            }
        };
        let mut done = Done::forwarded(errand.why);
        let status = response.status();
        if status != StatusCode::NOT_MODIFIED && is_refusal(status) {
            // The kept response stays, to be served on failure or validated by the next request.
            done.detail = (!FAILURES.contains(&status.as_u16())).then_some("status");
            rules.not_kept("status");
            self.leave(Ok(rules.pass(response, done)));
            return Err(Unserved(status));
        }
        let (mut head, body) = response.into_parts();
        let mut tags = rules.take_tags(&mut head);
        tags.push(errand.target.clone());
        let mut not_modified = None;
        if head.status == StatusCode::NOT_MODIFIED {
            let Some(old) = old.filter(|old| still_holds(old, &head.headers)) else {
                self.leave(Ok(rules.refusal(StatusCode::BAD_GATEWAY, done)));
                return Err(Unserved(StatusCode::BAD_GATEWAY));
            };
            done.origin_status = Some(StatusCode::NOT_MODIFIED.as_u16());
            head.status = old.status;
            head.headers = renewed(&old.headers, &head.headers);
            not_modified = Some(old.body.clone());
        }
        let now = rules.wall_time();
        let (freshness, selection) = match assess(asked, &head, &requested, now, &rules) {
            Ok(assessed) => assessed,
            Err(reason) => {
                let body = not_modified.map_or_else(|| CachedBody::through(body), CachedBody::whole);
                let done = Done { detail: Some(reason), ..done };
                return Ok(self.alone(&rules, &errand, asked, Because::Head, (head, body, done)).await);
            }
        };
        let body = match not_modified {
            Some(body) => body,
            None => match collect(body, rules.most_body).await {
                Collected::Whole(body) if has_length(&head, body.len()) => body,
                Collected::Whole(body) => {
                    let answer = (head, CachedBody::whole(body), Done { detail: Some("incomplete"), ..done });
                    return Ok(self.alone(&rules, &errand, asked, Because::Body, answer).await);
                }
                Collected::Not(body) => {
                    let answer = (head, body, Done { detail: Some("size"), ..done });
                    return Ok(self.alone(&rules, &errand, asked, Because::Body, answer).await);
                }
            },
        };
        let mut headers = keepable(&head.headers, now);
        if rules.makes_validators {
            add_validator(head.status, &mut headers, &body);
        }
        if freshness.is_open {
            rules.alone.note_open(&errand.key, rules.clock_time().saturating_add(freshness.left()));
        }
        let kept = Kept { status: head.status, headers, body, received: now, freshness, selection };
        Ok(Fill::new(Entry::Kept(kept)).tags(tags).ttl(freshness.left()))
    }

    /// Leaves a response for its client, and a note not to wait for this target. The kept response
    /// of the target is no longer valid.
    async fn alone(
        &self,
        rules: &Rules,
        errand: &Errand,
        asked: Asked,
        because: Because,
        (mut head, body, done): (response::Parts, CachedBody<R>, Done),
    ) -> Fill<Entry> {
        done.write(&rules.name, &mut head.headers, None);
        rules.not_kept(done.detail.unwrap_or("bypass"));
        self.leave(Ok(Response::from_parts(head, body)));
        rules.alone.note(&errand.key, asked.is_authorized, because, rules.clock_time());
        // A response that authorized requests may not share says nothing about those of the others.
        if errand.old.is_some() && !asked.is_authorized {
            // An invalidation that fails is owed by the cache and sent later.
            let _ = rules.cache.remove(&errand.key).await;
        }
        Fill::new(Entry::Unshared).beside_the_former()
    }
}

/// Returns how long a response may be used and which headers chose it, according to its head.
///
/// # Errors
///
/// Reason why it may not be kept, in a word for `Cache-Status`.
pub(super) fn assess(
    asked: Asked,
    head: &response::Parts,
    requested: &HeaderMap,
    now: SystemTime,
    rules: &Rules,
) -> Result<(Freshness, Selection), &'static str> {
    let freshness = judge(asked, head, now, &rules.lifetimes)?;
    let selection = Selection::of(requested, &head.headers).ok_or("vary")?;
    if weight(&head.headers) > MOST_HEADERS { Err("size") } else { Ok((freshness, selection)) }
}

/// Whether a 304 confirms this response (RFC 9111, 4.3.4).
fn still_holds(old: &Kept, headers: &HeaderMap) -> bool {
    match (old.headers.get(ETAG), headers.get(ETAG)) {
        (Some(old), Some(new)) => wants::is_same_tag(old, new),
        (None, Some(_)) => false,
        (_, None) => match (old.headers.get(LAST_MODIFIED), headers.get(LAST_MODIFIED)) {
            (Some(old), Some(new)) => old == new,
            (old_time, None) => old_time.is_some() || old.headers.contains_key(ETAG),
            (None, Some(_)) => false,
        },
    }
}

/// Returns the kept headers, updated with those of a 304 (RFC 9111, 3.2).
fn renewed(old: &HeaderMap, new: &HeaderMap) -> HeaderMap {
    let mut headers = old.clone();
    // They described the old exchange.
    headers.remove(AGE);
    headers.remove(DATE);
    let names = || new.keys().filter(|name| !OF_THE_BODY.contains(&name.as_str()));
    for name in names() {
        headers.remove(name);
    }
    for name in names() {
        for value in new.get_all(name) {
            headers.append(name.clone(), value.clone());
        }
    }
    headers
}

/// Whether the body has the length that the response states, if it states one.
fn has_length(head: &response::Parts, length: usize) -> bool {
    head.headers.get_all(CONTENT_LENGTH).iter().all(|told| told.as_bytes() == length.to_string().as_bytes())
}

/// Adds a weak validator: an outer layer may still compress the body.
fn add_validator(status: StatusCode, headers: &mut HeaderMap, body: &Bytes) {
    if status != StatusCode::OK || headers.contains_key(ETAG) || headers.contains_key(LAST_MODIFIED) {
        return;
    }
    let tag = HEXLOWER.encode(&Sha256::digest(body)[..16]);
    if let Ok(value) = HeaderValue::try_from(format!("W/\"{tag}\"")) {
        headers.insert(ETAG, value);
    }
}
