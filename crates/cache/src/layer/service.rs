//! Handling of one request: a kept response, a load, or a bypass of the cache.

use std::future::Future;
use std::mem::replace;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::HeaderMap;
use http::{Request, Response, StatusCode};
use http_body::Body;
use tokio::runtime::Handle;
use tower_service::Service;

use super::alone::{Because, Company};
use super::body::CachedBody;
use super::change::made;
use super::entry::{Entry, Kept};
use super::freshness::{Asked, is_refusal};
use super::origin::{Answer, Desk, Errand, FAILURES, Order, Unserved, assess};
use super::rules::{Plan, Rules};
use super::status::Done;
use super::target::Target;
use super::wants::{Use, Wants};
use crate::load::Enough;
use tidegate_cache_tiers::{Key, LoadError, Lookup, Source};

/// How often a request joins the loads of others, before it is sent alone.
const ROUNDS: usize = 4;

/// A service behind a [`CacheLayer`](super::CacheLayer).
#[derive(Debug, Clone)]
pub struct HttpCache<S> {
    pub(super) inner: S,
    pub(super) rules: Arc<Rules>,
}

impl<S, B, R> Service<Request<B>> for HttpCache<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Body + Send + 'static,
    R: Body<Data = Bytes> + Unpin + Send + 'static,
    R::Error: Send,
{
    type Response = Response<CachedBody<R>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let clone = self.inner.clone();
        // The service that was made ready, not its clone.
        let service = replace(&mut self.inner, clone);
        let (parts, body) = request.into_parts();
        let visit = Visit { rules: Arc::clone(&self.rules), order: Order { service, parts, body } };
        Box::pin(visit.answer())
    }
}

/// One request in progress.
struct Visit<S, B> {
    rules: Arc<Rules>,
    order: Order<S, B>,
}

/// Result of a load.
#[expect(clippy::large_enum_variant, reason = "it is taken apart where it is returned to")]
enum Landed<S, B, A> {
    /// The answer.
    Answered(A),
    /// Nothing for this request, which must still be sent.
    Open(Order<S, B>, Next),
}

enum Next {
    /// Ask for the variant beside this response.
    Variant(Arc<Entry>),
    /// Ask again, together: another's request failed or was refused, with this status.
    Again(StatusCode),
    Alone,
}

