//! What makes jobs of schedules when they are due.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::entry::{COLLECTION, Entry};
use super::error::ScheduleError;
use super::fire::fire;
use crate::broker::Broker;
use crate::clock::{Monotonic, Timestamp};
use crate::error::BrokerError;

/// Longest time between two looks at the schedules, unless set otherwise.
const POLL: Duration = Duration::from_secs(5);
/// Shortest and longest that may be set. The default grace of a schedule leaves room for several looks.
const POLLS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
/// Schedules that one scheduler brings up to date side by side.
const AT_ONCE: usize = 32;
/// Schedulers that wake at the same time look one after the other, so that most find the work done: milliseconds.
const STAGGER_MS: u64 = 20;

/// What one tick did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Ticked {
    /// Schedules there are, the unreadable ones too.
    pub schedules: usize,
    /// Jobs that are new.
    pub enqueued: usize,
    /// Times whose job another scheduler had enqueued.
    pub known: usize,
    /// Times that made no job, since an earlier one of the schedule was not finished.
    pub skipped: usize,
    /// Schedules that could not be read or brought up to date, by name. The next tick tries again.
    pub failed: Vec<(String, ScheduleError)>,
    /// When a tick is next needed, but for what is changed meanwhile and what failed.
    pub next: Option<Timestamp>,
}

/// Makes jobs of schedules when they are due.
///
/// Any number may run at once, on any machines: each time of a schedule has one job id, and the schedule moves on by
/// compare-and-set, so that each time makes one job. A scheduler that dies leaves nothing behind that would need repair.
///
/// Time is the broker's: the clocks of the machines that run schedulers don't matter. See [`Schedules`](crate::Schedules)
/// for what is guaranteed and what is not.
///
/// ```
/// use std::sync::Arc;
/// use tidegate_queue::{Broker, MemoryBroker, Recurrence, Schedule, Scheduler, Schedules};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
/// let hourly = Schedule::new("tidy", Recurrence::cron("@hourly", "UTC"), "upkeep", "tidy");
/// let due = Schedules::new(broker.clone()).put(hourly).await?.next.expect("not paused");
///
/// let scheduler = Scheduler::new(broker.clone());
/// assert_eq!(scheduler.tick(due).await?.enqueued, 1);
/// assert_eq!(scheduler.tick(due).await?.enqueued, 0);
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Clone)]
pub struct Scheduler {
    broker: Arc<dyn Broker>,
    poll: Duration,
}

impl Scheduler {
    /// A scheduler that looks at the schedules when one is due, and every 5 s for what was changed.
    pub fn new(broker: Arc<dyn Broker>) -> Self {
        Self { broker, poll: POLL }
    }

    /// Sets how soon a change is seen: 100 ms to 30 s. Each look reads all schedules once.
    #[must_use]
    pub fn with_poll(mut self, poll: Duration) -> Self {
        self.poll = poll.clamp(POLLS.0, POLLS.1);
        self
    }

    /// Brings all schedules up to date, as of `now`. A schedule that fails holds back no other.
    ///
    /// For tests of schedules: a [`TestQueue`](crate::testing::TestQueue) runs none by itself; move its clock, tick with its
    /// broker and its time, and drain it.
    ///
    /// # Errors
    /// The schedules could not be read.
    pub async fn tick(&self, now: Timestamp) -> Result<Ticked, BrokerError> {
        let documents = self.broker.documents(COLLECTION).await?;
        let mut ticked = Ticked { schedules: documents.len(), ..Ticked::default() };
        let mut due = Vec::new();
        for (name, document) in &documents {
            match Entry::read(name, document) {
                Ok(entry) if entry.is_due(now) || entry.is_astray(now) => due.push(entry),
                Ok(entry) => ticked.needs(entry.next()),
                Err(error) => ticked.failed.push((name.clone(), error)),
            }
        }
        for batch in due.chunks(AT_ONCE) {
            let fired = join_all(batch.iter().map(|entry| fire(&*self.broker, entry, now))).await;
            for (entry, fired) in batch.iter().zip(fired) {
                match fired {
                    Ok(fired) => {
                        ticked.enqueued += fired.enqueued;
                        ticked.known += fired.known;
                        ticked.skipped += fired.skipped;
                        ticked.needs(fired.after.and_then(|entry| entry.next()));
                    }
                    Err(error) => ticked.failed.push((entry.schedule().name.clone(), error)),
                }
            }
        }
        Ok(ticked)
    }

    /// Ticks until `shutdown`, by the broker's clock: when a schedule is due, and for changes every few seconds. Failures
    /// are logged, and tried again.
    pub async fn run(&self, shutdown: CancellationToken) {
        let stagger = Duration::from_millis(rand::random_range(0..STAGGER_MS));
        // Stopping in the middle of a tick is as harmless as dying there.
        let work = async {
            loop {
                let pause = self.round().await.unwrap_or_else(|error| {
                    tracing::warn!(%error, "the schedules could not be read");
                    self.poll
                });
                tokio::time::sleep(pause + stagger).await;
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = work => {}
        }
    }

    /// Ticks once, and tells how long nothing is to be done.
    async fn round(&self) -> Result<Duration, BrokerError> {
        let now = self.broker.now().await?;
        let began = Monotonic::now();
        let ticked = self.tick(now).await?;
        for (schedule, error) in &ticked.failed {
            tracing::warn!(schedule, %error, "a schedule could not be brought up to date");
        }
        let pause = ticked.next.map_or(self.poll, |next| next.since(now).min(self.poll));
        // A tick with much to do takes time itself.
        Ok(pause.saturating_sub(began.elapsed()))
    }
}

impl Ticked {
    fn needs(&mut self, time: Option<Timestamp>) {
        self.next = self.next.into_iter().chain(time).min();
    }
}
