//! `/api/events`: server-sent events.
//!
//! - `alert`: a step in an alert's life, as a webhook gets it.
//! - `health`: the health at the beginning, and each change.
//! - `gap`: events were lost.
//! - `queue`: the counts of a queue that changed.
//! - `job`: an event of a job.
//!
//! A client gets `queue` and `job` only if it names their topics. A client that reconnects with
//! `Last-Event-ID` gets the events it missed, as far as they are kept, or else a `gap`. A stream
//! ends after an hour, so that a client that no longer reads cannot keep one for ever.

pub(super) mod operations;

use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use serde::Deserialize;
use tidegate_base::permit_pool::TooManyFollowers;
use tidegate_node::jobs::QUEUES;
use tidegate_telemetry::{Follower, StreamEvent, Topic};
use tokio_util::sync::CancellationToken;

use tidegate_web::app::App;
use tidegate_web::client::ClientKey;
use tidegate_web::problem::Problem;
use tidegate_web::query::Query;

pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Interval of comments on a quiet stream. Most proxies close a quiet stream after a minute.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// After how long a client that lost the stream reconnects.
const RETRY: Duration = Duration::from_secs(2);

/// Cancelled when all streams must end.
#[derive(Clone)]
pub(super) struct Stop(pub(super) CancellationToken);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsQuery {
    topics: Option<String>,
}

pub(super) async fn follow(
    State(app): State<App>,
    Extension(Stop(stop)): Extension<Stop>,
    Extension(ClientKey(client)): Extension<ClientKey>,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let topics = query.topics.as_deref().map_or_else(|| Ok(Topic::USUAL.to_vec()), topics)?;
    // An unreadable id is not one of this service, and results in a gap.
    let after = headers.get(LAST_EVENT_ID).map(|id| id.to_str().unwrap_or_default());
    let follower = app.node().telemetry.alerts().follow(&client, &topics, after).map_err(too_many)?;
    let events = stream::unfold((follower, stop), next);
    let is_silent = topics.contains(&Topic::Jobs) && !records_events(&app).await;
    let first = if is_silent { Event::default().comment(SILENT) } else { Event::default() };
    Ok(streamed(first, events))
}

/// For a client that would wait for `job` events in vain.
const SILENT: &str = "no queue records events: set `events` with PUT /api/queue/{queue}/settings";

/// Whether some queue records events of its jobs. Unknown while the job store is unavailable.
async fn records_events(app: &App) -> bool {
    let overviews = app.node().broker.overviews(QUEUES).await;
    overviews.map_or(true, |queues| queues.iter().any(|queue| queue.settings.events))
}

/// Not 503, which would count as a failure of the server. Any number of clients may try.
pub(super) fn too_many(error: TooManyFollowers) -> Problem {
    let detail = format!("{error}; try again later");
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-followers", detail).try_again_later()
}

/// Streams events to their end. `first` is sent at once, with the reconnection delay: nginx passes
/// the head of a response on only with the first bytes of its body.
pub(super) fn streamed(
    first: Event,
    events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static,
) -> Response {
    let first = stream::iter([Ok(first.retry(RETRY))]);
    let answer = Sse::new(first.chain(events)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    // A proxy that buffers a whole response would buffer this one for ever.
    let headers = [
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, answer).into_response()
}

type Permit = (Follower, CancellationToken);

async fn next((mut follower, stop): Permit) -> Option<(Result<Event, Infallible>, Permit)> {
    let told = stop.run_until_cancelled(follower.next()).await??;
    Some((Ok(event(&told)), (follower, stop)))
}

fn event(told: &StreamEvent) -> Event {
    let event = Event::default().event(told.name).data(&*told.data);
    match &told.id {
        Some(id) => event.id(&**id),
        None => event,
    }
}

fn topics(text: &str) -> Result<Vec<Topic>, Problem> {
    let topic = |name: &str| Topic::ALL.into_iter().find(|topic| topic.name() == name);
    text.split(',').map(topic).collect::<Option<_>>().ok_or_else(|| {
        let known: Vec<_> = Topic::ALL.iter().map(|topic| format!("`{}`", topic.name())).collect();
        let known = known.join(", ");
        Problem::unprocessable("bad-topic", format!("`topics` must be {known}, separated by commas"))
    })
}