impl<S, B, R> Visit<S, B>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Body + Send + 'static,
    R: Body<Data = Bytes> + Unpin + Send + 'static,
    R::Error: Send,
{
    async fn answer(self) -> Answer<S, R, B> {
        let body = &self.order.body;
        let has_body = !body.is_end_stream() && body.size_hint().exact() != Some(0);
        match self.rules.plan(&self.order.parts, has_body) {
            Plan::Forward(why) => self.forward(Done::forwarded(why)).await,
            Plan::Pass(why, reason) => {
                self.rules.not_kept(reason);
                let detail = (reason != why).then_some(reason);
                self.forward(Done { detail, ..Done::forwarded(why) }).await
            }
            Plan::Change(target) => self.change(target).await,
            Plan::Look(target, wants) => self.look(target, wants).await,
        }
    }

    /// Bypasses the cache.
    async fn forward(self, done: Done) -> Answer<S, R, B> {
        let Self { rules, order: Order { mut service, parts, body } } = self;
        let response = service.call(Request::from_parts(parts, body)).await?;
        Ok(rules.pass(response, done))
    }

    /// Bypasses the cache, and drops what it keeps of the target first (RFC 9111, 4.4).
    ///
    /// It runs in a task of its own: a client that leaves neither stops it nor hides its end.
    async fn change(self, target: Target) -> Answer<S, R, B> {
        let rules = Arc::clone(&self.rules);
        let keeping = Arc::clone(&rules);
        let change = async move {
            let answer = self.forward(Done::forwarded("method")).await;
            let headers = match &answer {
                Ok(response) if response.status().is_success() || response.status().is_redirection() => {
                    Some(response.headers().clone())
                }
                Ok(_) => None,
                // It is not known whether the change was made: only the answer may have been lost.
                Err(_) => Some(HeaderMap::new()),
            };
            if let Some(headers) = headers {
                made(&keeping, &target, &headers).await;
            }
            answer
        };
        let Ok(runtime) = Handle::try_current() else { return change.await };
        runtime.spawn(change).await.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime is shut down.
            Err(_) => Ok(rules.refusal(StatusCode::SERVICE_UNAVAILABLE, Done::forwarded("method"))),
        })
    }

    /// Bypasses the cache after a response that was private. The new one may be shared.
    async fn forward_alone(self, key: &Key, because: Because, why: &'static str) -> Answer<S, R, B> {
        let Self { rules, order: Order { mut service, parts, body } } = self;
        let asked = Asked::by(&parts.headers, rules.wall_time());
        let (head, body) = service.call(Request::from_parts(parts, body)).await?.into_parts();
        let says_nothing = is_refusal(head.status);
        if because == Because::Head && !says_nothing {
            match assess(asked, &head, &HeaderMap::new(), rules.wall_time(), &rules) {
                Ok(_) => rules.alone.forget(key, asked.is_authorized),
                Err(reason) => {
                    rules.alone.note(key, asked.is_authorized, because, rules.clock_time());
                    rules.not_kept(reason);
                }
            }
        }
        Ok(rules.pass(Response::from_parts(head, body), Done::forwarded(why)))
    }

    async fn look(mut self, target: Target, wants: Wants) -> Answer<S, R, B> {
        let rules = Arc::clone(&self.rules);
        let Some(mut key) = target.key() else { return self.forward(Done::forwarded("bypass")).await };
        let mut why = "uri-miss";
        let mut has_failed = false;
        // The first response of a target, the variant for this request, a retry after a failure.
        for _ in 0..ROUNDS {
            let now = rules.wall_time();
            let (found, is_fresh) = match rules.cache.peek(&key) {
                Lookup::Fresh(entry) => (Some(entry), true),
                Lookup::Stale(entry) => (Some(entry), false),
                Lookup::Miss => (None, false),
            };
            let mut old = None;
            match found.as_deref() {
                Some(Entry::Kept(kept)) if !kept.selection.admits(&self.order.parts.headers) => {
                    let Some(variant) = target.variant(&kept.selection, &self.order.parts.headers) else { break };
                    (key, why) = (variant, "vary-miss");
                    continue;
                }
                Some(Entry::Kept(kept)) => match wants.judge(kept, now) {
                    Use::Pass(why) if !wants.only_if_cached => return self.forward(Done::forwarded(why)).await,
                    Use::Fresh | Use::Stale => {
                        let answer = rules.answer(kept, &wants, Done::hit());
                        if !is_fresh && !wants.is_head {
                            self.refresh(&key, found, &target, &wants);
                        }
                        return Ok(answer);
                    }
                    Use::Pass(_) => {}
                    Use::Validate => (old, why) = (found, "stale"),
                },
                Some(Entry::Unshared) | None => {}
            }
            if wants.only_if_cached {
                return Ok(rules.refusal(StatusCode::GATEWAY_TIMEOUT, Done::default()));
            }
            if wants.is_head {
                return self.forward(Done::forwarded(why)).await;
            }
            if let Some(because) = rules.alone.because(&key, wants.is_authorized, rules.clock_time()) {
                return self.forward_alone(&key, because, why).await;
            }
            let errand = Errand { key: key.clone(), target: target.tag(), old, why };
            match self.load(errand, &wants).await {
                Landed::Answered(answer) => return answer,
                Landed::Open(order, next) => {
                    self = Self { rules: Arc::clone(&rules), order };
                    match next {
                        Next::Variant(entry) => {
                            let Entry::Kept(kept) = &*entry else { break };
                            let Some(variant) = target.variant(&kept.selection, &self.order.parts.headers) else {
                                break;
                            };
                            (key, why) = (variant, "vary-miss");
                        }
                        // One failed request need not fail the others. They are sent once more,
                        // together, and then get its status, to protect a failing origin. If the
                        // origin refuses one of them, it must refuse each by itself.
                        Next::Again(_) if !has_failed => has_failed = true,
                        Next::Again(status) if !FAILURES.contains(&status.as_u16()) => break,
                        Next::Again(status) => {
                            let done = Done { is_collapsed: true, ..Done::forwarded(why) };
                            return Ok(rules.refusal(status, done));
                        }
                        Next::Alone => break,
                    }
                }
            }
        }
        self.forward(Done::forwarded(why)).await
    }

    /// Fetches behind a stale answer, unless a fetch is in progress.
    fn refresh(self, key: &Key, old: Option<Arc<Entry>>, target: &Target, wants: &Wants) {
        let Ok(runtime) = Handle::try_current() else { return };
        let rules = Arc::clone(&self.rules);
        let errand = Errand { key: key.clone(), target: target.tag(), old, why: "stale" };
        let desk = Desk::new(self.order);
        match self.rules.company(key, wants.is_authorized) {
            Company::All => drop(self.rules.cache.refresh(&runtime, key, move || desk.fetch(rules, errand))),
            Company::Authorized => {
                let fetch = async move || desk.fetch(rules, errand).await.map_err(Unserved::authorized);
                self.rules.cache.refresh(&runtime, key, fetch);
            }
            Company::None => {
                let fetch = async move || desk.fetch(rules, errand).await.map_err(Unserved::alone);
                self.rules.cache.refresh(&runtime, key, fetch);
            }
        }
    }

    /// Queries the origin once for all that want the same and may share (see `Company`).
    async fn load(self, errand: Errand, wants: &Wants) -> Landed<S, B, Answer<S, R, B>> {
        let Self { rules, order } = self;
        let (arrived, old) = (rules.wall_time(), errand.old.clone());
        let mut done = Done::forwarded(errand.why);
        let (desk, key) = (Desk::new(order), errand.key.clone());
        let fetch = {
            let (desk, rules) = (Arc::clone(&desk), Arc::clone(&rules));
            move || desk.fetch(rules, errand)
        };
        let landed = match rules.company(&key, wants.is_authorized) {
            Company::All => {
                let load = rules.cache.load(&key, Enough::Fresh, fetch);
                load.await.map_err(|error| Fault::of(&error, |error| error.0))
            }
            Company::Authorized => {
                let fetch = async move || fetch().await.map_err(Unserved::authorized);
                let load = rules.cache.load(&key, Enough::Fresh, fetch);
                load.await.map_err(|error| Fault::of(&error, |error| error.0))
            }
            Company::None => {
                let fetch = async move || fetch().await.map_err(Unserved::alone);
                let load = rules.cache.load(&key, Enough::FreshAlone, fetch);
                load.await.map_err(|error| Fault::of(&error, |error| error.0))
            }
        };
        let order = desk.take_order();
        // L2 returns a stale response only if the load failed. L1 now holds it for the next
        // failure, for requests that it fits.
        let landed = match landed {
            Ok(read) if read.source == Source::Stale => Err(Fault::Origin(StatusCode::BAD_GATEWAY)),
            landed => landed,
        };
        match (landed, order) {
            // This caller ran the load.
            (Ok(read), None) => match &*read.value {
                Entry::Kept(kept) => {
                    done.is_stored = read.stored;
                    let is_renewed = old.as_deref().is_some_and(|old| is_of(old, kept));
                    done.origin_status = is_renewed.then_some(StatusCode::NOT_MODIFIED.as_u16());
                    Landed::Answered(Ok(rules.answer(kept, wants, done)))
                }
                Entry::Unshared => Landed::Answered(
                    desk.take_answer().unwrap_or_else(|| Ok(rules.refusal(StatusCode::INTERNAL_SERVER_ERROR, done))),
                ),
            },
            (Err(fault), None) => {
                let answer = desk.take_answer();
                let is_failure = match &answer {
                    Some(Ok(response)) => FAILURES.contains(&response.status().as_u16()),
                    Some(Err(_)) | None => true,
                };
                if let Some(stale) = in_error(old.as_deref(), &rules).filter(|_| is_failure) {
                    done.origin_status = answer.and_then(|answer| Some(answer.ok()?.status().as_u16()));
                    done.detail = Some("stale-if-error");
                    return Landed::Answered(Ok(rules.answer(stale, wants, done)));
                }
                Landed::Answered(answer.unwrap_or_else(|| Ok(rules.refusal(fault.status(), done))))
            }
            // Another caller ran it, or L2 had a value.
            (Ok(read), Some(order)) => match &*read.value {
                Entry::Kept(kept) if !kept.selection.admits(&order.parts.headers) => {
                    Landed::Open(order, Next::Variant(Arc::clone(&read.value)))
                }
                Entry::Kept(kept) => {
                    let judged = wants.judge(kept, rules.wall_time());
                    // A response fetched meanwhile is new enough, even with a short lifetime.
                    let is_new = kept.received >= arrived && judged == Use::Validate;
                    if is_new || matches!(judged, Use::Fresh | Use::Stale) {
                        let is_shared = read.source == Source::Shared;
                        done = if is_shared { Done::hit() } else { Done { is_collapsed: true, ..done } };
                        Landed::Answered(Ok(rules.answer(kept, wants, done)))
                    } else {
                        Landed::Open(order, Next::Alone)
                    }
                }
                Entry::Unshared => Landed::Open(order, Next::Alone),
            },
            (Err(fault), Some(order)) => match (in_error(old.as_deref(), &rules).filter(|_| fault.is_failure()), fault)
            {
                (Some(stale), _) => {
                    done = Done { is_collapsed: true, detail: Some("stale-if-error"), ..done };
                    Landed::Answered(Ok(rules.answer(stale, wants, done)))
                }
                // After a time-out or without a permit, a request must not go there by itself.
                (None, Fault::Overload(status)) => Landed::Answered(Ok(rules.refusal(status, done))),
                (None, Fault::Origin(status)) => Landed::Open(order, Next::Again(status)),
                (None, Fault::NoLoad) => Landed::Open(order, Next::Alone),
            },
        }
    }
}

