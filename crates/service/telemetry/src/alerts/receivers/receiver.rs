//! A receiver: notices wait in order, and each is tried until it is accepted or given up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_base::LogThrottle;
use tidegate_perfmon::{Numbered, OperationHandle, Outbox, OutboxCounts, Registry};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::channel::Channel;
use super::context::Context;
use super::failure::{Failure, Retry};
use crate::alerts::notice::Notice;
use crate::operations;

/// Maximum number of waiting notices.
const MOST_WAITING: usize = 256;
/// Minimum interval between log lines about failures: while a receiver is unreachable, many alerts
/// fail.
const LOG_PERIOD: Duration = Duration::from_secs(60);

/// A waiting notice.
#[derive(Debug, Clone)]
struct Waiting {
    /// Sequence number in this receiver.
    number: u64,
    /// Number of the notice in the database. `None` if this process sends it directly.
    shared: Option<u64>,
    notice: Arc<Notice>,
}

impl Numbered for Waiting {
    fn number(&self) -> u64 {
        self.number
    }
}

/// One receiver and its waiting notices.
pub(in crate::alerts) struct Receiver {
    channel: Channel,
    context: Context,
    outbox: Mutex<Outbox<Waiting>>,
    pushed: AtomicU64,
    /// Highest number of a shared notice that was delivered or given up.
    settled: AtomicU64,
    /// Highest number of a shared notice that was added to the outbox since the last
    /// `take_back_shared`.
    queued: AtomicU64,
    /// End of the time in which this process may send shared notices, in milliseconds since
    /// `started`.
    leased_until_ms: AtomicU64,
    progress: Arc<Notify>,
    wake: Notify,
    /// Start of the outbox's clock.
    started: Instant,
    failures: LogThrottle,
    sending: Arc<OperationHandle>,
}

impl Receiver {
    pub(super) fn new(channel: Channel, context: Context, registry: &Registry, progress: Arc<Notify>) -> Self {
        Self {
            sending: operations::receiver(registry, channel.way()),
            channel,
            context,
            outbox: Mutex::new(Outbox::new(MOST_WAITING)),
            pushed: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            queued: AtomicU64::new(0),
            leased_until_ms: AtomicU64::new(0),
            progress,
            wake: Notify::new(),
            started: Instant::now(),
            failures: LogThrottle::new(LOG_PERIOD),
        }
    }

    /// `webhook`, `slack`, `pagerduty` or `email`.
    pub(in crate::alerts) fn way(&self) -> &'static str {
        self.channel.way()
    }

    /// Adds a notice to the outbox. `shared` is its number in the database.
    pub(in crate::alerts) fn push(&self, notice: Arc<Notice>, shared: Option<u64>) {
        let number = self.pushed.fetch_add(1, Ordering::Relaxed);
        let mut outbox = self.outbox();
        outbox.push(Waiting { number, shared, notice });
        self.queued.fetch_max(shared.unwrap_or_default(), Ordering::AcqRel);
        drop(outbox);
        self.wake.notify_one();
    }

    /// Removes the waiting notices that have a number in the database, which another process sends
    /// from now on.
    pub(in crate::alerts) fn take_back_shared(&self) {
        let mut outbox = self.outbox();
        outbox.retain(|waiting| waiting.shared.is_none());
        self.queued.store(0, Ordering::Release);
        drop(outbox);
        self.wake.notify_one();
    }

    /// Allows shared notices to be sent until `end`.
    pub(in crate::alerts) fn lease_until(&self, end: Instant) {
        let end = end.saturating_duration_since(self.started).as_millis();
        self.leased_until_ms.store(u64::try_from(end).unwrap_or(u64::MAX), Ordering::Release);
        self.wake.notify_one();
    }

    /// Updates the position of the receiver from the database. Returns the number after which
    /// notices have to be added to the outbox: earlier ones are settled or already wait here.
    pub(in crate::alerts) fn catch_up(&self, settled: u64) -> u64 {
        let settled = self.settled.fetch_max(settled, Ordering::AcqRel).max(settled);
        settled.max(self.queued.load(Ordering::Acquire))
    }

    /// Returns the highest number of a notice of the database that was delivered or given up. 0
    /// before the first.
    pub(in crate::alerts) fn settled(&self) -> u64 {
        self.settled.load(Ordering::Acquire)
    }

    pub(in crate::alerts) fn waiting(&self) -> usize {
        self.outbox().waiting()
    }

    pub(in crate::alerts) fn counts(&self) -> OutboxCounts {
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
                (Some(waiting), _) => match waiting.shared {
                    Some(shared) if shared <= self.settled() => {
                        self.outbox().retain(|other| other.number != waiting.number);
                    }
                    // Another process may already send. The task removes these notices from the
                    // outbox, or renews the lease.
                    Some(_) if !self.is_leased() => self.wake.notified().await,
                    _ => self.try_once(&waiting).await,
                },
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

    fn is_leased(&self) -> bool {
        let now = self.started.elapsed().as_millis();
        now < u128::from(self.leased_until_ms.load(Ordering::Acquire))
    }

    async fn try_once(&self, waiting: &Waiting) {
        let sent = self.sending.measure_result(Box::pin(self.channel.send(&waiting.notice, &self.context))).await;
        let mut outbox = self.outbox();
        let given_up = outbox.counts().given_up;
        match &sent {
            Ok(()) => outbox.delivered(waiting.number),
            Err(failure) => match failure.next() {
                Retry::GiveUp => outbox.give_up(waiting.number),
                Retry::TryAgain { after } => {
                    let now = self.started.elapsed();
                    outbox.failed_until(waiting.number, now, now.saturating_add(after));
                }
            },
        }
        let is_given_up = outbox.counts().given_up > given_up;
        drop(outbox);
        if let Some(shared) = waiting.shared.filter(|_| sent.is_ok() || is_given_up) {
            self.settled.fetch_max(shared, Ordering::AcqRel);
            self.progress.notify_one();
        }
        if let Err(failure) = sent {
            self.log(waiting, &failure, is_given_up);
        }
    }

    fn log(&self, Waiting { notice, .. }: &Waiting, failure: &Failure, is_given_up: bool) {
        let (way, event, rule) = (self.way(), &notice.event, &notice.step.alert.rule);
        if is_given_up {
            tracing::error!(way, event, rule, reason = %failure, "an alert was given up: its receiver did not accept it");
        } else if let Some(unlogged) = self.failures.count() {
            tracing::warn!(way, event, rule, reason = %failure, unlogged, "an alert did not reach its receiver");
        }
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox<Waiting>> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver").field("way", &self.way()).finish_non_exhaustive()
    }
}
