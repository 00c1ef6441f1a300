//! One job: its state, its runs, and its payload.

mod payload;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;
use tidegate_queue::{Attempt, JobRecord, JobState, LogLine, Timestamp};

use super::ask::{Question, is_sure};
use super::flash::{Flash, said};
use super::form::{Change, signed};
use super::here::Here;
use super::layout::{Button, Frame, Page};
use super::queues::{moment, path as queue_path, progress, state_of};
use super::table::{NUMBER, TEXT, table};
use super::text;
use crate::routes::queues::jobs::{self, Act, Done};
use crate::routes::queues::known;
use tidegate_web::app::App;
use tidegate_web::path::Path;
use tidegate_web::problem::Problem;
use tidegate_web::query::Query;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JobQuery {
    said: Option<String>,
    done: Option<u64>,
    left: Option<u64>,
}

pub(super) async fn show(
    State(app): State<App>,
    Path((queue, id)): Path<(String, String)>,
    Query(query): Query<JobQuery>,
    frame: Frame,
) -> Result<Response, Problem> {
    let queue = known(&queue)?;
    let job = jobs::record(&app, queue, &id).await?;
    let lines = jobs::lines(&app, queue, &id).await?;
    let now = app.node().broker.now().await?;
    let body = html! {
        section.card data-part="facts" aria-labelledby="facts" {
            div.head { h2 #facts { "Status" } }
            (facts(&job, now))
            @if frame.may_change() { (buttons(&frame, &job)) }
        }
        section.card data-part="runs" aria-labelledby="runs" {
            div.head { h2 #runs { "Runs" } span.note { "Leases: " (job.deliveries) " · failures: " (job.failures) } }
            (runs(&job.attempts))
        }
        section.card data-part="log" aria-labelledby="log" {
            div.head { h2 #log { "Log" } span.note { "Last 100 lines" } }
            (log(&lines))
        }
        @if let Some(result) = &job.result {
            section.card aria-labelledby="result" { h2 #result { "Result" } (payload::show("Result", &result.to_string())) }
        }
        @if frame.may_change() {
            section.card aria-labelledby="payload" {
                div.head { h2 #payload { "Payload" } span.note { "Version " (job.version) "; likely secrets are masked" } }
                (payload::show("Payload", &job.payload))
            }
        }
    };
    let flash = Flash::of(query.said.as_deref(), query.done, query.left);
    let above = queue_path(queue);
    Ok(Page::below(Here::Queues, job.id.as_str(), path(&job), (queue, &above)).saying(flash).show(&frame, &body))
}

fn path(job: &JobRecord) -> String {
    format!("{}/jobs/{}", queue_path(&job.queue), job.id)
}

fn facts(job: &JobRecord, now: Timestamp) -> Markup {
    let fact = |label: &str, value: Markup| html! { div { dt { (label) } dd { (value) } } };
    let time = |time: Timestamp| html! { (moment(time)) " UTC" };
    let state = if job.state == JobState::Leased { "running" } else { job.state.as_str() };
    html! {
        dl.facts {
            (fact("State", html! { span.state data-state=[state_of(job.state)] { (state) } }))
            (fact("Kind", html! { code { (job.kind) } }))
            (fact("Priority", html! { (u8::from(job.priority)) " (0–4)" }))
            (fact("Enqueued", html! { (time(job.created_at)) " (" (text::span(now.since(job.created_at))) " ago)" }))
            (fact("Due", time(job.run_at)))
            @if let Some(end) = job.finished_at { (fact("Ended", time(end))) }
            @if let Some(end) = job.expires_at { (fact("Expires", time(end))) }
            @if let Some(most) = job.max_attempts { (fact("Max attempts", html! { (most) })) }
            @if let Some(key) = &job.ordering_key { (fact("Ordering key", html! { bdi { (text::beginning(&text::visible(key), 128)) } })) }
            @if let Some(key) = &job.unique_key { (fact("Unique key", html! { bdi { (text::beginning(&text::visible(key), 128)) } })) }
            @if let Some(group) = &job.group { (fact("Group", html! { code { (group.as_str()) } })) }
            @if job.progress.is_some() { (fact("Progress", progress(job))) }
            @if let Some(note) = &job.note { (fact("Note", html! { bdi { (text::visible(&tidegate_perfmon::mask(note))) } })) }
        }
    }
}

fn runs(runs: &[Attempt]) -> Markup {
    let columns = [("Started, UTC", TEXT), ("Duration", NUMBER), ("Outcome", TEXT)];
    table(
        "Runs of the job, newest first",
        &columns,
        runs.iter().rev().map(|run| {
            vec![
                html! { (moment(run.started_at)) },
                html! { (text::or_none(run.ended_at, |end| text::time(end.since(run.started_at)))) },
                html! {
                    @match (&run.error, run.ended_at) {
                        (Some(error), _) => pre { (text::visible(error)) },
                        (None, Some(_)) => span data-state="ok" { "success" },
                        (None, None) => "running",
                    }
                },
            ]
        }),
    )
}

fn log(lines: &[LogLine]) -> Markup {
    html! {
        @if lines.is_empty() {
            p.none { "None." }
        } @else {
            pre tabindex="0" role="region" aria-label="Log" {
                @for line in lines { (moment(line.at)) " #" (line.delivery) "  " (text::visible(&line.text)) "\n" }
            }
        }
    }
}

fn buttons(frame: &Frame, job: &JobRecord) -> Markup {
    let path = path(job);
    let button = |act: &str, label, asks| {
        let action = format!("{path}/{act}");
        frame.button(&Button { action: &action, label, about: "", asks }, &[])
    };
    html! {
        div.buttons.below {
            @if matches!(job.state, JobState::Dead | JobState::Cancelled) { (button("retry", "Retry", None)) }
            @if job.state == JobState::Delayed { (button("promote", "Promote", None)) }
            @if job.state.is_finished() {
                (button("remove", "Delete", Some("Delete this job and its log?")))
            } @else {
                (button("cancel", "Cancel", Some("Cancel this job?")))
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct One {
    form: String,
    sure: Option<String>,
}

signed!(One);

pub(super) async fn retry(
    State(app): State<App>,
    Path((queue, id)): Path<(String, String)>,
    _: Change<One>,
) -> Result<Response, Problem> {
    change(&app, &queue, &id, Act::Retry, "job-retried").await
}

pub(super) async fn promote(
    State(app): State<App>,
    Path((queue, id)): Path<(String, String)>,
    _: Change<One>,
) -> Result<Response, Problem> {
    change(&app, &queue, &id, Act::Promote, "job-promoted").await
}

pub(super) async fn cancel(
    State(app): State<App>,
    Path((queue, id)): Path<(String, String)>,
    Change { wanted, frame }: Change<One>,
) -> Result<Response, Problem> {
    if is_sure(wanted.sure.as_deref()) {
        return change(&app, &queue, &id, Act::Cancel, "job-cancelled").await;
    }
    let job = jobs::record(&app, known(&queue)?, &id).await?;
    let (back, id) = (path(&job), job.id.as_str());
    let text =
        html! { p { "Job " code { (id) } " will be cancelled. If it is running, its worker is asked to stop." } };
    let action = format!("{back}/cancel");
    let question =
        Question { title: "Cancel the job?", text: &text, yes: "Cancel the job", action: &action, back: &back };
    Ok(question.page(&frame, &[]))
}

pub(super) async fn remove(
    State(app): State<App>,
    Path((queue, id)): Path<(String, String)>,
    Change { wanted, frame }: Change<One>,
) -> Result<Response, Problem> {
    let job = jobs::record(&app, known(&queue)?, &id).await?;
    if is_sure(wanted.sure.as_deref()) {
        jobs::act(&app, &queue, &id, Act::Remove).await?;
        return Ok(said(&format!("{}?state={}", queue_path(&queue), job.state), "job-removed").into_response());
    }
    let (back, text) =
        (path(&job), html! { p { "Job " code { (job.id.as_str()) } " will be deleted, with its result and log." } });
    let action = format!("{back}/remove");
    let question =
        Question { title: "Delete the job?", text: &text, yes: "Delete the job", action: &action, back: &back };
    Ok(question.page(&frame, &[]))
}

async fn change(app: &App, queue: &str, id: &str, act: Act, code: &'static str) -> Result<Response, Problem> {
    let done = jobs::act(app, queue, id, act).await?;
    let code = if done == Done::Asked { "job-asked" } else { code };
    Ok(said(&format!("{}/jobs/{id}", queue_path(queue)), code).into_response())
}