/// Reason why a load returned nothing.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The origin failed, or refused another, with this status.
    Origin(StatusCode),
    /// It took too long, or there are too many.
    Overload(StatusCode),
    /// No load was possible.
    NoLoad,
}

impl Fault {
    fn of<E>(error: &LoadError<E>, status: impl FnOnce(&E) -> StatusCode) -> Self {
        match error {
            LoadError::Loader(error) => Self::Origin(status(error)),
            LoadError::Panicked => Self::Origin(StatusCode::INTERNAL_SERVER_ERROR),
            LoadError::TimedOut | LoadError::CutOff => Self::Overload(StatusCode::GATEWAY_TIMEOUT),
            LoadError::Refused => Self::Overload(StatusCode::SERVICE_UNAVAILABLE),
            // Aborted, without a runtime, or in a cycle.
            _ => Self::NoLoad,
        }
    }

    /// Whether the kept response may be served instead.
    fn is_failure(self) -> bool {
        !matches!(self, Self::Origin(status) if !FAILURES.contains(&status.as_u16()))
    }

    /// Status that the client gets.
    fn status(self) -> StatusCode {
        match self {
            Self::Origin(status) | Self::Overload(status) => status,
            Self::NoLoad => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Returns the old response, if it may replace that of an origin that failed.
fn in_error<'a>(old: Option<&'a Entry>, rules: &Rules) -> Option<&'a Kept> {
    let Some(Entry::Kept(kept)) = old else { return None };
    let until = kept.freshness.lifetime.saturating_add(kept.freshness.if_error);
    (kept.age(rules.wall_time()) < until).then_some(kept)
}

/// Whether the new response shares the old one's body, because the origin confirmed it.
fn is_of(old: &Entry, new: &Kept) -> bool {
    matches!(old, Entry::Kept(old) if !old.body.is_empty() && old.body.as_ptr() == new.body.as_ptr())
}
