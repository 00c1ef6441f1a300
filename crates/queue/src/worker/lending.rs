//! The loop of one queue: settle and fetch, run, wait, until told to stop.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::outbox::{Outbox, broker_pause};
use super::run::{Settlement, run};
use super::{QueueOptions, Shared, ShutdownReport};
use crate::broker::Wake;
use crate::clock::Monotonic;
use crate::event::Event;
use crate::lease::LeasedJob;
use crate::maintenance::PROMOTE_CHUNK;

/// Longest wait for work before looking again.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

pub(super) struct Lending {
    shared: Arc<Shared>,
    queue: Arc<str>,
    options: QueueOptions,
    running: JoinSet<Option<Settlement>>,
    outbox: Outbox,
    failures: u32,
}

impl Lending {
    pub(super) fn new(shared: Arc<Shared>, queue: String, options: QueueOptions) -> Self {
        Self { shared, queue: queue.into(), options, running: JoinSet::new(), outbox: Outbox::default(), failures: 0 }
    }

    pub(super) async fn run(mut self, shutdown: CancellationToken, grace: Duration) -> ShutdownReport {
        while !shutdown.is_cancelled() {
            // Runs that end together are told together.
            tokio::task::yield_now().await;
            self.collect();
            let free = self.options.concurrency.saturating_sub(self.running.len());
            // The leases run from when the broker gave them, which is not before it was asked.
            let asked = Monotonic::now();
            let leased = self.exchange(free).await;
            let hungry = leased.len() < free;
            for job in leased {
                self.start(job, asked);
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => {}
                () = self.event(hungry) => {}
            }
        }
        self.drain(grace).await
    }

    /// Holds the lease at once: the run may wait long for its first turn among handlers that compute.
    fn start(&mut self, job: LeasedJob, asked: Monotonic) {
        let shared = self.shared.clone();
        let held = shared.leases.hold(job.token.clone(), self.queue.clone(), shared.stop.child_token(), asked);
        self.running.spawn(run(shared, self.queue.clone(), self.options.clone(), job, held));
    }

    fn collect(&mut self) {
        while let Some(ended) = self.running.try_join_next() {
            self.took(ended);
        }
    }

    fn took(&mut self, ended: Result<Option<Settlement>, tokio::task::JoinError>) {
        match ended {
            Ok(Some(settlement)) => self.outbox.push(settlement),
            Ok(None) => {}
            // Not to be expected; the lease expires and the job runs again.
            Err(error) => tracing::error!(%error, "a run's supervisor failed"),
        }
    }

    async fn exchange(&mut self, free: usize) -> Vec<LeasedJob> {
        match self.outbox.exchange(&self.shared, &self.queue, free).await {
            Ok(leased) => {
                self.failures = 0;
                leased
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                self.shared.tell(&Event::BrokerFailed { queue: &self.queue, error: &error });
                Vec::new()
            }
        }
    }

    /// Waits for the next thing to do: a run that ended, work in the queue, or the end of a pause
    /// after a failure of the broker. Dropping it loses nothing.
    async fn event(&mut self, hungry: bool) {
        if self.failures > 0 {
            tokio::time::sleep(broker_pause(self.failures)).await;
            return;
        }
        if !self.outbox.is_empty() {
            return;
        }
        let queues = [self.queue.as_ref().to_owned()];
        let woken = tokio::select! {
            biased;
            Some(ended) = self.running.join_next() => return self.took(ended),
            woken = self.shared.broker.wait(&queues, LONGEST_WAIT), if hungry => woken,
            else => return,
        };
        let result = match woken {
            Ok(Wake::Due) => self.shared.broker.promote(&self.queue, PROMOTE_CHUNK).await.map(drop),
            other => other.map(drop),
        };
        if let Err(error) = result {
            self.failures = 1;
            self.shared.tell(&Event::BrokerFailed { queue: &self.queue, error: &error });
        }
    }

    async fn drain(mut self, grace: Duration) -> ShutdownReport {
        let stop = self.shared.stop.clone();
        let end_of_grace = tokio::time::sleep(grace);
        tokio::pin!(end_of_grace);
        while !(self.running.is_empty() && self.outbox.is_empty()) {
            tokio::select! {
                () = &mut end_of_grace, if !stop.is_cancelled() => stop.cancel(),
                () = self.event(false) => {
                    self.collect();
                    // Sends what is left; leases nothing.
                    self.exchange(0).await;
                }
            }
        }
        self.outbox.report
    }
}
