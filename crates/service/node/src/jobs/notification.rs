//! Queue `notification`: publishes a notification of a tenant as a row that its event streams
//! deliver, and enqueues a post to each of its webhooks. Queue `webhook` posts them.
//!
//! A notification is published once, however often the job runs. A post is made at least once: if a
//! receiver accepted it and its answer was lost, it is made again with the same `x-tidegate-event`.

use std::time::Duration;

use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidegate_base::permit_pool::PermitPool;
use tidegate_model::tenant::TenantId;
use tidegate_outgoing::webhook::{Answer, Failure, Message, Sender};
use tidegate_perfmon::TraceContext;
use tidegate_queue::{Context, EnqueueError, EnqueueOptions, Handler, Job, JobId, Outcome, Producer, WorkerBuilder};
use tidegate_resilience::{CircuitBreaker, CircuitBreakers, Error, Verdict};
use tidegate_store::{NewNotification, Notification, Store, StoreError};
use tidegate_telemetry::trace;
use uuid::Uuid;

use super::{JobContext, again};

/// Maximum number of characters of a kind, and of a user.
const LONGEST_NAME: usize = 64;
/// Maximum size of a body in bytes.
const LONGEST_BODY: usize = 64 << 10;
/// How long deliveries to an unreachable receiver are retried.
const LIFE: Duration = Duration::from_secs(24 * 3600);
/// Maximum share of concurrent posts for one tenant: one part in this number.
const SHARE: usize = 4;
/// How long a post waits if its tenant has reached its share.
const PLACE_PAUSE: Duration = Duration::from_secs(1);
/// Maximum multiple of that pause.
const MOST_PAUSES: u32 = 30;
/// Maximum delay that a receiver may request.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// Number of consecutive failures after which nothing is posted to a receiver for a while.
const BREAKER_FAILURES: u32 = 5;
/// Duration of that pause.
const BREAKER_OPEN: Duration = Duration::from_secs(30);
/// Maximum number of receivers that have a breaker.
const MOST_BREAKERS: usize = 10_000;

/// Publishes a notification of a tenant.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendNotification {
    /// The tenant.
    pub tenant: TenantId,
    /// Id of the user that it concerns, 1 to 64 characters. `None` if it concerns all users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Kind of the event: 1 to 64 characters of `a-z`, `0-9`, `.`, `_` and `-`.
    pub kind: String,
    /// Content: at most 64 KiB of JSON.
    pub body: Value,
}

impl Job for SendNotification {
    const KIND: &'static str = "notification.send";
    const QUEUE: &'static str = "notification";
}

/// Posts a notification of a tenant to one webhook.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliverNotification {
    /// The tenant.
    pub tenant: TenantId,
    /// Number of the notification.
    pub seq: u64,
    /// Id of the webhook.
    pub webhook: Uuid,
}

impl Job for DeliverNotification {
    const KIND: &'static str = "notification.deliver";
    const QUEUE: &'static str = "webhook";
}

/// Runs [`SendNotification`].
#[derive(Clone)]
pub(crate) struct SendHandler {
    pub(crate) notifier: Notifier,
}

/// Runs [`DeliverNotification`].
#[derive(Debug, Clone)]
pub(crate) struct DeliverHandler {
    pub(crate) store: Store,
    pub(crate) sender: Sender,
    /// One breaker per tenant and receiver.
    pub(crate) breakers: CircuitBreakers,
    /// Limits the concurrent posts of one tenant.
    pub(crate) permits: PermitPool,
}

/// Publishes notifications, and enqueues their posts.
#[derive(Clone)]
pub(crate) struct Notifier {
    pub(crate) store: Store,
    pub(crate) producer: Producer,
}

/// A notification was not published, or not all of its posts were enqueued.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotPublished {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a delivery can't be enqueued: {0}")]
    Queue(#[from] EnqueueError),
}

/// Adds the handler of notifications to the worker.
pub(super) fn join(worker: WorkerBuilder, context: &JobContext<'_>) -> WorkerBuilder {
    let notifier = Notifier { store: context.store.clone(), producer: Producer::new(context.broker.clone()) };
    worker.handler::<SendNotification, _>(SendHandler { notifier })
}

