//! Schedules of recurring jobs, with their last and next runs.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;
use tidegate_queue::{BrokenSchedule, LastRun, Recurrence, ScheduleState, Timestamp};

use super::ask::{Question, is_sure};
use super::flash::{Flash, said};
use super::form::{Change, signed};
use super::here::Here;
use super::layout::{Button, Frame, Page, shown};
use super::queues::{moment, path as queue_path};
use super::table::{ACTION, TEXT, table};
use super::text;
use crate::routes::queues::cron;
use tidegate_web::app::App;
use tidegate_web::path::Path;
use tidegate_web::problem::Problem;
use tidegate_web::query::Query;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CronQuery {
    said: Option<String>,
    done: Option<u64>,
    left: Option<u64>,
}

pub(super) async fn show(
    State(app): State<App>,
    Query(query): Query<CronQuery>,
    frame: Frame,
) -> Result<Response, Problem> {
    page(&app, &query, &frame, None).await
}

/// Renders the page, with the problem of a button that was refused.
async fn page(app: &App, query: &CronQuery, frame: &Frame, refused: Option<Problem>) -> Result<Response, Problem> {
    let listing = cron::all(app).await?;
    let now = app.node().broker.now().await?;
    let body = html! {
        section.card data-part="schedules" aria-labelledby="schedules" {
            div.head { h2 #schedules { "Schedules" } span.note { "Times in UTC; expressions use their own time zone" } }
            (schedules(frame, &listing.schedules, now))
        }
        @if !listing.broken.is_empty() {
            section.card data-part="broken" aria-labelledby="broken" {
                div.head { h2 #broken { "Unreadable schedules" } span.note { "Possibly written by a newer version" } }
                (broken(frame, &listing.broken))
            }
        }
    };
    let flash = Flash::of(query.said.as_deref(), query.done, query.left);
    let page = Page::of(Here::Cron).saying(flash).refusing(refused.as_ref()).show(frame, &body);
    Ok(match refused {
        Some(problem) => shown(problem.clone().into_response(), problem, page),
        None => page,
    })
}

fn schedules(frame: &Frame, schedules: &[ScheduleState], now: Timestamp) -> Markup {
    let columns = [
        ("Name", ""),
        ("When", TEXT),
        ("Queue", ""),
        ("Kind", TEXT),
        ("Next", TEXT),
        ("Last", TEXT),
        ("Pause, run or delete", ACTION),
    ];
    table(
        "Schedules by name",
        &columns,
        schedules.iter().map(|state| {
            let schedule = &state.schedule;
            vec![
                html! { code { (schedule.name) } @if schedule.paused { " " span.badge data-state="warn" { "paused" } } },
                recurrence(&schedule.recurrence),
                html! { a href=(queue_path(&schedule.queue)) { (schedule.queue) } },
                html! { code { (schedule.kind) } },
                html! { (next(state, now)) },
                last(&schedule.queue, state.last.as_ref()),
                html! { @if frame.may_change() { (buttons(frame, &schedule.name, Some(schedule.paused))) } },
            ]
        }),
    )
}

fn recurrence(recurrence: &Recurrence) -> Markup {
    html! {
        @match recurrence {
            Recurrence::Cron { expression, zone } => { code { (text::visible(expression)) } " " span.note { (zone) } },
            Recurrence::Every(interval) => { "every " (text::span(*interval)) },
            other => (other.to_string()),
        }
    }
}

fn next(state: &ScheduleState, now: Timestamp) -> String {
    match state.next {
        Some(next) => format!("{}, in {}", moment(next), text::span(next.since(now))),
        None if state.schedule.paused => "paused".to_owned(),
        None => "ended".to_owned(),
    }
}

fn last(queue: &str, last: Option<&LastRun>) -> Markup {
    html! {
        @match last {
            Some(last) => {
                (moment(last.at)) " "
                a href={ (queue_path(queue)) "/jobs/" (last.job.as_str()) } { (if last.skipped { "skipped: still running" } else { "job" }) }
            },
            None => (text::NONE),
        }
    }
}

fn broken(frame: &Frame, broken: &[BrokenSchedule]) -> Markup {
    table(
        "Unreadable schedules",
        &[("Name", TEXT), ("Error", TEXT), ("Delete", ACTION)],
        broken.iter().map(|broken| {
            vec![
                html! { code { (text::visible(&broken.name)) } },
                html! { (text::visible(&broken.fault)) },
                html! { @if frame.may_change() { (buttons(frame, &broken.name, None)) } },
            ]
        }),
    )
}

/// `paused` is `None` if the schedule cannot be read.
fn buttons(frame: &Frame, name: &str, paused: Option<bool>) -> Markup {
    let button = |act: &str, label, asks: Option<&str>| {
        let action = format!("{}/{act}", Here::Cron.path());
        frame.button(&Button { action: &action, label, about: name, asks }, &[("name", name)])
    };
    html! {
        @match paused {
            Some(true) => (button("resume", "Resume", None)),
            Some(false) => (button("pause", "Pause", None)),
            None => {},
        }
        @if paused.is_some() { (button("trigger", "Run now", None)) }
        (button("delete", "Delete", Some(&format!("Delete the schedule {name}?"))))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    form: String,
    name: String,
    sure: Option<String>,
}

signed!(Named);

pub(super) async fn change(
    State(app): State<App>,
    Path(act): Path<String>,
    Change { wanted, frame }: Change<Named>,
) -> Result<Response, Problem> {
    let name = &wanted.name;
    let done = match act.as_str() {
        "pause" => cron::set_paused(&app, name, true).await.map(|_| "schedule-paused"),
        "resume" => cron::set_paused(&app, name, false).await.map(|_| "schedule-resumed"),
        "trigger" => cron::run_now(&app, name).await.map(|_| "triggered"),
        "delete" if is_sure(wanted.sure.as_deref()) => cron::delete(&app, name).await.map(|()| "schedule-deleted"),
        "delete" => return Ok(ask(name, &frame)),
        _ => return Err(Problem::not_found("a schedule is paused, resumed, triggered or deleted")),
    };
    match done {
        Ok(code) => Ok(said(Here::Cron.path(), code).into_response()),
        // For example a schedule whose last job is still running.
        Err(problem) if problem.is_of_client() => page(&app, &CronQuery::default(), &frame, Some(problem)).await,
        Err(problem) => Err(problem),
    }
}

fn ask(name: &str, frame: &Frame) -> Response {
    let text = html! { p { "Schedule " code { (text::visible(name)) } " will enqueue no more jobs. Its existing jobs stay." } };
    let (action, back) = (format!("{}/delete", Here::Cron.path()), Here::Cron.path());
    let question = Question { title: "Delete the schedule?", text: &text, yes: "Delete", action: &action, back };
    question.page(frame, &[("name", name)])
}
