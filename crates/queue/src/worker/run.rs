//! One run of one job: its handler in a separate task, and the effect of its end on the job.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::lease_book::{HeldLease, RunId, StopReason};
use super::options::QueueOptions;
use super::shared::Shared;
use crate::event::{Ending, Event};
use crate::handler::{Context, Outcome, Registered, Verdict};
use crate::retry::{FailedAttempt, FailureCause, RetryPolicy};
use tidegate_queue_broker::{GroupId, LeasedJob, NackAction};

/// Largest result kept, in bytes of JSON.
const RESULT_LIMIT: usize = 1 << 20;

/// The settlement of a run. The lease is renewed until the broker has answered it.
pub(super) struct Settlement {
    pub(super) held: HeldLease,
    pub(super) answer: Answer,
    /// The group of the job.
    pub(super) group: Option<GroupId>,
    /// Time of the broker's first failure to take it.
    pub(super) refused_since: Option<Instant>,
}

impl Settlement {
    pub(super) fn new(held: HeldLease, answer: Answer, group: Option<GroupId>) -> Self {
        Self { held, answer, group, refused_since: None }
    }
}

pub(super) enum Answer {
    Ack(String),
    Nack(NackAction),
}

impl Answer {
    /// Size of the result, in bytes.
    pub(super) const fn bytes(&self) -> usize {
        match self {
            Self::Ack(result) => result.len(),
            Self::Nack(_) => 0,
        }
    }

    /// Whether it ends the job.
    pub(super) const fn is_final(&self) -> bool {
        matches!(self, Self::Ack(_) | Self::Nack(NackAction::Dead { .. } | NackAction::Discard { .. }))
    }
}

/// A run whose handler has ended.
pub(super) struct Ended {
    pub(super) run: RunId,
    pub(super) how: HandlerEnd,
    pub(super) took: Duration,
}

pub(super) enum HandlerEnd {
    Verdict(Verdict),
    Panicked(String),
    /// The run was stopped and did not end in time, or its task is gone.
    Aborted,
}

/// Runs the handler. Its end is sent to `ends` in every case.
pub(super) async fn handle(shared: Arc<Shared>, context: Context, run: RunId, ends: UnboundedSender<Ended>) {
    let started = Instant::now();
    let mut report = Report { run, how: HandlerEnd::Aborted, started, ends };
    // The handler is called inside the future, so that a panic of a layer is caught too.
    let verdict = async {
        match shared.handlers.get(context.kind()) {
            Some(handler) => Verdict::of(shared.run(handler, context.clone()).await),
            None => Verdict::NotForUs(format!("no handler for kind {}", context.kind())),
        }
    };
    let span = (shared.span)(&context);
    report.how = match AssertUnwindSafe(verdict).catch_unwind().instrument(span).await {
        Ok(verdict) => HandlerEnd::Verdict(verdict),
        Err(panic) => HandlerEnd::Panicked(panic_message(&*panic)),
    };
}

/// The default span of a run.
pub(super) fn usual_span(context: &Context) -> Span {
    tracing::info_span!(
        "job",
        queue = context.queue(),
        kind = context.kind(),
        id = %context.id(),
        attempt = context.attempt(),
        trace_parent = context.trace_parent(),
    )
}

/// Sends the end of a run when it is dropped, also when the task is dropped.
struct Report {
    run: RunId,
    how: HandlerEnd,
    started: Instant,
    ends: UnboundedSender<Ended>,
}

impl Drop for Report {
    fn drop(&mut self) {
        let how = std::mem::replace(&mut self.how, HandlerEnd::Aborted);
        // Fails if the worker was dropped.
        let _ = self.ends.send(Ended { run: self.run, how, took: self.started.elapsed() });
    }
}

/// Limits of a run: set by the job, else by its handler, else by its queue.
pub(super) struct Limits<'a> {
    failures: u32,
    max_attempts: Option<u32>,
    retry: &'a RetryPolicy,
    pub(super) timeout: Duration,
}

impl<'a> Limits<'a> {
    pub(super) fn of(job: &LeasedJob, handler: Option<&'a Registered>, options: &'a QueueOptions) -> Self {
        let own = handler.map(|handler| &handler.options);
        Self {
            failures: job.failures,
            max_attempts: job.max_attempts,
            retry: own.and_then(|own| own.retry.as_ref()).unwrap_or(&options.retry),
            timeout: job.timeout.or(own.and_then(|own| own.timeout)).unwrap_or(options.timeout),
        }
    }

