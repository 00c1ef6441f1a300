//! The loop of one queue: settle and fetch, run, wait, until shutdown.
//!
//! Up to two exchanges with the broker are in progress at a time, so the broker processes one batch
//! while the handlers run the other.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::exchange::{Exchanged, exchange};
use super::maintenance::PROMOTE_CHUNK;
use super::pending::{PendingSettlements, broker_pause};
use super::report::ShutdownReport;
use super::runs::Runs;
use super::served::{LoopState, Served};
use super::shared::Shared;
use crate::event::Event;
use tidegate_queue_broker::{BrokerError, Wake};

/// Longest wait for work before the next fetch.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Upper limit on the grace period. A timer beyond it would overflow.
const LONGEST_GRACE: Duration = Duration::from_secs(365 * 24 * 3600);
/// Exchanges in progress at once.
const EXCHANGES: usize = 2;

pub(super) struct QueueLoop {
    shared: Arc<Shared>,
    queue: Arc<str>,
    concurrency: watch::Receiver<usize>,
    runs: Runs,
    pending: PendingSettlements,
    exchanges: FuturesUnordered<BoxFuture<'static, Exchanged>>,
    /// Slots that are reserved for exchanges in progress.
    reserved: usize,
    /// Whether the last fetch returned fewer jobs than requested.
    is_dry: bool,
    /// Waits until the broker has work. Kept when runs end meanwhile, since each wait starts with a
    /// read.
    waiting: Option<BoxFuture<'static, Result<Wake, BrokerError>>>,
    failures: u32,
    /// When the next call to the broker is allowed, after a failure.
    pause: Option<Instant>,
    is_ending: bool,
    state: LoopState,
}

impl QueueLoop {
    pub(super) fn new(shared: Arc<Shared>, Served { queue, options, state }: Served) -> Self {
        let queue: Arc<str> = queue.into();
        Self {
            concurrency: options.concurrency.watch(),
            runs: Runs::new(shared.clone(), queue.clone(), options),
            pending: PendingSettlements::default(),
            exchanges: FuturesUnordered::new(),
            reserved: 0,
            is_dry: false,
            waiting: None,
            failures: 0,
            pause: None,
            is_ending: false,
            state,
            shared,
            queue,
        }
    }

    pub(super) async fn run(mut self, shutdown: CancellationToken, grace: Duration) -> ShutdownReport {
        while !shutdown.is_cancelled() {
            self.exchange().await;
            tokio::select! {
                biased;
                () = shutdown.cancelled() => {}
                () = self.event() => {}
            }
        }
        self.is_ending = true;
        self.waiting = None;
        let end_of_grace = Instant::now() + grace.min(LONGEST_GRACE);
        let mut is_stopped = false;
        while !(self.runs.is_empty() && self.pending.is_empty() && self.exchanges.is_empty()) {
            self.exchange().await;
            tokio::select! {
                () = tokio::time::sleep_until(end_of_grace), if !is_stopped => {
                    is_stopped = true;
                    self.shared.stop.cancel();
                    self.runs.stop_all();
                }
                () = self.event() => {}
            }
        }
        self.pending.report
    }

    /// Starts exchanges if there is something to send or to fetch.
    async fn exchange(&mut self) {
        // Lets runs that end at the same time be settled together.
        tokio::task::yield_now().await;
        self.runs.collect(&mut self.pending.waiting);
        let now = Instant::now();
        self.pending.retry_unanswered(now);
        if self.pause.is_some_and(|until| until > now) {
            return;
        }
        self.pause = None;
        while self.exchanges.len() < EXCHANGES {
            let unsent = self.pending.waiting.len();
            // Each exchange uses half of the slots, so that the other half runs meanwhile.
            let share = self.concurrency.borrow().div_ceil(EXCHANGES);
            let wanted = if self.is_ending || self.is_dry && unsent == 0 { 0 } else { self.free().min(share) };
            // The first exchange is sent for any amount; a further one only if it is large enough.
            let least = if self.exchanges.is_empty() { 1 } else { share.div_ceil(2) };
            if unsent.max(wanted) < least {
                return;
            }
            self.reserved += wanted;
            let batch = self.pending.batch(wanted);
            self.exchanges.push(Box::pin(exchange(self.shared.clone(), self.queue.clone(), batch)));
        }
    }

    fn free(&self) -> usize {
        self.concurrency.borrow().saturating_sub(self.runs.len() + self.reserved)
    }

    /// Waits for the next event: an answer of the broker, the end of a run, work in the queue, or
    /// the end of a pause. Cancel-safe.
    async fn event(&mut self) {
        let needs_work =
            self.is_dry && !self.is_ending && self.pause.is_none() && self.exchanges.is_empty() && self.free() > 0;
        if needs_work && self.waiting.is_none() {
            self.waiting = Some(self.wait());
        }
        self.state.set_waiting(needs_work);
        let timer = [self.pause, self.pending.again_at()].into_iter().flatten().min();
        tokio::select! {
            biased;
            Some(exchanged) = self.exchanges.next(), if !self.exchanges.is_empty() => self.exchanged(exchanged),
            () = self.runs.ended(&mut self.pending.waiting), if !self.runs.is_empty() => {}
            woken = poll(&mut self.waiting), if needs_work => self.woken(woken),
            () = until(timer), if timer.is_some() => {}
            Ok(()) = self.concurrency.changed() => {}
            else => {}
        }
    }

    fn exchanged(&mut self, exchanged: Exchanged) {
        let Exchanged { answers, leased, wanted, sent_at, failure } = exchanged;
        self.reserved -= wanted;
        self.state.add_ended(answers.len());
        self.pending.take_answers(&self.shared, &self.queue, answers, failure.is_some());
        if wanted > 0 {
            self.is_dry = leased.len() < wanted;
            if !self.is_dry {
                self.waiting = None;
            }
        }
        if !leased.is_empty() {
            let settled =
                if self.is_ending { self.runs.release(leased, sent_at) } else { self.runs.start(leased, sent_at) };
            self.pending.waiting.extend(settled);
        }
        match failure {
            None => self.failures = 0,
            Some(error) => self.failed(&error),
        }
    }

    fn failed(&mut self, error: &BrokerError) {
        self.failures = self.failures.saturating_add(1);
        self.pause = Some(Instant::now() + broker_pause(self.failures));
        // The queue may have had jobs, so it is fetched again.
        self.is_dry = false;
        self.shared.notify(&Event::BrokerFailed { queue: &self.queue, error });
    }

    /// Waits for work, and promotes due jobs.
    fn wait(&self) -> BoxFuture<'static, Result<Wake, BrokerError>> {
        let (broker, queue) = (self.shared.resources.broker.clone(), self.queue.clone());
        Box::pin(async move {
            let woken = broker.wait(&[queue.as_ref().to_owned()], LONGEST_WAIT).await?;
            if woken == Wake::Due {
                broker.promote(&queue, PROMOTE_CHUNK).await?;
            }
            Ok(woken)
        })
    }

    fn woken(&mut self, woken: Result<Wake, BrokerError>) {
        self.waiting = None;
        match woken {
            Ok(Wake::Timeout) => {}
            Ok(Wake::Ready | Wake::Due) => self.is_dry = false,
            Err(error) => self.failed(&error),
        }
    }
}

async fn poll<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
