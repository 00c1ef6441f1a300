//! Queue `schedule`: expands recurrences, and sends reminders of occurrences to tenants.
//!
//! `schedule.expand` creates a row for each reminder within `reminders: horizon`, and a job for
//! each that is due soon. `schedule.remind` sends one. The row makes sure that a reminder is sent
//! once: see [`tidegate_store`].

mod turns;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use tidegate_base::clock;
use tidegate_model::tenant::TenantId;
use tidegate_queue::{
    Context, EnqueueError, EnqueueOptions, Handler, Job, JobId, Outcome, Producer, Timestamp, WorkerBuilder,
};
use tidegate_settings::ReminderSettings;
use tidegate_store::{DueSchedule, PendingReminder, SentReminder, Store, StoreError};
use uuid::Uuid;

use super::notification::{NotPublished, Notifier};
use super::regular::Regular;
use super::{JobContext, reindex};
use super::{SendEmail, again};
use turns::Turns;

/// Maximum number of schedules in one transaction, and of reminders that are enqueued between two
/// checks for cancellation.
const PAGE: u32 = 500;
/// An occurrence that started longer ago gets no reminder.
const GRACE: TimeDelta = TimeDelta::minutes(5);
/// How long before its time a reminder gets its job: longer than the maximum delay of a check of
/// schedules.
const AHEAD: TimeDelta = TimeDelta::minutes(2);
/// Enough attempts for the time in which the reminder is useful: a row gets no second job after its
/// job was given up.
const ATTEMPTS: u32 = 10;
/// How long rows of sent reminders are kept. Longer than any job may need them, and than a day's
/// count is used.
const KEPT: TimeDelta = TimeDelta::days(3);

/// Prepares all due reminders.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct ExpandSchedules {}

impl Job for ExpandSchedules {
    const KIND: &'static str = "schedule.expand";
    const QUEUE: &'static str = "schedule";
}

impl Regular for ExpandSchedules {
    const NAME: &'static str = "expand";
    const PERIOD: Duration = Duration::from_secs(60);
}

/// Sends the reminder of one occurrence, if it was prepared.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemindOfSchedule {
    /// The tenant of the schedule.
    pub tenant: TenantId,
    /// Id of the schedule.
    pub schedule: Uuid,
    /// Start of the occurrence.
    pub at: DateTime<Utc>,
}

impl Job for RemindOfSchedule {
    const KIND: &'static str = "schedule.remind";
    const QUEUE: &'static str = "schedule";
}

/// Runs [`ExpandSchedules`].
#[derive(Clone)]
pub(crate) struct ExpandHandler {
    pub(crate) store: Store,
    pub(crate) producer: Producer,
    pub(crate) reminders: ReminderSettings,
}

/// Runs [`RemindOfSchedule`].
#[derive(Clone)]
pub(crate) struct RemindHandler {
    pub(crate) notifier: Notifier,
    pub(crate) reminders: ReminderSettings,
}

/// Adds the handlers of reminders to the worker.
pub(super) fn join(worker: WorkerBuilder, context: &JobContext<'_>) -> WorkerBuilder {
    let (store, producer) = (context.store.clone(), Producer::new(context.broker.clone()));
    let reminders = context.settings.reminders;
    let notifier = Notifier { store: store.clone(), producer: producer.clone() };
    let worker = worker
        .handler::<ExpandSchedules, _>(ExpandHandler { store, producer, reminders })
        .handler::<RemindOfSchedule, _>(RemindHandler { notifier, reminders });
    reindex::join(worker, context)
}

/// Result of one check of schedules.
#[derive(Debug, Default, Serialize)]
struct Done {
    /// Number of schedules that were checked.
    schedules: u64,
    /// Number of reminders that were created.
    prepared: u64,
    /// Number of occurrences without a reminder because their tenant has reached the daily limit.
    over_the_bound: u64,
    /// Number of schedules whose rule can't be expanded.
    unreadable: u64,
    /// Number of schedules that wait for the next check because expanding their tenant's rules is
    /// slow.
    left: u64,
    /// Number of reminders that have a job.
    enqueued: u64,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a reminder can't be enqueued: {0}")]
    Queue(#[from] EnqueueError),
    /// Another worker has the job now, or it was cancelled. The outcome of this run is ignored.
    #[error("stopped before the end")]
    Stopped,
}

#[async_trait::async_trait]
impl Handler<ExpandSchedules> for ExpandHandler {
    async fn run(&self, _: ExpandSchedules, context: &Context) -> Outcome {
        match self.expand(context).await {
            Ok(done) => Outcome::done(json!(done)),
            Err(Failure::Store(error)) => again(&error),
            Err(error) => Outcome::retry(error),
        }
    }
}

impl ExpandHandler {
    async fn expand(&self, context: &Context) -> Result<Done, Failure> {
        let now = clock::now();
        let mut done = Done::default();
        // Earlier reminders are enqueued first, whether or not the preparation succeeds; then the
        // new ones.
        self.enqueue(now, &mut done, context).await?;
        self.prepare(now, &mut done, context).await?;
        self.enqueue(now, &mut done, context).await?;
        self.store.remove_reminders_before(now - KEPT).await?;
        Ok(done)
    }

