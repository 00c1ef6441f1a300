//! Posts alerts to a URL, one after the other, and holds nobody up with it.

mod signature;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::{Client, Url, header};
use serde::Serialize;
use tidegate_perfmon::{OperationHandle, Outbox, OutboxCounts, Registry, Transition};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::address::{PublicOnly, is_private_address, is_public};
use super::stream::id_of;
use crate::clock;
use crate::identity::{Identity, THIS_PROCESS};
use crate::outgoing;
use crate::settings::{AlertSettings, Hidden};
use crate::telemetry::{Seldom, operations};

/// How long one try may take, from resolving the name to the headers of the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Transitions that may wait.
const MOST_WAITING: usize = 256;
/// A receiver that is away is away for many alerts: the log hears of one failure in so long.
const LOG_PERIOD: Duration = Duration::from_secs(60);

/// Why alerts can't be posted at all.
#[derive(Debug, thiserror::Error)]
#[error("alerts.webhook: no client can be made: {0}")]
pub struct WebhookError(String);

/// Why a try failed. Never with the URL, which often is a password.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Failure {
    #[error("the address is private, and alerts.private_addresses is off")]
    Private,
    #[error("no answer within {} s", PATIENCE.as_secs())]
    TimedOut,
    #[error("no connection")]
    NoConnection,
    #[error("the answer is {0}")]
    Answer(u16),
    #[error("the exchange broke off")]
    BrokeOff,
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
    allows_private: bool,
    client: Client,
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
        let url = url.reveal().parse().map_err(|_| WebhookError("the URL can't be read".to_owned()))?;
        let no_client = |error: &dyn std::error::Error| WebhookError(error.to_string());
        let builder = outgoing::client().map_err(|error| no_client(&error))?.timeout(PATIENCE);
        // No connection is kept: each delivery resolves the name anew, and there are few.
        let builder = builder.pool_max_idle_per_host(0);
        let builder = if settings.private_addresses { builder } else { builder.dns_resolver(Arc::new(PublicOnly)) };
        let client = builder.build().map_err(|error| no_client(&error.without_url()))?;
        Ok(Some(Self {
            url,
            key: settings.webhook_secret.clone(),
            allows_private: settings.private_addresses,
            client,
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
                    Failure::Private => self.outbox().give_up(step.seq),
                    _ => self.outbox().failed(step.seq, self.started.elapsed()),
                }
                if let Some(unlogged) = self.failures.count() {
                    tracing::warn!(seq = step.seq, reason = %failure, unlogged, "an alert did not reach the webhook");
                }
            }
        }
    }

    async fn post(&self, step: &Transition) -> Result<(), Failure> {
        // An address in the URL is connected to without being resolved.
        let host = self.url.host_str().unwrap_or_default();
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        if !self.allows_private && literal.is_ok_and(|address| !is_public(address)) {
            return Err(Failure::Private);
        }
        let delivery = Delivery { step, source: &THIS_PROCESS };
        let body = serde_json::to_string(&delivery).map_err(|_| Failure::BrokeOff)?;
        let timestamp = clock::now().timestamp().to_string();
        let mut request = self
            .client
            .post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-tidegate-event", id_of(self.epoch, step.seq))
            .header("x-tidegate-timestamp", &timestamp);
        if let Some(key) = &self.key {
            request = request.header("x-tidegate-signature", signature::of(key.reveal(), &timestamp, &body));
        }
        let sent = async {
            // The body of the answer is nothing to us, and may be endless.
            let answer = request.body(body).send().await.map_err(|error| failure(&error))?;
            if answer.status().is_success() { Ok(()) } else { Err(Failure::Answer(answer.status().as_u16())) }
        };
        self.sending.measure_result(sent).await
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failure(error: &reqwest::Error) -> Failure {
    if is_private_address(error) {
        Failure::Private
    } else if error.is_timeout() {
        Failure::TimedOut
    } else if error.is_connect() {
        Failure::NoConnection
    } else {
        Failure::BrokeOff
    }
}

#[cfg(test)]
mod tests;
