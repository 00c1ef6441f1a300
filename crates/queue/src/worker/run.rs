//! One run of one job: from lease to settlement.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};

use super::{QueueOptions, Shared};
use crate::clock::Monotonic;
use crate::event::{Ending, Event};
use crate::handler::{Context, Outcome};
use crate::id::JobId;
use crate::lease::{LeasedJob, NackAction};
use crate::maintenance::{HeldLease, StopReason};
use crate::registry::{ErasedHandler, Verdict};

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
struct Task(JoinHandle<Verdict>);

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
    let (id, kind) = (job.token.id.clone(), job.kind.clone());
    shared.tell(&Event::Started { queue: &queue, kind: &kind, id: &id, queue_wait });
    let started = Monotonic::now();
    let limits = Limits {
        failures: job.failures,
        max_attempts: job.max_attempts.unwrap_or(options.retry.max_attempts()),
        timeout: job.timeout.unwrap_or(options.timeout),
    };
    let end = match shared.handlers.get(&kind) {
        Some(handler) => execute(&shared, queue.clone(), handler, job, &held, limits.timeout).await,
        None => {
            let verdict = Verdict::NotForUs(format!("no handler for kind {kind}"));
            End { reason: held.end_run(), joined: Some(Ok(verdict)) }
        }
    };

    let answer = limits.decide(&shared, &options, end);
    let outcome = match &answer {
        None => Ending::Lost,
        Some(Answer::Ack(_)) => Ending::Done,
        Some(Answer::Nack(action)) => announce(&shared, &queue, &kind, &id, action),
    };
    let run_time = started.elapsed();
    shared.tell(&Event::Finished { queue: &queue, kind: &kind, id: &id, outcome, queue_wait, run_time });
    Some(Settlement { held, answer: answer? })
}

async fn execute(
    shared: &Shared,
    queue: Arc<str>,
    handler: Arc<dyn ErasedHandler>,
    job: LeasedJob,
    held: &HeldLease,
    timeout: Duration,
) -> End {
    let cancel = held.cancel();
    let mut joined = None;
    // The lease may be gone before the run had its first turn.
    if !cancel.is_cancelled() {
        let (broker, attempt) = (shared.broker.clone(), job.failures + 1);
        let context = Context::new(broker, queue, job.token.clone(), attempt, cancel.clone());
        let mut task = Task(tokio::spawn(async move { handler.run(&job, &context).await }));
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
    End { reason: held.end_run().or(by_shutdown), joined }
}

struct Limits {
    failures: u32,
    max_attempts: u32,
    timeout: Duration,
}

impl Limits {
    fn decide(&self, shared: &Shared, options: &QueueOptions, end: End) -> Option<Answer> {
        let outcome = match end.joined {
            Some(Ok(Verdict::Ended(outcome))) => Some(outcome),
            Some(Ok(Verdict::NotForUs(note))) => {
                let (delay, note) = (shared.unknown_delay, Some(note));
                return Some(Answer::Nack(NackAction::Snooze { delay, note }));
            }
            Some(Err(error)) => Some(Outcome::retry(panic_message(error))),
            None => None,
        };
        let action = match (outcome, end.reason) {
            // Work that was finished is finished, whoever asked to stop.
            (Some(Outcome::Done(value)), _) => return Some(Answer::Ack(bounded(value.to_string()))),
            (_, Some(StopReason::LeaseLost)) => return None,
            (_, Some(StopReason::Cancelled)) => NackAction::Discard { reason: "cancelled while running".to_owned() },
            (None | Some(Outcome::Retry { .. }), Some(StopReason::TimedOut)) => {
                self.failed(options, format!("timed out after {:?}", self.timeout), None)
            }
            (None, _) | (Some(Outcome::Retry { .. }), Some(StopReason::Shutdown)) => NackAction::Release,
            (Some(Outcome::Retry { error, after }), None) => self.failed(options, error, after),
            (Some(Outcome::Snooze(delay)), _) => NackAction::Snooze { delay, note: None },
            (Some(Outcome::Bury { error }), _) => NackAction::Dead { error },
            (Some(Outcome::Discard { reason }), _) => NackAction::Discard { reason },
        };
        Some(Answer::Nack(action))
    }

    fn failed(&self, options: &QueueOptions, error: String, after: Option<Duration>) -> NackAction {
        let failures = self.failures.saturating_add(1);
        if failures >= self.max_attempts {
            return NackAction::Dead { error };
        }
        let delay = after.unwrap_or_else(|| options.retry.delay(failures, rand::random()));
        NackAction::Retry { delay, error }
    }
}

fn announce(shared: &Shared, queue: &str, kind: &str, id: &JobId, action: &NackAction) -> Ending {
    match action {
        NackAction::Retry { delay, error } => {
            shared.tell(&Event::Retried { queue, kind, id, delay: *delay, error });
            Ending::Retried
        }
        NackAction::Dead { error } => {
            shared.tell(&Event::Buried { queue, kind, id, error });
            Ending::Buried
        }
        NackAction::Snooze { note, .. } => {
            if note.is_some() {
                shared.tell(&Event::Unknown { queue, kind, id });
            }
            Ending::Snoozed
        }
        NackAction::Discard { .. } => Ending::Discarded,
        NackAction::Release => Ending::Released,
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