    async fn prepare(&self, now: DateTime<Utc>, done: &mut Done, context: &Context) -> Result<(), Failure> {
        let until = now + self.reminders.lead + self.reminders.horizon;
        let mut after: Option<DueSchedule> = None;
        // Whether a schedule with many occurrences was advanced to a time that is still due, which
        // may be before `after`.
        let mut is_due_still = false;
        let mut turns = Turns::new(now, until);
        loop {
            let page = self.store.due_schedules(until, after.as_ref(), PAGE).await?;
            // Panics of the recurrence crate are caught inside.
            let followed = tokio::task::spawn_blocking(move || {
                let followed = turns.follow(page);
                (turns, followed)
            });
            let (back, followed) = followed.await.map_err(|_| Failure::Stopped)?;
            turns = back;
            let Some(last) = followed.last else {
                if !is_due_still {
                    return Ok(());
                }
                (after, is_due_still) = (None, false);
                continue;
            };
            after = Some(last);
            let occurring = followed.occurring;
            done.schedules += occurring.len() as u64;
            done.unreadable += followed.unreadable;
            done.left += followed.left;
            is_due_still |= occurring.iter().any(|occurring| occurring.next.is_some_and(|next| next <= until));
            let prepared = self.store.prepare_reminders(&occurring, self.reminders.per_tenant_day).await?;
            done.prepared += prepared.made;
            for (tenant, refused) in prepared.refused {
                done.over_the_bound += refused;
                let most = self.reminders.per_tenant_day;
                tracing::warn!(%tenant, refused, most, "occurrences get no reminder: the tenant has reached its daily limit");
            }
            self.tell(context, 30, format!("{} schedules checked", done.schedules)).await?;
        }
    }

    /// Enqueues a job for each reminder that is due soon. A reminder gets only one job, since the
    /// id contains the key of its row.
    async fn enqueue(&self, now: DateTime<Utc>, done: &mut Done, context: &Context) -> Result<(), Failure> {
        let span = (now - GRACE, now + self.reminders.lead + AHEAD);
        let mut after: Option<PendingReminder> = None;
        loop {
            let page = self.store.pending_reminders(span, after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            for PendingReminder { schedule, at, tenant, created_at } in page {
                let (at_ms, made) = (at.timestamp_millis(), created_at.timestamp_millis());
                let id = JobId::new(format!("{}.{at_ms}.{made}", schedule.simple())).map_err(EnqueueError::Id)?;
                let time = |time: DateTime<Utc>| Timestamp::from_unix_ms(time.timestamp_millis());
                let options = EnqueueOptions::new()
                    .id(id)
                    .run_at(time(at - self.reminders.lead))
                    .not_after(time(at + GRACE))
                    .max_attempts(ATTEMPTS);
                self.producer.enqueue_with(&RemindOfSchedule { tenant, schedule, at }, options).await?;
                done.enqueued += 1;
            }
            self.tell(context, 70, format!("{} reminders enqueued", done.enqueued)).await?;
        }
    }

    /// The number of remaining schedules is unknown, since new ones arrive during the check.
    async fn tell(&self, context: &Context, percent: u8, message: String) -> Result<(), Failure> {
        if context.cancelled().is_cancelled() {
            return Err(Failure::Stopped);
        }
        context.progress(percent, message).await.map_err(|_| Failure::Stopped)
    }
}

#[async_trait::async_trait]
impl Handler<RemindOfSchedule> for RemindHandler {
    async fn run(&self, job: RemindOfSchedule, context: &Context) -> Outcome {
        let RemindOfSchedule { tenant, schedule, at } = job;
        if clock::now() > at + GRACE {
            return Outcome::discard("the occurrence began long ago");
        }
        let mails = if self.reminders.email { self.reminders.per_tenant_day } else { 0 };
        let sent = match self.notifier.store.send_reminder(&tenant, schedule, at, mails).await {
            Ok(Some(sent)) => sent,
            Ok(None) => return Outcome::discard("the schedule was changed or deleted"),
            Err(error) => return again(&error),
        };
        // From here on, repeated steps have the same ids as before.
        let webhooks = match self.notifier.deliver(&tenant, &sent.notification, context.trace_parent()).await {
            Ok(webhooks) => webhooks,
            Err(NotPublished::Store(error)) => return again(&error),
            Err(error) => return Outcome::retry(error),
        };
        match self.mail(&tenant, &sent, at).await {
            Ok(()) => Outcome::done(json!({"seq": sent.notification.seq, "webhooks": webhooks, "mails": sent.mails})),
            Err(error) => Outcome::retry(error),
        }
    }
}

impl RemindHandler {
    /// Sends a separate mail to each attendee. So no attendee sees the addresses of the others, and
    /// a refused address does not affect the others.
    async fn mail(&self, tenant: &TenantId, sent: &SentReminder, at: DateTime<Utc>) -> Result<(), EnqueueError> {
        let schedule = &sent.schedule;
        for address in schedule.addresses().take(sent.mails) {
            let whom = HEXLOWER.encode(&Sha256::digest(address)[..16]);
            let id = format!("reminder.{}.{}.{whom}", schedule.id.simple(), at.timestamp_millis());
            let text = format!("{}\n\nbegins at {} (UTC).\n", schedule.title, at.format("%A, %-d %B %Y, %H:%M"));
            let mail = SendEmail {
                tenant: tenant.clone(),
                to: vec![address.to_owned()],
                subject: format!("Reminder: {}", schedule.title),
                text,
                html: None,
            };
            let options = EnqueueOptions::new().id(JobId::new(id).map_err(EnqueueError::Id)?);
            self.producer().enqueue_with(&mail, options).await?;
        }
        Ok(())
    }

    fn producer(&self) -> &Producer {
        &self.notifier.producer
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
