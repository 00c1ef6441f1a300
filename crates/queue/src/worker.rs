//! The worker: leases jobs and runs their handlers.

mod builder;
mod concurrency;
mod exchange;
mod lease_book;
mod maintenance;
mod manual;
mod options;
mod pending;
mod queue_loop;
mod report;
mod run;
mod runs;
mod served;
mod shared;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tidegate_clock::Clock;
use tokio::task::{self, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::cron::Scheduler;
use crate::error::WorkerError;
use tidegate_queue_broker::{Timestamp, WorkerId, WorkerInfo};

pub use builder::WorkerBuilder;
pub use concurrency::Concurrency;
use maintenance::Maintenance;
pub(crate) use manual::{ManualWorker, Step};
pub use options::QueueOptions;
use queue_loop::QueueLoop;
pub use report::ShutdownReport;
use served::{LoopState, Served};
use shared::Shared;

/// Leases jobs from queues and runs their handlers.
///
/// Each queue has its own loop and its own slots. Heartbeats, promotion, reclaim and trimming run
/// on a separate thread and runtime. So a handler that computes without yielding does not make the
/// worker lose its leases. One exception: a reply with new leases may arrive while every thread
/// computes. The worker then reads it late, and those leases may have expired. A failing broker
/// never ends a worker; the worker tries again.
pub struct Worker {
    shared: Arc<Shared>,
    queues: Vec<(String, QueueOptions)>,
    grace: Duration,
    schedules: bool,
}

impl Worker {
    /// Id of this worker, as in [`workers`](crate::Broker::workers).
    pub fn id(&self) -> &WorkerId {
        &self.shared.id
    }

    /// Works until `shutdown` is cancelled. Then it fetches no more jobs, lets running jobs
    /// continue until the grace period ends, releases the rest, and returns. Must run in a Tokio
    /// runtime. Dropping the future stops at once, like a crash: leases expire and jobs run again.
    ///
    /// # Errors
    /// [`WorkerError`] if the worker could not start. Also if a part of it ended by itself; the
    /// worker then shuts down in the usual way first.
    pub async fn run(self, shutdown: CancellationToken) -> Result<ShutdownReport, WorkerError> {
        let info = WorkerInfo::of_this_process(
            self.shared.id.clone(),
            self.queues.iter().map(|(name, _)| name.clone()).collect(),
            Timestamp::now(&Clock::system()),
        )
        .with_lease(self.shared.lease);
        let served = |(queue, options)| Served { queue, options, state: LoopState::default() };
        let queues: Vec<_> = self.queues.into_iter().map(served).collect();
        let maintenance =
            Maintenance::start(self.shared.clone(), queues.clone(), info).map_err(WorkerError::Heartbeat)?;
        // On this runtime: computing a catch-up must not delay heartbeats.
        let scheduler = self.schedules.then(|| {
            let (scheduler, shutdown) = (Scheduler::new(self.shared.resources.broker.clone()), shutdown.clone());
            AbortOnDropHandle::new(tokio::spawn(async move { scheduler.run(shutdown).await }))
        });
        let (mut loops, stop) = (Loops::default(), shutdown.child_token());
        for queue in queues {
            loops.spawn(self.shared.clone(), queue, &stop, self.grace);
        }
        let mut report = ShutdownReport::default();
        let (mut fault, mut is_kept) = (None, true);
        loop {
            let error = tokio::select! {
                biased;
                ended = loops.next() => match ended {
                    None => break,
                    Some(Ok(part)) => {
                        report.settled += part.settled;
                        report.released += part.released;
                        report.abandoned += part.abandoned;
                        continue;
                    }
                    Some(Err(error)) => error,
                },
                () = maintenance.ended(), if is_kept => {
                    is_kept = false;
                    WorkerError::HeartbeatEnded
                }
            };
            tracing::error!(%error, "the worker stops");
            stop.cancel();
            fault.get_or_insert(error);
        }
        drop(scheduler);
        // Ended before the withdrawal. Otherwise a late announcement could register the ended
        // worker again.
        maintenance.end().await;
        if let Err(error) = self.shared.resources.broker.withdraw(&self.shared.id).await {
            tracing::warn!(%error, "the worker could not be withdrawn");
        }
        fault.map_or(Ok(report), Err)
    }
}

/// The loops of a worker, and the queue of each.
#[derive(Default)]
struct Loops {
    tasks: JoinSet<ShutdownReport>,
    queues: HashMap<task::Id, String>,
}

impl Loops {
    fn spawn(&mut self, shared: Arc<Shared>, served: Served, stop: &CancellationToken, grace: Duration) {
        let queue = served.queue.clone();
        let queue_loop = QueueLoop::new(shared, served);
        let task = self.tasks.spawn(queue_loop.run(stop.clone(), grace));
        self.queues.insert(task.id(), queue);
    }

    /// Waits until a loop has ended. `None` if all have. Cancel-safe.
    async fn next(&mut self) -> Option<Result<ShutdownReport, WorkerError>> {
        let ended = self.tasks.join_next().await?;
        Some(ended.map_err(|source| {
            let queue = self.queues.remove(&source.id()).unwrap_or_default();
            WorkerError::Panicked { queue, source }
        }))
    }
}