    /// Decides the settlement. `None` if the lease was lost: then nothing may be sent.
    pub(super) fn decide(&self, shared: &Shared, how: HandlerEnd, reason: Option<StopReason>) -> Option<Answer> {
        let mut cause = FailureCause::Reported;
        let outcome = match how {
            HandlerEnd::Verdict(Verdict::Ended(outcome)) => Some(outcome),
            HandlerEnd::Verdict(Verdict::NotForUs(note)) => {
                let (delay, note) = (shared.unknown_delay, Some(note));
                return Some(Answer::Nack(NackAction::Snooze { delay, note }));
            }
            HandlerEnd::Panicked(message) => {
                cause = FailureCause::Panicked;
                Some(Outcome::retry(message))
            }
            HandlerEnd::Aborted => None,
        };
        let action = match (outcome, reason) {
            // Completed work counts, even if the run was asked to stop.
            (Some(Outcome::Done(value)), _) => return Some(Answer::Ack(bounded(value.to_string()))),
            (_, Some(StopReason::LeaseLost)) => return None,
            (_, Some(StopReason::Cancelled)) => NackAction::Discard { reason: "cancelled while running".to_owned() },
            (None | Some(Outcome::Retry { .. }), Some(StopReason::TimedOut)) => {
                self.failed(format!("timed out after {:?}", self.timeout), None, FailureCause::TimedOut)
            }
            (None, _) | (Some(Outcome::Retry { .. }), Some(StopReason::Shutdown)) => NackAction::Release,
            (Some(Outcome::Retry { error, after }), None) => self.failed(error, after, cause),
            (Some(Outcome::Snooze { delay, note }), _) => NackAction::Snooze { delay, note },
            (Some(Outcome::Bury { error }), _) => NackAction::Dead { error },
            (Some(Outcome::Discard { reason }), _) => NackAction::Discard { reason },
        };
        Some(Answer::Nack(action))
    }

    /// A delay that the handler requested replaces the policy's, but allows no further attempts.
    fn failed(&self, error: String, after: Option<Duration>, cause: FailureCause) -> NackAction {
        let attempt = self.failures.saturating_add(1);
        let max_attempts = self.max_attempts;
        let next = match after {
            Some(_) if attempt >= max_attempts.unwrap_or(self.retry.max_attempts()) => None,
            Some(delay) => Some(delay),
            None => {
                let random = rand::random();
                self.retry.next(&FailedAttempt { attempt, max_attempts, error: &error, cause, random })
            }
        };
        match next {
            Some(delay) => NackAction::Retry { delay, error },
            None => NackAction::Dead { error },
        }
    }
}

/// Reports to the observer what happens to a job that was not done.
pub(super) fn announce(shared: &Shared, context: &Context, action: &NackAction, is_unknown: bool) {
    let (queue, kind, id) = (context.queue(), context.kind(), context.id());
    match action {
        NackAction::Retry { delay, error } => {
            shared.notify(&Event::Retried { queue, kind, id, delay: *delay, error });
        }
        NackAction::Dead { error } => shared.notify(&Event::Buried { queue, kind, id, error }),
        NackAction::Snooze { .. } if is_unknown => shared.notify(&Event::Unknown { queue, kind, id }),
        NackAction::Snooze { .. } | NackAction::Discard { .. } | NackAction::Release => {}
    }
}

/// Name of a run's end. Without an answer the lease was lost.
pub(super) fn ending(answer: Option<&Answer>) -> Ending {
    match answer {
        None => Ending::Lost,
        Some(Answer::Ack(_)) => Ending::Done,
        Some(Answer::Nack(NackAction::Retry { .. })) => Ending::Retried,
        Some(Answer::Nack(NackAction::Dead { .. })) => Ending::Buried,
        Some(Answer::Nack(NackAction::Snooze { .. })) => Ending::Snoozed,
        Some(Answer::Nack(NackAction::Discard { .. })) => Ending::Discarded,
        Some(Answer::Nack(NackAction::Release)) => Ending::Released,
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("(no message)"))
}

fn bounded(result: String) -> String {
    if result.len() <= RESULT_LIMIT {
        return result;
    }
    serde_json::json!({ "omitted": "the result was too large to keep", "bytes": result.len() }).to_string()
}
