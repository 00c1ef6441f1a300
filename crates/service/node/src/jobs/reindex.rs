//! Recomputes when the schedules of a tenant are due, and drops their cache entries.
//!
//! A scan over all schedules of the tenant makes jobs of [`PAGE`] schedules each. A last job is
//! enqueued when all of them have ended.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tidegate_model::tenant::TenantId;
use tidegate_queue::{
    Completion, Data, EnqueueError, ErrorClass, Failure, FanOut, FanOutScan, GroupId, Groups, Job, Scan, ScanOptions,
    ScanPage, WorkerBuilder,
};
use tidegate_store::{Cursor, Schedule, Store, StoreError};
use uuid::Uuid;

use super::{JobContext, STORE_PAUSE};

/// Number of schedules of one job, and of one page of the scan.
const PAGE: usize = 500;
/// Maximum number of waiting jobs: reminders are in the same queue and wait after them.
const MOST_PENDING: u64 = 20;
/// Time after which the scan releases its slot.
const SLICE: Duration = Duration::from_secs(20);

/// Reindexes all schedules of a tenant.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReindexSchedules {
    /// The tenant.
    pub tenant: TenantId,
}

impl Job for ReindexSchedules {
    const KIND: &'static str = "schedule.reindex";
    const QUEUE: &'static str = "schedule";
}

/// Reindexes some schedules of a tenant.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReindexPage {
    tenant: TenantId,
    ids: Vec<Uuid>,
}

impl Job for ReindexPage {
    const KIND: &'static str = "schedule.reindex-page";
    const QUEUE: &'static str = "schedule";
}

/// Ends a reindexing. Its result is the outcome.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SchedulesReindexed {
    tenant: TenantId,
    group: GroupId,
}

impl Job for SchedulesReindexed {
    const KIND: &'static str = "schedule.reindexed";
    const QUEUE: &'static str = "schedule";
}

/// Kinds of the jobs.
#[cfg(test)]
pub(super) const KINDS: [&str; 3] = [ReindexSchedules::KIND, ReindexPage::KIND, SchedulesReindexed::KIND];

/// Adds the handlers to the worker.
pub(super) fn join(worker: WorkerBuilder, context: &JobContext<'_>) -> WorkerBuilder {
    handlers(worker, context.store, Groups::new(context.broker.clone()))
}

pub(super) fn handlers(worker: WorkerBuilder, store: &Store, groups: Groups) -> WorkerBuilder {
    let options = ScanOptions::new().page_rows(PAGE).max_pending(MOST_PENDING).slice(SLICE);
    worker
        .data(store.clone())
        .data(groups)
        .handler(FanOutScan::new(SchedulesOfTenant(store.clone()), options))
        .handler(reindex)
        .handler(finish)
}

/// The schedules of the job's tenant.
struct SchedulesOfTenant(Store);

impl Scan for SchedulesOfTenant {
    type Job = ReindexSchedules;
    type Row = Schedule;
    type Position = String;
    type Error = Failure;

    async fn page(
        &self,
        job: &ReindexSchedules,
        position: Option<&String>,
        limit: usize,
    ) -> Result<ScanPage<Schedule, String>, Failure> {
        let after: Option<Cursor> = position
            .map(|text| text.parse())
            .transpose()
            .map_err(|_| Failure::bury("a page could not be continued"))?;
        let page = self.0.schedules(&job.tenant, limit, after).await.map_err(failed)?;
        Ok(ScanPage { rows: page.items, next: page.next_cursor })
    }

    async fn count(&self, job: &ReindexSchedules) -> Result<Option<u64>, Failure> {
        let mut snapshot = self.0.snapshot().await.map_err(failed)?;
        snapshot.count_schedules(&job.tenant).await.map(Some).map_err(failed)
    }
}

impl FanOut for SchedulesOfTenant {
    type Member = ReindexPage;

    fn split(&self, job: &ReindexSchedules, rows: Vec<Schedule>) -> Vec<ReindexPage> {
        if rows.is_empty() {
            return Vec::new();
        }
        vec![ReindexPage { tenant: job.tenant.clone(), ids: rows.iter().map(|schedule| schedule.id).collect() }]
    }

    fn completion(&self, job: &ReindexSchedules, group: &GroupId) -> Result<Option<Completion>, EnqueueError> {
        Completion::job(&SchedulesReindexed { tenant: job.tenant.clone(), group: group.clone() }).map(Some)
    }
}

