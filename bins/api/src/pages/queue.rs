//! One queue: its jobs by state, and actions on many of them.

pub(super) mod bulk;
mod list;
mod query;
mod search;
pub(super) mod whole;

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use tidegate_queue::JobState;

use self::list::Listed;
use self::query::{QueueQuery, address};
use super::again::Again;
use super::flash::Flash;
use super::here::Here;
use super::layout::{Frame, Page};
use super::queues::{millis, moment, path};
use super::text;
use crate::routes::queues::jobs::{self, JobsQuery};
use crate::routes::queues::overview::{self, Overview};
use crate::routes::queues::{cron, known};
use tidegate_web::app::App;
use tidegate_web::path::Path;
use tidegate_web::problem::Problem;
use tidegate_web::query::Query;

const PAGE: usize = 50;

pub(super) async fn show(
    State(app): State<App>,
    Path(queue): Path<String>,
    Query(query): Query<QueueQuery>,
    frame: Frame,
) -> Result<Response, Problem> {
    page(&app, &queue, &query, &frame, Again::default()).await
}

/// Renders the page, with the form that was refused.
async fn page(app: &App, queue: &str, query: &QueueQuery, frame: &Frame, again: Again) -> Result<Response, Problem> {
    let queue = known(queue)?;
    let state = match query.state.as_deref() {
        None => JobState::Ready,
        Some(state) => {
            state.parse().map_err(|error| Problem::unprocessable("bad-query", format!("`state`: {error}")))?
        }
    };
    let sought = query.q.as_deref().map(str::trim).filter(|sought| !sought.is_empty());
    let mut flash = Flash::of(query.said.as_deref(), query.done, query.left);
    let listed = match sought {
        Some(sought) => {
            if jobs::record(app, queue, sought).await.is_ok() {
                return Ok(Redirect::to(&format!("{}/jobs/{sought}", path(queue))).into_response());
            }
            let found = search::find(app, queue, state, sought).await?;
            if found.jobs.is_empty() {
                flash = Flash::of(Some("no-job"), None, None);
            }
            found
        }
        None => {
            let asked = JobsQuery { state: Some(state.to_string()), limit: Some(PAGE), cursor: query.cursor.clone() };
            let page = jobs::page(app, queue, asked).await?;
            Listed { jobs: page.items, next: page.next.map(|cursor| cursor.to_string()) }
        }
    };
    let overview = overview::one(app, queue).await?;
    let now = app.node().broker.now().await?;
    let is_first = query.cursor.is_none();
    let here = address(queue, state, query.cursor.as_deref(), sought);
    let body = html! {
        section.card data-part="figures" aria-label="Queue summary" { (figures(&overview)) }
        section.card aria-labelledby="jobs" {
            div.head { h2 #jobs { "Jobs" } span.note { "Sorted by next run, newest finished first" } }
            div data-part="states" { (states(&overview, state)) }
            (search::form(queue, state, sought))
            div data-part="jobs" { (list::show(frame, queue, state, &listed, now, is_first)) }
        }
        @if frame.may_change() {
            section.card aria-labelledby="whole" { h2 #whole { "Queue actions" } (whole::show(frame, &overview, &again)) }
        }
        section.card data-part="cron" aria-labelledby="cron" {
            div.head { h2 #cron { "Schedules" } a href=(Here::Cron.path()) { "All schedules" } }
            (schedules(app, queue).await?)
        }
    };
    let page = Page::below(Here::Queues, queue, here, ("Queues", Here::Queues.path()));
    Ok(again.answer(page.saying(flash).refusing(again.untold()).still(sought.is_some()).show(frame, &body)))
}

fn figures(queue: &Overview) -> Markup {
    let (counts, rates, latency) = (&queue.counts, queue.rates.as_ref(), queue.latency.as_ref());
    let figure = |label: &str, value: &str| html! { div { dt { (label) } dd { (value) } } };
    let rate = |per_second: Option<f64>| text::or_none(per_second, text::rate);
    html! {
        dl.figures {
            div { dt { "State" } dd.state data-state=(if counts.paused { "warn" } else { "ok" }) { (if counts.paused { "paused" } else { "running" }) } }
            (figure("Oldest ready", &text::or_none(counts.oldest_ready_age, text::span)))
            (figure("Enqueued", &rate(rates.map(|rates| rates.enqueued_per_second))))
            (figure("Completed", &rate(rates.map(|rates| rates.completed_per_second))))
            (figure("Failed", &rate(rates.map(|rates| rates.failed_per_second))))
            (figure("Wait P99", &millis(latency.and_then(|latency| latency.queue_wait_ms.p99))))
            (figure("Run P99", &millis(latency.and_then(|latency| latency.run_time_ms.p99))))
            (figure("Workers", &queue.live_workers().to_string()))
        }
        p.note.below {
            "Concurrency limit: " (queue.settings.max_running.map_or_else(|| "none".to_owned(), |most| most.to_string()))
            " · rate limit: " (queue.settings.rate.map_or_else(|| "none".to_owned(), |rate| format!("{} per {}", rate.jobs(), text::span(rate.per()))))
            " · completed " (counts.completed_total) " · failed " (counts.failed_total) " · retried " (counts.retried_total)
            " · reclaimed " (counts.reclaimed_total) " (all time)"
        }
    }
}

fn states(queue: &Overview, shown: JobState) -> Markup {
    let counts = &queue.counts;
    let of = |state: JobState| match state {
        JobState::Ready => counts.ready,
        JobState::Delayed => counts.delayed,
        JobState::Waiting => counts.waiting,
        JobState::Leased => counts.leased,
        JobState::Done => counts.done,
        JobState::Dead => counts.dead,
        _ => counts.cancelled,
    };
    html! {
        ul.tabs aria-label="Jobs by state" {
            @for state in JobState::ALL {
                li {
                    a href={ (path(queue.queue)) "?state=" (state.as_str()) } aria-current=[(state == shown).then_some("true")] {
                        (if state == JobState::Leased { "running" } else { state.as_str() }) span.count { (of(state)) }
                    }
                }
            }
        }
    }
}

async fn schedules(app: &App, queue: &str) -> Result<Markup, Problem> {
    let mut all = cron::all(app).await?.schedules;
    all.retain(|state| state.schedule.queue == queue);
    Ok(html! {
        @if all.is_empty() {
            p.none { "None." }
        } @else {
            ul.items {
                @for state in &all {
                    li {
                        code { (state.schedule.name) } " " span.note {
                            @match state.next {
                                Some(next) => { "next " (moment(next)) " UTC" },
                                None => { (if state.schedule.paused { "paused" } else { "ended" }) },
                            }
                        }
                    }
                }
            }
        }
    })
}
