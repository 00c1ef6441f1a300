//! Posts alerts to a URL, one after the other, and holds nobody up with it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::Url;
use serde::Serialize;
use tidegate_perfmon::{OperationHandle, Outbox, OutboxCounts, Registry, TraceContext, Transition};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::stream::id_of;
use crate::identity::{Identity, THIS_PROCESS};
use crate::settings::{AlertSettings, Hidden};
use crate::telemetry::{Seldom, operations, trace};
use crate::webhook::{self, Message, Sender, WebhookError};

/// How long one try may take, from resolving the name to the headers of the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Transitions that may wait.
const MOST_WAITING: usize = 256;
/// A receiver that is away is away for many alerts: the log hears of one failure in so long.
const LOG_PERIOD: Duration = Duration::from_secs(60);

/// Why a try failed. Never with the URL, which often is a password.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    NotPosted(#[from] webhook::Failure),
    #[error("the answer is {0}")]
    Answer(u16),
    #[error("it can't be written as JSON")]
    NotWritten,
}

/// What is posted: a transition, and whose.
#[derive(Serialize)]
struct Delivery<'a> {
    #[serde(flatten)]
    step: &'a Transition,
    source: &'a Identity,
}

pub(super) struct Webhook {
    url: Url,
    key: Option<Hidden>,
    sender: Sender,
    epoch: u64,
    outbox: Mutex<Outbox>,
    wake: Notify,
    /// The outbox reckons in the time since.
    started: Instant,
    failures: Seldom,
    sending: Arc<OperationHandle>,
}

impl Webhook {
    /// `None` where none is set.
    pub(super) fn new(settings: &AlertSettings, epoch: u64, registry: &Registry) -> Result<Option<Self>, WebhookError> {
        let Some(url) = &settings.webhook else { return Ok(None) };
        // The settings have parsed it before; an error here would still not repeat it.
        let url = url.reveal().parse().map_err(|_| WebhookError::unreadable())?;
        let closed_by = (!settings.private_addresses).then_some("alerts.private_addresses");
        let sender = Sender::new(PATIENCE, closed_by)?;
        Ok(Some(Self {
            url,
            key: settings.webhook_secret.clone(),
            sender,
            epoch,
            outbox: Mutex::new(Outbox::new(MOST_WAITING)),
            wake: Notify::new(),
            started: Instant::now(),
            failures: Seldom::new(LOG_PERIOD),
            sending: operations::webhook(registry),
        }))
    }

    /// Puts a transition behind those that wait.
    pub(super) fn push(&self, step: Transition) {
        self.outbox().push(step);
        self.wake.notify_one();
    }

    pub(super) fn waiting(&self) -> usize {
        self.outbox().waiting()
    }

    pub(super) fn counts(&self) -> OutboxCounts {
        self.outbox().counts()
    }

    /// Delivers until `shutdown`.
    pub(super) async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        shutdown.run_until_cancelled(self.deliver()).await;
    }

    async fn deliver(&self) {
        loop {
            let (next, due) = {
                let outbox = self.outbox();
                (outbox.next(self.started.elapsed()).cloned(), outbox.due())
            };
            match (next, due) {
                (Some(step), _) => self.try_once(&step).await,
                (None, Some(due)) => {
                    let at = self.started + due;
                    tokio::select! {
                        () = tokio::time::sleep_until(at) => {}
                        () = self.wake.notified() => {}
                    }
                }
                (None, None) => self.wake.notified().await,
            }
        }
    }

    async fn try_once(&self, step: &Transition) {
        match self.post(step).await {
            Ok(()) => self.outbox().delivered(step.seq),
            Err(failure) => {
                match failure {
                    // Nobody moves the receiver to where it may be within minutes.
                    Failure::NotPosted(webhook::Failure::Private(_)) => self.outbox().give_up(step.seq),
                    _ => self.outbox().failed(step.seq, self.started.elapsed()),
                }
                if let Some(unlogged) = self.failures.count() {
                    tracing::warn!(seq = step.seq, reason = %failure, unlogged, "an alert did not reach the webhook");
                }
            }
        }
    }

    async fn post(&self, step: &Transition) -> Result<(), Failure> {
        let delivery = Delivery { step, source: &THIS_PROCESS };
        let body = serde_json::to_string(&delivery).map_err(|_| Failure::NotWritten)?;
        let event = id_of(self.epoch, step.seq);
        let message = Message { event: &event, trace: trace_of(step), body };
        let sent = async {
            let answer = self.sender.post(&self.url, self.key.as_ref(), message).await?;
            if (200..300).contains(&answer.status) { Ok(()) } else { Err(Failure::Answer(answer.status)) }
        };
        self.sending.measure_result(sent).await
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The trace that is an example of what the alert is about, where there is one.
fn trace_of(step: &Transition) -> TraceContext {
    let example = step.alert.trace_id.as_deref().and_then(|id| u128::from_str_radix(id, 16).ok());
    trace::below(example)
}

#[cfg(test)]
mod tests;
