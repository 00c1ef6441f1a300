//! The ticker: once a second, files the metrics of the second into windows, and judges them.
//!
//! Queries to the broker run separately, and the last known answer is judged: a broker that hangs
//! does not delay the health report.

mod job_store;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tidegate_base::clock;
use tidegate_model::queues::{self, QUEUES};
use tidegate_perfmon::{Reading, Registry};
use tidegate_queue::BrokerError;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::sources::taken;
use super::{Named, Telemetry, Tick};

pub(super) use job_store::JobStoreAnswer;

const TICK: Duration = Duration::from_secs(1);
/// A job store that doesn't answer within this time counts as unreachable.
const PATIENCE: Duration = Duration::from_secs(1);

/// Readings that are unknown if the requests can't be judged.
const REQUESTS: &[Named] = &[Named::critical("error_rate"), Named::critical("aborted"), Named::critical("p99")];

pub(super) async fn run(telemetry: Arc<Telemetry>, shutdown: CancellationToken) {
    let (asking, until) = (Arc::clone(&telemetry), shutdown.clone());
    // In a separate task, so that a broker that blocks its thread does not stop the ticker.
    tokio::spawn(async move {
        until.run_until_cancelled(ask(&asking, || asking.unserved_queues())).await;
    });
    shutdown.run_until_cancelled(tick(&telemetry)).await;
}

async fn tick(telemetry: &Telemetry) {
    let each = |_: &Registry| {
        // Before the first answer or timeout of the job store nothing is judged.
        if telemetry.asked().is_some() {
            telemetry.judge();
        }
    };
    telemetry.registry.ticking(each).await;
}

/// Runs `second`. Logs a panic in it, so that the queries continue.
fn surviving(second: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(second)).is_err() {
        tracing::error!("health was not evaluated for a second: a part of the evaluation panicked");
    }
}

/// Queries the job store once a second, or as often as it answers. A panic counts as no answer.
async fn ask<F>(telemetry: &Telemetry, question: impl Fn() -> F)
where
    F: Future<Output = Result<Vec<&'static str>, BrokerError>>,
{
    let mut pace = pace();
    loop {
        pace.tick().await;
        let answer = AssertUnwindSafe(async { question().await }).catch_unwind();
        let answer = tokio::time::timeout(PATIENCE, answer).await;
        let unserved = answer.ok().and_then(Result::ok).and_then(Result::ok);
        let asked = JobStoreAnswer { at: telemetry.registry.now(), unserved };
        let before = telemetry.asked.lock().unwrap_or_else(PoisonError::into_inner).replace(asked);
        if before.is_none() {
            surviving(|| telemetry.judge());
        }
        telemetry.ask_for_room().await;
    }
}

/// The first query is after a second: by then a worker inside this process has announced itself.
fn pace() -> Interval {
    let mut pace = interval_at(Instant::now() + TICK, TICK);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}

impl Telemetry {
    fn asked(&self) -> Option<JobStoreAnswer> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn judge(&self) {
        let mut readings = taken(REQUESTS, || self.registry.readings());
        readings.extend(self.sources.take_readings());
        readings.extend(self.asked().into_iter().flat_map(|asked| self.queue_readings(asked)));
        let report = self.monitor.lock().unwrap_or_else(PoisonError::into_inner).evaluate(readings);
        let (now, unix_ms) = (self.registry.now(), clock::unix_ms());
        self.latest.set(report.clone());
        self.sources.notify(&Tick { now, unix_ms, registry: &self.registry, health: &report });
    }

    fn queue_readings(&self, JobStoreAnswer { at, unserved }: JobStoreAnswer) -> [Reading; 3] {
        let store = match &self.redis {
            None => Reading::condition("job_store_unreachable", unserved.is_none(), "the job store is unreachable")
                .critical(),
            // Reads, writes and limits work without it. If a load balancer removed this node, an
            // outage of the queue would become a complete outage.
            Some(redis) => {
                let is_unavailable = unserved.is_none() || !redis.is_available();
                Reading::condition("redis_unavailable", is_unavailable, "Redis is unavailable")
            }
        };
        let unserved = unserved.unwrap_or_default();
        let alone = !unserved.is_empty();
        let alone = Reading::condition("queues_without_live_worker", alone, "queues have no live worker");
        let alone = if unserved.is_empty() { alone } else { alone.detail(unserved.join(", ")) };
        let full = Reading::condition("job_store_full", self.job_watch.is_full(), "the job store is full");
        [store, alone, full].map(|reading| reading.taken_ago(self.registry.now().saturating_sub(at)))
    }

    /// Queries whether the servers of a full job store are still full. Without enqueue attempts
    /// nothing else would show it.
    async fn ask_for_room(&self) {
        if let Some(redis) = self.redis.as_ref().filter(|_| self.job_watch.is_full())
            && let Ok(is_full) = tokio::time::timeout(PATIENCE, redis.is_queue_full()).await
        {
            self.job_watch.confirm_full(is_full);
        }
    }

    async fn unserved_queues(&self) -> Result<Vec<&'static str>, BrokerError> {
        let (workers, now) = (self.broker.workers().await?, self.broker.now().await?);
        let is_served = |queue: &str| workers.iter().any(|worker| queues::is_served_by(queue, worker, now));
        Ok(QUEUES.iter().copied().filter(|queue| !is_served(queue)).collect())
    }
}

#[cfg(test)]
mod tests;