async fn reindex(job: ReindexPage, Data(store): Data<Store>) -> Result<serde_json::Value, Failure> {
    let schedules = store.reindex_schedules(&job.tenant, &job.ids).await.map_err(failed)?;
    Ok(json!({"schedules": schedules}))
}

async fn finish(job: SchedulesReindexed, Data(groups): Data<Groups>) -> Result<serde_json::Value, Failure> {
    let progress = groups.progress(&job.group).await?;
    let (done, dead, cancelled) = (progress.done, progress.dead, progress.cancelled);
    tracing::info!(tenant = %job.tenant, done, dead, cancelled, "the schedules of a tenant were reindexed");
    Ok(json!({"tenant": job.tenant, "group": job.group, "done": done, "dead": dead, "cancelled": cancelled}))
}

fn failed(error: StoreError) -> Failure {
    let class = if error.is_transient() { ErrorClass::Snooze(STORE_PAUSE) } else { ErrorClass::Retry };
    Failure::new(class, error)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tidegate_model::schedule::{RawSchedule, ScheduleDraft};
    use tidegate_queue::{Broker, MemoryBroker, Producer, QueueOptions, Worker};
    use tidegate_testkit::poll_until;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::jobs::test_ground::Ground;

    #[tokio::test]
    async fn all_schedules_of_a_tenant_are_reindexed_and_the_last_job_reports_it() {
        let ground = Ground::new().await;
        let raw = RawSchedule {
            title: "Stand-up".to_owned(),
            starts_at: "2090-01-07T09:00:00Z".to_owned(),
            ends_at: "2090-01-07T09:15:00Z".to_owned(),
            recurrence: None,
            attendees: Vec::new(),
        };
        let draft = ScheduleDraft::try_new(&raw).unwrap();
        let count = PAGE + 3;
        for _ in 0..count {
            ground.store.create_schedule(&ground.tenant, &draft).await.unwrap();
        }
        let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
        let worker = Worker::builder(Arc::clone(&broker)).queue(ReindexSchedules::QUEUE, QueueOptions::new());
        let worker = handlers(worker, &ground.store, Groups::new(Arc::clone(&broker))).build().unwrap();
        let stop = CancellationToken::new();
        let worker = tokio::spawn(worker.run(stop.clone()));

        let producer = Producer::new(Arc::clone(&broker));
        let id = producer.enqueue(&ReindexSchedules { tenant: ground.tenant.clone() }).await.unwrap();
        let queue = ReindexSchedules::QUEUE;
        let report: tidegate_queue::FanOutReport =
            producer.wait_for(queue, &id, Duration::from_secs(60)).await.unwrap();
        assert_eq!((report.rows, report.jobs), (count as u64, 2));
        let finished = async || {
            let done = broker.list(queue, tidegate_queue::JobState::Done, None, 10).await.ok()?;
            done.items.into_iter().find(|job| job.kind == SchedulesReindexed::KIND)
        };
        let last = poll_until(Duration::from_secs(60), finished).await.unwrap();
        let result = last.result.unwrap();
        assert_eq!((&result["done"], &result["dead"], &result["group"]), (&json!(2), &json!(0), &json!(report.group)));
        stop.cancel();
        worker.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_reindexed_schedule_is_due_as_if_it_were_new() {
        let ground = Ground::new().await;
        let starts_at = tidegate_base::clock::now() + chrono::TimeDelta::hours(1);
        let raw = RawSchedule {
            title: "Stand-up".to_owned(),
            starts_at: starts_at.to_rfc3339(),
            ends_at: (starts_at + chrono::TimeDelta::minutes(15)).to_rfc3339(),
            recurrence: None,
            attendees: Vec::new(),
        };
        let draft = ScheduleDraft::try_new(&raw).unwrap();
        let schedule = ground.store.create_schedule(&ground.tenant, &draft).await.unwrap();
        let until = starts_at + chrono::TimeDelta::hours(1);
        let due = async || ground.store.due_schedules(until, None, 10).await.unwrap();
        let before = due().await;
        assert_eq!(before.len(), 1);
        let occurring = tidegate_store::Occurring { schedule: before[0].clone(), within: Vec::new(), next: None };
        ground.store.prepare_reminders(&[occurring], 10).await.unwrap();
        assert!(due().await.is_empty(), "it is never looked at again");
        let ids = [schedule.id, Uuid::new_v4()];
        assert_eq!(ground.store.reindex_schedules(&ground.tenant, &ids).await.unwrap(), 1);
        assert_eq!(due().await, before);
    }
}
