//! Actions on all jobs of a queue, or on all finished ones.

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;
use tidegate_queue::JobState;

use super::super::again::Again;
use super::super::ask::{Question, is_sure};
use super::super::flash::counted;
use super::super::form::{Change, number, signed};
use super::super::layout::{Button, Frame};
use super::super::queues::{path, switch};
use super::super::text;
use super::page;
use super::query::{QueueQuery, address};
use crate::routes::queues::actions::{self, Changed, Clean};
use crate::routes::queues::known;
use crate::routes::queues::overview::Overview;
use tidegate_web::app::App;
use tidegate_web::path::Path;
use tidegate_web::problem::Problem;

pub(super) fn show(frame: &Frame, queue: &Overview, again: &Again) -> Markup {
    let (name, counts) = (queue.queue, &queue.counts);
    let action = |act: &str| format!("{}/{act}", path(name));
    let (drain, revive) = (action("drain"), action("retry-dead"));
    let waiting = counts.ready + counts.delayed + counts.waiting;
    let ask_drain = format!("Cancel all {waiting} jobs of {name} that have not started?");
    let state = again.typed("clean", "state");
    let ask_revive = format!("Make all {} dead jobs of {name} ready, with fresh attempts?", counts.dead);
    html! {
        div.buttons data-part="whole" {
            (switch(frame, queue, "queue"))
            @if counts.dead > 0 {
                (frame.button(&Button { action: &revive, label: "Retry all dead", about: "", asks: Some(&ask_revive) }, &[]))
            }
            @if waiting > 0 {
                (frame.button(&Button { action: &drain, label: "Drain", about: "", asks: Some(&ask_drain) }, &[]))
            }
        }
        form.row.below method="post" action=(action("clean")) data-confirm={ "Permanently delete these finished jobs of " (name) "?" } {
            (frame.field())
            div {
                label for="clean-state" { "Delete jobs that are" }
                (again.message("clean", "state"))
                select #clean-state name="state" {
                    @for of in ["done", "dead", "cancelled"] { option selected[state == Some(of)] { (of) } }
                }
            }
            div {
                label for="clean-age" { "Older than, in hours" }
                (again.message("clean", "hours"))
                input #clean-age type="number" name="hours" min="0" max="87600" value=(again.typed("clean", "hours").unwrap_or("24")) required autofocus[again.is_at("clean", "hours")] aria-describedby=[again.described_by("clean", "hours")];
            }
            button.danger { "Clean" }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::pages) struct All {
    form: String,
    sure: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::pages) struct CleanForm {
    form: String,
    state: String,
    hours: String,
    sure: Option<String>,
}

signed!(All, CleanForm);

pub(in crate::pages) async fn drain(
    State(app): State<App>,
    Path(queue): Path<String>,
    Change { wanted, frame }: Change<All>,
) -> Result<Response, Problem> {
    let queue = known(&queue)?;
    if !is_sure(wanted.sure.as_deref()) {
        let text =
            html! { p { "All jobs of " b { (queue) } " that have not started are cancelled. Running jobs continue." } };
        return Ok(ask(queue, &frame, ("Drain the queue?", "Drain", "drain"), &text, &[]));
    }
    Ok(whole_done(queue, "drained", JobState::Cancelled, actions::drain_queue(&app, queue).await?))
}

pub(in crate::pages) async fn retry_dead(
    State(app): State<App>,
    Path(queue): Path<String>,
    Change { wanted, frame }: Change<All>,
) -> Result<Response, Problem> {
    let queue = known(&queue)?;
    if !is_sure(wanted.sure.as_deref()) {
        let text = html! { p { "All dead jobs of " b { (queue) } " become ready, with fresh attempts." } };
        return Ok(ask(queue, &frame, ("Retry all dead jobs?", "Retry all", "retry-dead"), &text, &[]));
    }
    Ok(whole_done(queue, "revived", JobState::Dead, actions::revive(&app, queue).await?))
}

pub(in crate::pages) async fn clean(
    State(app): State<App>,
    Path(queue): Path<String>,
    Change { wanted, frame }: Change<CleanForm>,
) -> Result<Response, Problem> {
    let queue = known(&queue)?;
    let CleanForm { state, hours, .. } = wanted;
    let checked = number::<u32>("hours", &hours).and_then(|hours| {
        let clean = Clean { state: state.clone(), older_than_s: i64::from(hours) * 3_600 };
        let cleaned: JobState = clean.check()?.0.into();
        Ok((clean, cleaned, Duration::from_secs(u64::from(hours) * 3_600)))
    });
    let (clean, cleaned, age) = match checked {
        Ok(checked) => checked,
        Err(problem) => {
            let again = Again::of("clean", &[("hours", &hours), ("state", &state)], problem)?;
            return page(&app, queue, &QueueQuery::default(), &frame, again).await;
        }
    };
    if !is_sure(wanted.sure.as_deref()) {
        let text = html! {
            p { "Jobs of " b { (queue) } " that are " b { (cleaned.as_str()) } " for more than " (text::span(age)) " are permanently deleted, with their logs." }
        };
        let fields = [("state", cleaned.as_str()), ("hours", &*hours)];
        return Ok(ask(queue, &frame, ("Delete finished jobs?", "Delete them", "clean"), &text, &fields));
    }
    Ok(whole_done(queue, "cleaned", cleaned, actions::clean_queue(&app, queue, &clean).await?))
}

fn whole_done(queue: &str, code: &'static str, state: JobState, Changed { jobs, more }: Changed) -> Response {
    counted(&address(queue, state, None, None), code, jobs, usize::from(more)).into_response()
}

fn ask(queue: &str, frame: &Frame, question: (&str, &str, &str), text: &Markup, fields: &[(&str, &str)]) -> Response {
    let (title, yes, act) = question;
    let (action, back) = (format!("{}/{act}", path(queue)), path(queue));
    Question { title, text, yes, action: &action, back: &back }.page(frame, fields)
}