/// Adds the handler of posts to the worker.
pub(super) fn join_deliveries(worker: WorkerBuilder, context: &JobContext<'_>) -> WorkerBuilder {
    let served = context.settings.queue.served.iter().find(|served| served.queue.name == DeliverNotification::QUEUE);
    let at_once = served.map_or(1, |served| served.concurrency);
    worker.handler::<DeliverNotification, _>(DeliverHandler {
        store: context.store.clone(),
        sender: context.webhooks.clone(),
        breakers: breakers(),
        permits: PermitPool::new(usize::MAX, (at_once / SHARE).max(1)),
    })
}

fn breakers() -> CircuitBreakers {
    let builder = CircuitBreaker::builder("webhook").consecutive_failures(BREAKER_FAILURES).open_for(BREAKER_OPEN);
    builder.build_per_key(MOST_BREAKERS).expect("constants above zero")
}

#[async_trait::async_trait]
impl Handler<SendNotification> for SendHandler {
    async fn run(&self, job: SendNotification, context: &Context) -> Outcome {
        if let Some(fault) = fault(&job) {
            return Outcome::bury(fault);
        }
        match self.notifier.store.tenant(&job.tenant).await {
            Ok(Some(_)) => {}
            Ok(None) => return Outcome::bury(format!("there is no tenant `{}`", job.tenant.as_str())),
            Err(error) => return again(&error),
        }
        let body = job.body.to_string();
        let new = NewNotification {
            tenant: &job.tenant,
            source: context.id().as_str(),
            user: job.user.as_deref(),
            kind: &job.kind,
            body: &body,
        };
        let told = match self.notifier.store.publish(&new).await {
            Ok(told) => told,
            Err(error) => return again(&error),
        };
        match self.notifier.deliver(&job.tenant, &told, context.trace_parent()).await {
            Ok(webhooks) => Outcome::done(json!({"seq": told.seq, "webhooks": webhooks})),
            Err(NotPublished::Store(error)) => again(&error),
            Err(error) => Outcome::retry(error),
        }
    }
}

fn fault(job: &SendNotification) -> Option<String> {
    let is_kind = |kind: &str| {
        let goes = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-');
        (1..=LONGEST_NAME).contains(&kind.len()) && kind.bytes().all(goes)
    };
    let is_user =
        |user: &str| (1..=LONGEST_NAME).contains(&user.chars().count()) && !user.chars().any(char::is_control);
    if !is_kind(&job.kind) {
        return Some(format!("`kind` is 1 to {LONGEST_NAME} of a-z, 0-9, '.', '_' and '-'"));
    }
    if !job.user.as_deref().is_none_or(is_user) {
        return Some(format!("`user` is 1 to {LONGEST_NAME} characters, none of them a control character"));
    }
    (job.body.to_string().len() > LONGEST_BODY).then(|| format!("`body` is longer than {LONGEST_BODY} bytes"))
}

impl Notifier {
    /// Enqueues posts of a notification to each webhook that wants it. Returns how many. A repeated
    /// call enqueues nothing new.
    pub(crate) async fn deliver(
        &self,
        tenant: &TenantId,
        told: &Notification,
        trace_parent: Option<&str>,
    ) -> Result<usize, NotPublished> {
        let webhooks = self.store.webhooks(tenant).await?;
        let mut count = 0;
        for webhook in webhooks.iter().filter(|webhook| webhook.wants(&told.kind)) {
            // A tenant's id has only characters that are valid in a job's id. The lengths of the
            // number and the webhook's id are limited.
            let id = format!("{}.{}.{}", webhook.id.simple(), told.seq, tenant.as_str());
            let id = JobId::new(&id).map_err(EnqueueError::Id)?;
            let mut options = EnqueueOptions::new().id(id).expires_in(LIFE);
            if let Some(trace_parent) = trace_parent {
                options = options.trace_parent(trace_parent);
            }
            let job = DeliverNotification { tenant: tenant.clone(), seq: told.seq, webhook: webhook.id };
            self.producer.enqueue_with(&job, options).await?;
            count += 1;
        }
        Ok(count)
    }
}

