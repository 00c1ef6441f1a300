//! Queue `analytics`: adds tenants' activity to daily counts, page by page.
//!
//! A page is one transaction. So a worker that dies leaves no partial state, and its successor
//! continues with the rest.

use std::time::Duration;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidegate_base::clock;
use tidegate_queue::{Context, Handler, Job, Outcome, WorkerBuilder};
use tidegate_store::{Store, StoreError};

use super::regular::Regular;
use super::{JobContext, again};

/// Number of rows in one transaction.
const PAGE: u32 = 500;

/// Time without a batch after which the process of an increment stream counts as gone. No batch
/// waits for so long.
const IDLE_STREAM: TimeDelta = TimeDelta::days(30);

/// Rolls all waiting activity.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct RollAnalytics {}

impl Job for RollAnalytics {
    const KIND: &'static str = "analytics.roll";
    const QUEUE: &'static str = "analytics";
}

impl Regular for RollAnalytics {
    const NAME: &'static str = "roll";
    const PERIOD: Duration = Duration::from_secs(5 * 60);
}

/// Runs [`RollAnalytics`].
#[derive(Debug, Clone)]
pub(crate) struct RollHandler {
    /// Location of the counts.
    pub(crate) store: Store,
    /// How long days are kept.
    pub(crate) keep: Duration,
}

/// Adds the handler to the worker.
pub(super) fn join(worker: WorkerBuilder, context: &JobContext<'_>) -> WorkerBuilder {
    let handler = RollHandler { store: context.store.clone(), keep: context.settings.analytics_keep };
    worker.handler::<RollAnalytics, _>(handler)
}

#[async_trait::async_trait]
impl Handler<RollAnalytics> for RollHandler {
    async fn run(&self, _: RollAnalytics, context: &Context) -> Outcome {
        match self.roll(context).await {
            Ok(Some(outcome)) => outcome,
            // Another worker has the job now, or it was cancelled. The outcome of this run is
            // ignored.
            Ok(None) => Outcome::retry("stopped before the end"),
            Err(error) => again(&error),
        }
    }
}

impl RollHandler {
    async fn roll(&self, context: &Context) -> Result<Option<Outcome>, StoreError> {
        let mut rolled = 0;
        loop {
            if context.cancelled().is_cancelled() {
                return Ok(None);
            }
            let page = self.store.roll_activity(PAGE).await?;
            rolled += page;
            if page < u64::from(PAGE) {
                break;
            }
            // The number of remaining rows is unknown, since new ones arrive during the roll.
            if context.progress(50, format!("{rolled} rolled")).await.is_err() {
                return Ok(None);
            }
        }
        let keep = TimeDelta::from_std(self.keep).unwrap_or(TimeDelta::MAX);
        let first = clock::now().checked_sub_signed(keep).unwrap_or_default().date_naive();
        let removed = self.store.remove_days_before(first).await?;
        self.store.remove_idle_streams(clock::now() - IDLE_STREAM).await?;
        if context.progress(100, format!("{rolled} rolled")).await.is_err() {
            return Ok(None);
        }
        Ok(Some(Outcome::done(json!({ "rolled": rolled, "removed": removed }))))
    }
}
