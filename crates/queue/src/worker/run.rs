//! One run of one job: from lease to settlement.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};

use super::{QueueOptions, Shared};
use crate::clock::Monotonic;
use crate::event::{Ending, Event};
use crate::handler::{BoxError, Context, Outcome};
use crate::lease::{LeasedJob, NackAction};
use crate::maintenance::{HeldLease, StopReason};
use crate::registry::{Registered, Verdict};
use crate::retry::{FailedAttempt, FailureCause, RetryPolicy};

/// Largest result kept, in bytes of JSON.
const RESULT_LIMIT: usize = 1 << 20;

/// What is to be told to the broker about a run. Its lease is held until then.
pub(super) struct Settlement {
    pub(super) held: HeldLease,
    pub(super) answer: Answer,
}

pub(super) enum Answer {
    Ack(String),
    Nack(NackAction),
}

/// How a run came to its end.
struct End {
    /// Why it was told to stop, if it was.
    reason: Option<StopReason>,
    /// What its task came to; `None` where it was told to stop and did not obey in time.
    joined: Option<Result<Verdict, JoinError>>,
}

/// Aborts the handler where its supervisor is dropped.
struct Task(JoinHandle<Result<Outcome, BoxError>>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs a job. `None` where nothing may be said because the lease was lost.
pub(super) async fn run(
    shared: Arc<Shared>,
    queue: Arc<str>,
    options: QueueOptions,
    job: LeasedJob,
    held: HeldLease,
) -> Option<Settlement> {
    let queue_wait = job.leased_at.since(job.ready_at);
    let context = Context::new(shared.clone(), queue, job, held.cancel().clone());
    let (queue, id, kind) = (context.queue(), context.id(), context.kind());
    shared.tell(&Event::Started { queue, kind, id, queue_wait });
    let started = Monotonic::now();
    let handler = shared.handlers.get(kind);
    let limits = Limits::of(context.job(), handler, &options);
    let end = match handler {
        Some(handler) => execute(&shared, handler, &context, &held, limits.timeout).await,
        None => {
            let verdict = Verdict::NotForUs(format!("no handler for kind {kind}"));
            End { reason: held.end_run(), joined: Some(Ok(verdict)) }
        }
    };
    let is_unknown = matches!(end.joined, Some(Ok(Verdict::NotForUs(_))));
    let answer = limits.decide(&shared, end);
    if let Some(Answer::Nack(action)) = &answer {
        announce(&context, action, is_unknown);
    }
    let outcome = ending(answer.as_ref());
    let run_time = started.elapsed();
    shared.tell(&Event::Finished { queue, kind, id, outcome, queue_wait, run_time });
    Some(Settlement { held, answer: answer? })
}

async fn execute(shared: &Shared, handler: &Registered, context: &Context, held: &HeldLease, timeout: Duration) -> End {
    let cancel = held.cancel();
    let mut joined = None;
    // The lease may be gone before the run had its first turn.
    if !cancel.is_cancelled() {
        let mut task = Task(tokio::spawn(handler.run(context.clone())));
        joined = tokio::select! {
            biased;
            joined = &mut task.0 => Some(joined),
            () = cancel.cancelled() => None,
            () = tokio::time::sleep(timeout) => {
                held.stop(StopReason::TimedOut);
                None
            }
        };
        if joined.is_none() {
            joined = tokio::time::timeout(shared.patience, &mut task.0).await.ok();
        }
    }
    // Asked where the run has ended by itself too: it may have seen the signal before we did.
    let by_shutdown = shared.stop.is_cancelled().then_some(StopReason::Shutdown);
    End { reason: held.end_run().or(by_shutdown), joined: joined.map(|joined| joined.map(Verdict::of)) }
}

/// What bounds a run: what the job sets, else its handler, else its queue.
struct Limits<'a> {
    failures: u32,
    max_attempts: Option<u32>,
    retry: &'a RetryPolicy,
    timeout: Duration,
}

impl<'a> Limits<'a> {
    fn of(job: &LeasedJob, handler: Option<&'a Registered>, options: &'a QueueOptions) -> Self {
        let own = handler.map(|handler| &handler.options);
        Self {
            failures: job.failures,
            max_attempts: job.max_attempts,
            retry: own.and_then(|own| own.retry.as_ref()).unwrap_or(&options.retry),
            timeout: job.timeout.or(own.and_then(|own| own.timeout)).unwrap_or(options.timeout),
        }
    }

    fn decide(&self, shared: &Shared, end: End) -> Option<Answer> {
        let mut cause = FailureCause::Reported;
        let outcome = match end.joined {
            Some(Ok(Verdict::Ended(outcome))) => Some(outcome),
            Some(Ok(Verdict::NotForUs(note))) => {
                let (delay, note) = (shared.unknown_delay, Some(note));
                return Some(Answer::Nack(NackAction::Snooze { delay, note }));
            }
            Some(Err(error)) => {
                cause = FailureCause::Panicked;
                Some(Outcome::retry(panic_message(error)))
            }
            None => None,
        };
        let action = match (outcome, end.reason) {
            // Work that was finished is finished, whoever asked to stop.
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

    /// A delay that the handler asked for goes before the policy's, but not beyond the last attempt.
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

fn announce(context: &Context, action: &NackAction, is_unknown: bool) {
    let (shared, queue, kind, id) = (context.shared(), context.queue(), context.kind(), context.id());
    match action {
        NackAction::Retry { delay, error } => {
            shared.tell(&Event::Retried { queue, kind, id, delay: *delay, error });
        }
        NackAction::Dead { error } => shared.tell(&Event::Buried { queue, kind, id, error }),
        NackAction::Snooze { .. } if is_unknown => shared.tell(&Event::Unknown { queue, kind, id }),
        NackAction::Snooze { .. } | NackAction::Discard { .. } | NackAction::Release => {}
    }
}

/// The name of what became of a run; without an answer its lease was lost.
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

fn panic_message(error: JoinError) -> String {
    let Ok(payload) = error.try_into_panic() else {
        return "the handler's task was aborted".to_owned();
    };
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("(no message)"))
}

fn bounded(result: String) -> String {
    if result.len() <= RESULT_LIMIT {
        return result;
    }
    serde_json::json!({ "omitted": "the result was too large to keep", "bytes": result.len() }).to_string()
}
