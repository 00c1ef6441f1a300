//! Makes jobs of schedules when they are due.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::entry::{COLLECTION, ScheduleEntry};
use super::error::ScheduleError;
use super::fire::fire;
use tidegate_queue_broker::{Broker, BrokerError, Timestamp};

/// Default for the longest time between two reads of the schedules.
const POLL: Duration = Duration::from_secs(5);
/// Shortest and longest time that may be set. The default grace of a schedule is several times as
/// long.
const POLLS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
/// Schedules that one scheduler updates concurrently.
const AT_ONCE: usize = 32;
/// Largest random delay, in milliseconds. Schedulers that wake at the same time then read one after
/// the other, so that most have nothing to do.
const STAGGER_MS: u64 = 20;

/// Result of one tick.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Ticked {
    /// Number of schedules, including unreadable ones.
    pub schedules: usize,
    /// Number of new jobs.
    pub enqueued: usize,
    /// Times whose job another scheduler had enqueued.
    pub known: usize,
    /// Times that made no job because an earlier one of the schedule was not finished.
    pub skipped: usize,
    /// Schedules that could not be read or updated, by name. The next tick tries again.
    pub failed: Vec<(String, ScheduleError)>,
    /// When the next tick is needed, apart from changes made meanwhile and failures.
    pub next: Option<Timestamp>,
}

/// Makes jobs of schedules when they are due.
///
/// Any number of schedulers may run concurrently, on any machines. Each time of a schedule has one
/// job id, and the schedule moves by compare-and-set, so each time makes one job. A scheduler that
/// crashes leaves nothing to repair.
///
/// Times are read from the broker's clock, so the clocks of the machines that run schedulers don't
/// matter. See [`Schedules`](crate::Schedules) for the guarantees and limits.
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
    /// A scheduler that reads the schedules when one is due, and every 5 s for changes.
    pub fn new(broker: Arc<dyn Broker>) -> Self {
        Self { broker, poll: POLL }
    }

    /// Sets how soon a change is noticed: 100 ms to 30 s. Each poll reads all schedules once.
    #[must_use]
    pub fn with_poll(mut self, poll: Duration) -> Self {
        self.poll = poll.clamp(POLLS.0, POLLS.1);
        self
    }

    /// Updates all schedules as of `now`. A schedule that fails does not stop the others.
    ///
    /// For tests of schedules: a [`TestQueue`](crate::testing::TestQueue) runs no scheduler. Move
    /// its clock, tick with its broker and its time, and drain it.
    ///
    /// # Errors
    /// The schedules could not be read.
    pub async fn tick(&self, now: Timestamp) -> Result<Ticked, BrokerError> {
        let documents = self.broker.documents(COLLECTION).await?;
        let mut ticked = Ticked { schedules: documents.len(), ..Ticked::default() };
        let mut due = Vec::new();
        for (name, document) in &documents {
            match ScheduleEntry::read(name, document) {
                Ok(entry) if entry.is_due(now) || entry.was_clock_ahead(now) => due.push(entry),
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

    /// Ticks until `shutdown` is cancelled: when a schedule is due by the broker's clock, and every
    /// few seconds for changes. Failures are logged, and retried.
    pub async fn run(&self, shutdown: CancellationToken) {
        let stagger = Duration::from_millis(rand::random_range(0..STAGGER_MS));
        // Stopping in the middle of a tick is as harmless as a crash there.
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

    /// Ticks once. Returns the time until the next tick.
    async fn round(&self) -> Result<Duration, BrokerError> {
        let now = self.broker.now().await?;
        let began = Instant::now();
        let ticked = self.tick(now).await?;
        for (schedule, error) in &ticked.failed {
            tracing::warn!(schedule, %error, "a schedule could not be brought up to date");
        }
        let pause = ticked.next.map_or(self.poll, |next| next.since(now).min(self.poll));
        // A tick with many due schedules takes time itself.
        Ok(pause.saturating_sub(began.elapsed()))
    }
}

impl Ticked {
    fn needs(&mut self, time: Option<Timestamp>) {
        self.next = self.next.into_iter().chain(time).min();
    }
}