#[async_trait::async_trait]
impl Handler<DeliverNotification> for DeliverHandler {
    async fn run(&self, job: DeliverNotification, context: &Context) -> Outcome {
        let DeliverNotification { tenant, seq, webhook: id } = job;
        let webhook = match self.store.webhook(&tenant, id).await {
            Ok(Some(webhook)) if webhook.disabled_at.is_none() => webhook,
            Ok(_) => return Outcome::discard("the webhook is gone, or its receiver has disabled it"),
            Err(error) => return again(&error),
        };
        let told = match self.store.notification(&tenant, seq).await {
            Ok(Some(told)) => told,
            Ok(None) => return Outcome::discard("the notification is no longer stored"),
            Err(error) => return again(&error),
        };
        let Ok(url) = webhook.url.reveal().parse::<Url>() else { return Outcome::bury("the URL can't be read") };
        // Separate for each tenant: another tenant's broken receiver on the same host must not
        // affect it.
        let receiver = format!("{} {}", tenant.as_str(), url.authority());
        let Ok(_permit) = self.permits.take(tenant.as_str()) else {
            // Longer each time, so that few of thousands of waiting posts are tried in vain.
            return Outcome::snooze(PLACE_PAUSE * context.delivery().clamp(1, MOST_PAUSES));
        };
        let event = context.id().as_str();
        let trace = context.trace_parent().and_then(|header| header.parse::<TraceContext>().ok());
        let trace = trace.unwrap_or_else(|| trace::below(None));
        let breaker = self.breakers.get(&receiver).classify(verdict);
        let post = || {
            let body = posted(&tenant, &told, event).to_string();
            self.sender.post(&url, Some(&webhook.secret), Message { event, trace, body })
        };
        match breaker.call(post).await {
            Ok(answer) => self.judge(&tenant, id, answer).await,
            // A retry within minutes is useless, since it needs a change by an operator.
            Err(Error::Inner(failure @ Failure::Private(_))) => Outcome::bury(failure),
            Err(Error::Inner(failure)) => Outcome::retry(failure),
            Err(refusal) => Outcome::snooze(refusal.retry_in().unwrap_or(BREAKER_OPEN)),
        }
    }
}

/// Returns what the result of a post shows about its receiver.
fn verdict(answer: Result<&Answer, &Failure>) -> Verdict {
    match answer {
        Err(Failure::Private(_)) => Verdict::Ignored,
        // A receiver that is too busy needs a pause as well.
        Err(_) | Ok(Answer { status: 429 | 500.., .. }) => Verdict::Transient,
        Ok(_) => Verdict::Success,
    }
}

impl DeliverHandler {
    async fn judge(&self, tenant: &TenantId, webhook: Uuid, answer: Answer) -> Outcome {
        let status = answer.status;
        let error = format!("the receiver answered {status}");
        match status {
            200..=299 => Outcome::done(json!({"status": status})),
            410 => match self.store.disable_webhook(tenant, webhook).await {
                Ok(()) => Outcome::discard("the receiver answered 410: nothing more is sent to this webhook"),
                Err(error) => again(&error),
            },
            408 | 425 | 429 | 500.. => match answer.retry_after {
                Some(wait) => Outcome::retry_after(wait.min(LONGEST_WAIT), error),
                None => Outcome::retry(error),
            },
            300..=399 => Outcome::bury(format!("{error}, and redirects are not followed")),
            _ => Outcome::bury(error),
        }
    }
}

/// Returns the body of a post.
fn posted(tenant: &TenantId, told: &Notification, event: &str) -> Value {
    let mut json = shown(told);
    json["event"] = event.into();
    json["tenant"] = tenant.as_str().into();
    json
}

/// Returns a notification in the form of streams, lists and webhooks.
pub fn shown(told: &Notification) -> Value {
    // The stored body is always JSON.
    let body: Value = serde_json::from_str(&told.body).unwrap_or_default();
    json!({"seq": told.seq, "kind": told.kind, "user": told.user, "at": told.at, "body": body})
}

#[cfg(test)]
#[path = "notification_tests.rs"]
mod tests;
