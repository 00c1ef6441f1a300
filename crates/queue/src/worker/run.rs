//! One run of one job: from lease to settlement.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};

use super::{QueueOptions, Shared};
use crate::clock::Monotonic;
use crate::event::{Ending, Event};
use crate::handler::{Context, Outcome};
use crate::lease::{LeaseToken, LeasedJob, NackAction};
use crate::maintenance::StopReason;
use crate::registry::Verdict;

/// Largest result kept, in bytes of JSON.
const RESULT_LIMIT: usize = 1 << 20;

/// What is to be told to the broker about a run.
pub(super) struct Settlement {
    pub(super) token: LeaseToken,
    pub(super) answer: Answer,
    /// When the lease was last known to be good.
    pub(super) renewed: Monotonic,
}

pub(super) enum Answer {
    Ack(String),
    Nack(NackAction),
}

/// How the handler's task came to its end.
enum End {
    /// By itself, or because it was told to.
    Joined(Option<StopReason>, Result<Verdict, JoinError>),
    /// Told to stop, it did not obey in time.
    Aborted(Option<StopReason>),
    TimedOut,
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
) -> Option<Settlement> {
    let held = shared.leases.hold(job.token.clone(), queue.clone(), shared.stop.child_token());
    let queue_wait = job.leased_at.since(job.ready_at);
    let (token, kind) = (job.token.clone(), job.kind.clone());
    shared.observer.on(&Event::Started { queue: &queue, kind: &kind, id: &token.id, queue_wait });
    let started = Monotonic::now();
    let limits = Limits {
        failures: job.failures,
        max_attempts: job.max_attempts.unwrap_or(options.retry.max_attempts()),
        timeout: job.timeout.unwrap_or(options.timeout),
    };

    let end = match shared.handlers.get(&kind) {
        None => End::Joined(None, Ok(Verdict::NotForUs(format!("no handler for kind {kind}")))),
        Some(handler) => {
            let cancel = held.cancel().clone();
            let context = Context::new(
                shared.broker.clone(),
                queue.as_ref().to_owned(),
                token.clone(),
                job.failures + 1,
                cancel.clone(),
            );
            let mut task = Task(tokio::spawn(async move { handler.run(&job, &context).await }));
            // Asked after the run has ended too: it may have seen the signal before we did.
            let reason = || {
                let by_shutdown = shared.stop.is_cancelled().then_some(StopReason::Shutdown);
                held.reason().or(by_shutdown)
            };
            tokio::select! {
                biased;
                joined = &mut task.0 => End::Joined(reason(), joined),
                () = cancel.cancelled() => {
                    match tokio::time::timeout(shared.patience, &mut task.0).await {
                        Ok(joined) => End::Joined(reason(), joined),
                        Err(_) => End::Aborted(reason()),
                    }
                }
                () = tokio::time::sleep(limits.timeout) => {
                    cancel.cancel();
                    End::TimedOut
                }
            }
        }
    };

    let answer = limits.decide(&shared, &options, end);
    let outcome = match &answer {
        None => Ending::Lost,
        Some(Answer::Ack(_)) => Ending::Done,
        Some(Answer::Nack(action)) => announce(&shared, &queue, &kind, &token, action),
    };
    shared.observer.on(&Event::Finished {
        queue: &queue,
        kind: &kind,
        id: &token.id,
        outcome,
        queue_wait,
        run_time: started.elapsed(),
    });
    Some(Settlement { token, answer: answer?, renewed: held.end() })
}

struct Limits {
    failures: u32,
    max_attempts: u32,
    timeout: Duration,
}

impl Limits {
    fn decide(&self, shared: &Shared, options: &QueueOptions, end: End) -> Option<Answer> {
        let (reason, joined) = match end {
            End::TimedOut => {
                let error = format!("timed out after {:?}", self.timeout);
                return Some(Answer::Nack(self.failed(options, error, None)));
            }
            End::Joined(reason, joined) => (reason, Some(joined)),
            End::Aborted(reason) => (reason, None),
        };
        let outcome = match joined {
            Some(Ok(Verdict::Ended(outcome))) => Some(outcome),
            Some(Ok(Verdict::NotForUs(note))) => {
                let (delay, note) = (shared.unknown_delay, Some(note));
                return Some(Answer::Nack(NackAction::Snooze { delay, note }));
            }
            Some(Err(error)) => Some(Outcome::retry(panic_message(error))),
            None => None,
        };
        match (outcome, reason) {
            // Work that was finished is finished, whoever asked to stop.
            (Some(Outcome::Done(value)), _) => Some(Answer::Ack(bounded(value.to_string()))),
            (_, Some(StopReason::LeaseLost)) => None,
            (_, Some(StopReason::Cancelled)) => {
                let reason = "cancelled while running".to_owned();
                Some(Answer::Nack(NackAction::Discard { reason }))
            }
            (None, _) | (Some(Outcome::Retry { .. }), Some(StopReason::Shutdown)) => {
                Some(Answer::Nack(NackAction::Release))
            }
            (Some(Outcome::Retry { error, after }), None) => Some(Answer::Nack(self.failed(options, error, after))),
            (Some(Outcome::Snooze(delay)), _) => Some(Answer::Nack(NackAction::Snooze { delay, note: None })),
            (Some(Outcome::Bury { error }), _) => Some(Answer::Nack(NackAction::Dead { error })),
            (Some(Outcome::Discard { reason }), _) => Some(Answer::Nack(NackAction::Discard { reason })),
        }
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

fn announce(shared: &Shared, queue: &str, kind: &str, token: &LeaseToken, action: &NackAction) -> Ending {
    let id = &token.id;
    match action {
        NackAction::Retry { delay, error } => {
            shared.observer.on(&Event::Retried { queue, kind, id, delay: *delay, error });
            Ending::Retried
        }
        NackAction::Dead { error } => {
            shared.observer.on(&Event::Buried { queue, kind, id, error });
            Ending::Buried
        }
        NackAction::Snooze { note, .. } => {
            if note.is_some() {
                shared.observer.on(&Event::Unknown { queue, kind, id });
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
