//! Once a second: files the second's figures into their windows, and judges them.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tidegate_perfmon::Reading;
use tidegate_queue::{BrokerError, Timestamp, WorkerInfo};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::{Beat, Telemetry};
use crate::clock;
use crate::jobs::{self, QUEUES};

const BEAT: Duration = Duration::from_secs(1);
/// A job store that doesn't answer within this time counts as unreachable.
const PATIENCE: Duration = Duration::from_secs(1);
/// A worker that was not seen for so long counts as gone.
const ALIVE: Duration = Duration::from_secs(30);

pub(super) async fn run(telemetry: Arc<Telemetry>, shutdown: CancellationToken) {
    // Filed apart from judged: a job store that hangs must not stretch the seconds of the figures.
    let filed = Notify::new();
    let filing = async {
        // The first after a second: by then a worker inside this process has announced itself.
        let mut beat = interval_at(Instant::now() + BEAT, BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            telemetry.registry.tick(telemetry.registry.now());
            telemetry.job_watch.turn();
            filed.notify_one();
        }
    };
    let judging = async {
        loop {
            filed.notified().await;
            telemetry.judge().await;
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = filing => {}
        () = judging => {}
    }
}

impl Telemetry {
    async fn judge(&self) {
        let mut readings = self.registry.readings_with(|limit| self.registry.in_flight_over(limit));
        readings.extend(self.board.take_readings());
        readings.extend(self.queue_readings().await);
        let report = self.monitor.lock().unwrap_or_else(PoisonError::into_inner).evaluate(readings);
        let unix_ms = u64::try_from(clock::now().timestamp_millis()).unwrap_or(0);
        let beat = Beat { now: self.registry.now(), unix_ms, registry: &self.registry, health: &report };
        self.board.tell(&beat);
        *self.report.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
    }

    async fn queue_readings(&self) -> [Reading; 2] {
        let asked = tokio::time::timeout(PATIENCE, self.unserved_queues()).await;
        let unserved = asked.ok().and_then(Result::ok);
        let store = match &self.redis {
            None => is_so("job_store_unreachable", unserved.is_none()).critical(),
            // Reads, writes and limits go on without it: who took this node out of service would make an outage of the
            // queue one of everything.
            Some(redis) => is_so("redis_unavailable", unserved.is_none() || !redis.is_available()),
        };
        [store, is_so("queues_without_live_worker", unserved.is_some_and(|queues| queues > 0))]
    }

    async fn unserved_queues(&self) -> Result<usize, BrokerError> {
        let workers = self.broker.workers().await?;
        let is_served =
            |queue: &str| workers.iter().any(|worker| is_alive(worker) && jobs::is_served_by(queue, worker));
        Ok(QUEUES.iter().filter(|queue| !is_served(queue)).count())
    }
}

/// A yes-or-no question: half stands for the threshold between the two.
fn is_so(name: &'static str, answer: bool) -> Reading {
    Reading::new(name, if answer { 1.0 } else { 0.0 }, 0.5)
}

/// Whether the worker was seen lately.
pub(super) fn is_alive(worker: &WorkerInfo) -> bool {
    Timestamp::from_unix_ms(clock::now().timestamp_millis()).since(worker.last_seen) < ALIVE
}
