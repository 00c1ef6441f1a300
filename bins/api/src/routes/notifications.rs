//! `/api/notifications`: a tenant's notifications, as a list and as server-sent events.
//!
//! The id of its last event resumes a stream, on any instance. No stored notification is lost or
//! sent twice. A `gap` reports those that are no longer stored.

pub(super) mod operations;

use std::convert::Infallible;

use axum::Extension;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_node::jobs::shown;
use tidegate_store::Notification;
use tidegate_store::notify::{NotFollowed, Subscription, SubscriptionEvent};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::events::{self, KEEP_ALIVE, LAST_EVENT_ID, Stop};
use tidegate_web::app::App;
use tidegate_web::caller::{self, Caller};
use tidegate_web::problem::Problem;
use tidegate_web::query::Query;

const DEFAULT_PAGE: u32 = 50;
const MAX_PAGE: u32 = 200;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageQuery {
    after: Option<u64>,
    limit: Option<u32>,
}

pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    let limit = query.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::unprocessable("bad-limit", format!("`limit` is a number from 1 to {MAX_PAGE}")));
    }
    let (store, tenant) = (&app.node().store, &caller.tenant.id);
    // Read before the rows: then a new notification is on the page or after `last`.
    let ends = store.ends_of_notifications(tenant).await?;
    let told = store.notifications(tenant, query.after.unwrap_or(0), limit).await?;
    // Those of other users are skipped, so a page may be shorter than requested although more
    // follow.
    let next = told.last().map(|last| last.seq);
    let items: Vec<Value> = told.iter().filter(|told| concerns(&caller, told)).map(shown).collect();
    let page = json!({"items": items, "next_after": next, "last": ends.last, "gone": ends.gone});
    Ok(axum::Json(page).into_response())
}

/// A user gets what concerns it and what concerns all. The tenant itself gets everything.
fn concerns(caller: &Caller, told: &Notification) -> bool {
    let Some(session) = &caller.session else { return true };
    told.user.as_ref().is_none_or(|user| *user == session.user.to_string())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FollowQuery {
    after: Option<u64>,
}

pub(super) async fn follow(
    State(app): State<App>,
    Extension(Stop(stop)): Extension<Stop>,
    caller: Caller,
    Query(query): Query<FollowQuery>,
    parts: Parts,
) -> Result<Response, Problem> {
    // The header is the client's position, the query only its start. An unreadable id is not one of
    // this service, and results in a gap.
    let resumed = parts.headers.get(LAST_EVENT_ID).map(|id| id.to_str().ok().and_then(number).unwrap_or(u64::MAX));
    let subscription = match app.node().bus.subscribe(&caller.tenant.id, resumed.or(query.after)).await {
        Ok(subscription) => subscription,
        Err(NotFollowed::TooMany(error)) => return Err(events::too_many(error)),
        Err(NotFollowed::Store(error)) => return Err(error.into()),
        Err(error) => return Err(Problem::internal(&error)),
    };
    let Parts { headers, extensions, .. } = parts;
    let mut check = tokio::time::interval_at(Instant::now() + KEEP_ALIVE, KEEP_ALIVE);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stream = Stream { app, stop, subscription, caller, headers, extensions, check };
    Ok(events::streamed(Event::default(), stream::unfold(stream, Stream::next)))
}

struct Stream {
    app: App,
    stop: CancellationToken,
    subscription: Subscription,
    caller: Caller,
    /// The headers that authenticated the client.
    headers: HeaderMap,
    extensions: Extensions,
    /// Ticks for the checks that the key or session is still valid.
    check: Interval,
}

impl Stream {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        let stop = self.stop.clone();
        let told = stop.run_until_cancelled(self.told()).await??;
        Some((Ok(event(&told)), self))
    }

    /// Returns the next notifications, while the key or session is valid.
    async fn told(&mut self) -> Option<SubscriptionEvent> {
        loop {
            tokio::select! {
                biased;
                _ = self.check.tick() => {
                    if !caller::still_speaks_for(&self.app, &self.headers, &self.extensions, &self.caller).await {
                        return None;
                    }
                }
                told = self.subscription.next() => match told {
                    Some(SubscriptionEvent::Notification(other)) if !concerns(&self.caller, &other) => {}
                    told => return told,
                },
            }
        }
    }
}

fn event(told: &SubscriptionEvent) -> Event {
    match told {
        SubscriptionEvent::Notification(notification) => {
            Event::default().event("notification").id(id(notification.seq)).data(shown(notification).to_string())
        }
        SubscriptionEvent::Gap { missed, after } => {
            let data = json!({"missed": missed, "after": after});
            Event::default().event("gap").id(id(*after)).data(data.to_string())
        }
    }
}

/// Not to be confused with the id of an event in the operations' stream, or the reverse.
fn id(seq: u64) -> String {
    format!("n{seq}")
}

fn number(id: &str) -> Option<u64> {
    id.strip_prefix('n').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_back_and_no_others() {
        assert_eq!(number(&id(7)), Some(7));
        for other in ["7", "n", "n-7", "n+7", "17-3", "", "n7 ", "n99999999999999999999"] {
            assert_eq!(number(other), None, "{other}");
        }
    }
}
