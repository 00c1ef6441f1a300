//! All queues: their jobs, throughput and workers.

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use tidegate_queue::{JobRecord, JobState, Timestamp};

use super::flash::{Flash, said};
use super::form::{Change, signed};
use super::here::Here;
use super::layout::{Button, Frame, Page};
use super::table::{ACTION, NAME, NUMBER, TEXT, table};
use super::text;
use crate::routes::queues::overview::{self, Overview, SeenWorker};
use crate::routes::queues::{actions, jobs};
use tidegate_web::app::App;
use tidegate_web::path::Path;
use tidegate_web::problem::Problem;
use tidegate_web::query::Query;

/// Maximum number of running jobs per queue in the list.
const MOST_RUNNING: usize = 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QueuesQuery {
    said: Option<String>,
    done: Option<u64>,
    left: Option<u64>,
}

pub(super) async fn show(
    State(app): State<App>,
    Query(query): Query<QueuesQuery>,
    frame: Frame,
) -> Result<Response, Problem> {
    let workers = overview::workers(&app).await?;
    let queues = overview::all(&app, &workers).await?;
    let now = app.node().broker.now().await?;
    let running = jobs::running(&app, MOST_RUNNING).await?;
    let body = html! {
        section.card data-part="queues" aria-labelledby="queues" {
            div.head { h2 #queues { "Queues" } span.note { "Rates of the last minute; times of jobs that this process ran" } }
            (overviews(&queues, &frame))
        }
        section.card data-part="workers" aria-labelledby="workers" {
            h2 #workers { "Workers" }
            (workers_table(&workers, now))
        }
        section.card data-part="running" aria-labelledby="running" {
            h2 #running { "Running now" }
            (running_table(&running, now))
        }
    };
    let flash = Flash::of(query.said.as_deref(), query.done, query.left);
    Ok(Page::of(Here::Queues).saying(flash).show(&frame, &body))
}

/// `/dashboard/queues/{queue}`.
pub(super) fn path(queue: &str) -> String {
    format!("{}/{queue}", Here::Queues.path())
}

fn overviews(queues: &[Overview], frame: &Frame) -> Markup {
    let columns = [
        ("Queue", NAME),
        ("Ready", NUMBER),
        ("Delayed", NUMBER),
        ("Waiting", NUMBER),
        ("Running", NUMBER),
        ("Dead", NUMBER),
        ("Oldest ready", NUMBER),
        ("Enqueued", NUMBER),
        ("Completed", NUMBER),
        ("Failed", NUMBER),
        ("Wait P99", NUMBER),
        ("Run P99", NUMBER),
        ("Workers", NUMBER),
        ("Pause or resume", ACTION),
    ];
    table(
        "Queues with jobs by state, rates and times",
        &columns,
        queues.iter().map(|queue| {
            let counts = &queue.counts;
            let rate = |of: fn(&tidegate_telemetry::Rates) -> f64| {
                html! { (text::or_none(queue.rates.as_ref(), |rates| text::rate(of(rates)))) }
            };
            vec![
                html! { a href=(path(queue.queue)) { (queue.queue) } @if counts.paused { " " span.badge data-state="warn" { "paused" } } },
                html! { (counts.ready) },
                html! { (counts.delayed) },
                html! { (counts.waiting) },
                html! { (counts.leased) },
                html! { span data-state=[(counts.dead > 0).then_some("bad")] { (counts.dead) } },
                html! { (text::or_none(counts.oldest_ready_age, text::span)) },
                rate(|rates| rates.enqueued_per_second),
                rate(|rates| rates.completed_per_second),
                rate(|rates| rates.failed_per_second),
                html! { (millis(queue.latency.as_ref().and_then(|latency| latency.queue_wait_ms.p99))) },
                html! { (millis(queue.latency.as_ref().and_then(|latency| latency.run_time_ms.p99))) },
                html! { span data-state=[(queue.live_workers() == 0).then_some("warn")] { (queue.live_workers()) } },
                html! { @if frame.may_change() { (switch(frame, queue, "")) } },
            ]
        }),
    )
}

pub(super) fn millis(ms: Option<f64>) -> String {
    text::or_none(ms.and_then(|ms| std::time::Duration::try_from_secs_f64(ms / 1_000.0).ok()), text::time)
}

/// The button that pauses or resumes a queue. `back` is the page with the button.
pub(super) fn switch(frame: &Frame, queue: &Overview, back: &str) -> Markup {
    let (act, label) = if queue.counts.paused { ("resume", "Resume") } else { ("pause", "Pause") };
    let action = format!("{}/{act}", path(queue.queue));
    let about = format!("queue {}", queue.queue);
    let fields = if back.is_empty() { &[][..] } else { &[("back", back)] };
    frame.button(&Button { action: &action, label, about: &about, asks: None }, fields)
}

fn workers_table(workers: &[SeenWorker], now: Timestamp) -> Markup {
    let columns = [
        ("Worker", NAME),
        ("Process", NUMBER),
        ("Queues", TEXT),
        ("Running", NUMBER),
        ("Uptime", NUMBER),
        ("Last seen", NUMBER),
    ];
    table(
        "Workers seen in the last hour",
        &columns,
        workers.iter().map(|SeenWorker { info: worker, lost }| {
            vec![
                html! { code { (worker.id.as_str()) } @if *lost { " " span.badge data-state="bad" { "lost" } } },
                html! { (worker.pid) },
                html! { (worker.queues.join(", ")) },
                html! { (worker.running) },
                html! { (text::span(now.since(worker.started_at))) },
                html! { (text::span(now.since(worker.last_seen))) " ago" },
            ]
        }),
    )
}

fn running_table(running: &[JobRecord], now: Timestamp) -> Markup {
    let columns = [("Job", TEXT), ("Queue", NAME), ("Kind", TEXT), ("Progress", TEXT), ("Running for", NUMBER)];
    table(
        "Running jobs",
        &columns,
        running.iter().map(|job| {
            vec![
                link(job),
                html! { a href=(path(&job.queue)) { (job.queue) } },
                html! { code { (job.kind) } },
                progress(job),
                html! { (text::or_none(job.attempts.last(), |run| text::span(now.since(run.started_at)))) },
            ]
        }),
    )
}

/// Formats a time of the broker.
pub(super) fn moment(time: Timestamp) -> String {
    text::moment(u64::try_from(time.unix_ms()).unwrap_or_default())
}

/// Links to the page of a job.
pub(super) fn link(job: &JobRecord) -> Markup {
    html! { a href={ (path(&job.queue)) "/jobs/" (job.id.as_str()) } { code { (job.id.as_str()) } } }
}

/// Returns the progress of the latest run.
pub(super) fn progress(job: &JobRecord) -> Markup {
    html! {
        @match &job.progress {
            Some(progress) => {
                progress max="100" value=(progress.percent) aria-label={ "Progress of " (job.id.as_str()) } {}
                " " (progress.percent) " % "
                @if !progress.message.is_empty() { bdi.note { (text::beginning(&text::visible(&progress.message), 120)) } }
            },
            None => (text::NONE),
        }
    }
}

/// Returns a class by urgency.
pub(super) fn state_of(state: JobState) -> Option<&'static str> {
    match state {
        JobState::Dead => Some("bad"),
        JobState::Done => Some("ok"),
        JobState::Cancelled => Some("unknown"),
        _ => None,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Switch {
    form: String,
    /// `queue` if the button was on the queue's own page.
    back: Option<String>,
}

signed!(Switch);

pub(super) async fn pause(
    State(app): State<App>,
    Path(queue): Path<String>,
    Change { wanted, .. }: Change<Switch>,
) -> Result<Response, Problem> {
    actions::set_paused(&app, &queue, true).await?;
    Ok(back(&wanted, &queue, "queue-paused").into_response())
}

pub(super) async fn resume(
    State(app): State<App>,
    Path(queue): Path<String>,
    Change { wanted, .. }: Change<Switch>,
) -> Result<Response, Problem> {
    actions::set_paused(&app, &queue, false).await?;
    Ok(back(&wanted, &queue, "queue-resumed").into_response())
}

fn back(wanted: &Switch, queue: &str, code: &'static str) -> Redirect {
    if wanted.back.as_deref() == Some("queue") { said(&path(queue), code) } else { said(Here::Queues.path(), code) }
}
