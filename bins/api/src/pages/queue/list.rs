//! Jobs of one state, with checkboxes.

use maud::{Markup, html};
use tidegate_queue::{JobRecord, JobState, Timestamp};

use super::super::layout::Frame;
use super::super::queues::{link, moment, path, progress, state_of};
use super::super::text;
use super::query::address;

pub(super) struct Listed {
    pub(super) jobs: Vec<JobRecord>,
    pub(super) next: Option<String>,
}

/// Actions on jobs of a state, each with its question.
fn acts(state: JobState) -> &'static [(&'static str, &'static str, &'static str)] {
    const RETRY: (&str, &str, &str) = ("retry", "Retry selected", "Make the selected jobs ready at once?");
    const PROMOTE: (&str, &str, &str) = ("promote", "Promote selected", "Run the selected jobs before they are due?");
    const CANCEL: (&str, &str, &str) = ("cancel", "Cancel selected", "Cancel the selected jobs?");
    const REMOVE: (&str, &str, &str) = ("remove", "Delete selected", "Delete the selected jobs and their logs?");
    match state {
        JobState::Ready | JobState::Waiting | JobState::Leased => &[CANCEL],
        JobState::Delayed => &[PROMOTE, CANCEL],
        JobState::Dead | JobState::Cancelled => &[RETRY, REMOVE],
        JobState::Done => &[REMOVE],
        _ => &[],
    }
}

pub(super) fn show(
    frame: &Frame,
    queue: &str,
    state: JobState,
    listed: &Listed,
    now: Timestamp,
    is_first: bool,
) -> Markup {
    let acts = if frame.may_change() { acts(state) } else { &[] };
    let next = listed.next.as_deref().map(|cursor| address(queue, state, Some(cursor), None));
    html! {
        @if listed.jobs.is_empty() {
            p.none { "None." }
        } @else if acts.is_empty() {
            (rows(&listed.jobs, now, false))
        } @else {
            form method="post" action={ (path(queue)) "/bulk" } {
                (frame.field())
                input type="hidden" name="state" value=(state.as_str());
                (rows(&listed.jobs, now, true))
                div.foot {
                    div.buttons {
                        @for (act, label, asks) in acts {
                            button class=[matches!(*act, "cancel" | "remove").then_some("danger")] name="act" value=(act) data-confirm=(asks) { (label) }
                        }
                    }
                }
            }
        }
        @if next.is_some() || !is_first {
            div.foot {
                @if !is_first { a href={ (path(queue)) "?state=" (state.as_str()) } { "First page" } }
                @if let Some(next) = next { a href=(next) rel="next" { "Next page" } }
            }
        }
    }
}

fn rows(jobs: &[JobRecord], now: Timestamp, ticks: bool) -> Markup {
    let column = |class: &str, label: &str| html! { th scope="col" role="columnheader" class=(class) { (label) } };
    let cell = |class: &str, label: &str, content: Markup| html! { td role="cell" class=(class) data-label=(label) { (content) } };
    html! {
        table.stack role="table" {
            caption.visually-hidden { "Jobs" }
            thead role="rowgroup" {
                tr role="row" {
                    @if ticks {
                        th.tick scope="col" role="columnheader" { input type="checkbox" data-tick-all hidden aria-label="Select all"; }
                    }
                    (column("text", "Job")) (column("text", "Kind")) (column("number", "Priority"))
                    (column("number", "Runs")) (column("number", "Age")) (column("text", "Time, UTC")) (column("text", "Error or note"))
                }
            }
            tbody role="rowgroup" {
                @for job in jobs {
                    tr role="row" {
                        @if ticks {
                            td.tick role="cell" { input type="checkbox" name="id" value=(job.id.as_str()) aria-label={ "Select " (job.id.as_str()) }; }
                        }
                        th.text scope="row" role="rowheader" { (link(job)) }
                        (cell("text", "Kind", html! { code { (job.kind) } }))
                        (cell("number", "Priority", html! { (u8::from(job.priority)) }))
                        (cell("number", "Runs", html! { (job.deliveries) }))
                        (cell("number", "Age", html! { (text::span(now.since(job.created_at))) }))
                        (cell("text", "Time, UTC", html! { (when(job)) }))
                        (cell("text", "Error or note", what(job)))
                    }
                }
            }
        }
    }
}

fn when(job: &JobRecord) -> String {
    match (job.state, job.finished_at) {
        (JobState::Delayed, _) => format!("due {}", moment(job.run_at)),
        (_, Some(end)) => format!("ended {}", moment(end)),
        _ => format!("enqueued {}", moment(job.created_at)),
    }
}

fn what(job: &JobRecord) -> Markup {
    let error = job.attempts.iter().rev().find_map(|run| run.error.as_deref());
    let known = job.note.as_deref().or(error);
    html! {
        @if job.state == JobState::Leased {
            (progress(job))
        } @else if let Some(known) = known {
            bdi.note { (text::beginning(&text::visible(&tidegate_perfmon::mask(known)), 160)) }
        } @else if let Some(state) = state_of(job.state) {
            span data-state=(state) { (job.state.as_str()) }
        } @else {
            (text::NONE)
        }
    }
}
