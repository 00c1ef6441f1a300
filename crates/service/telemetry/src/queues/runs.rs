//! Observes the worker of this process.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use serde::Serialize;
use tidegate_model::queues;
use tidegate_perfmon::{MeterWindow, Registry, mask};
use tidegate_queue::{Ending, Event, LogEvents, Observer};

use super::stopwatch::{PERIOD, Stopwatch};

const ENDINGS: [Ending; 7] =
    [Ending::Done, Ending::Retried, Ending::Snoozed, Ending::Buried, Ending::Discarded, Ending::Released, Ending::Lost];

/// Counts and measures the runs of this process, and logs why jobs failed.
#[derive(Debug)]
pub struct JobWatch {
    registry: Registry,
    queues: RwLock<BTreeMap<String, Arc<QueueRuns>>>,
    full: Mutex<FullStore>,
}

/// Commands that the full job store refused.
#[derive(Debug, Default)]
struct FullStore {
    count: u64,
    /// Time of the latest one, on the registry's clock.
    latest: Option<Duration>,
    /// Whether its servers last reported that they are full.
    is_confirmed: bool,
}

/// How long the job store counts as full after it refused a command.
const FULL_FOR: Duration = Duration::from_secs(30);

/// The runs of one queue in this process.
#[derive(Debug)]
pub(crate) struct QueueRuns {
    pub(super) wait: Stopwatch,
    run: Stopwatch,
    pub(super) leases_lost: AtomicU64,
    pub(super) stale_acks: AtomicU64,
    pub(super) acks_abandoned: AtomicU64,
    pub(super) reclaimed: AtomicU64,
    pub(super) unknown_kinds: AtomicU64,
    pub(super) broker_failures: AtomicU64,
    kinds: RwLock<BTreeMap<String, Arc<KindRuns>>>,
}

/// The runs of one kind in this process.
#[derive(Debug)]
pub(super) struct KindRuns {
    pub(super) run: Stopwatch,
    endings: [AtomicU64; ENDINGS.len()],
}

impl KindRuns {
    /// Returns the number of runs by ending, without zeros.
    pub(super) fn endings(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counted = ENDINGS.iter().zip(&self.endings);
        counted.map(|(ending, count)| (ending.as_str(), count.load(Ordering::Relaxed))).filter(|(_, count)| *count > 0)
    }

    fn count(&self, outcome: Ending) {
        if let Some((_, count)) = ENDINGS.iter().zip(&self.endings).find(|(ending, _)| **ending == outcome) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Waiting and running times of jobs, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Latency {
    /// From ready to reserved by a worker.
    pub queue_wait_ms: Percentiles,
    /// Time in the handler.
    pub run_time_ms: Percentiles,
    /// Window in seconds, at least.
    pub window_seconds: u64,
}

/// Two percentiles of a distribution, at most 1.6 % too high.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Percentiles {
    /// The median. `None` without samples.
    pub p50: Option<f64>,
    /// The 99th percentile. `None` without samples.
    pub p99: Option<f64>,
    /// Number of samples.
    pub samples: u64,
}

impl Percentiles {
    fn of(times: &MeterWindow) -> Self {
        let ms = |q| times.quantile(q).map(|time: Duration| time.as_secs_f64() * 1_000.0);
        Self { p50: ms(0.50), p99: ms(0.99), samples: times.count() }
    }
}

/// Totals of a queue's runs in this process since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct RunTotals {
    /// Runs that ended.
    pub(crate) runs: u64,
    /// Runs that are retried.
    pub(crate) retries: u64,
    /// Runs that failed, temporarily or permanently.
    pub(crate) failures: u64,
    /// Jobs that were reserved.
    pub(crate) waits: u64,
    /// Total time for which they had been ready, in seconds.
    pub(crate) wait_seconds: f64,
    /// Total duration of the runs, in seconds.
    pub(crate) run_seconds: f64,
}

impl JobWatch {
    /// Starts without runs. `registry` keeps the windows.
    pub(crate) fn new(registry: Registry) -> Self {
        Self { registry, queues: RwLock::default(), full: Mutex::default() }
    }

    /// Counts that the job store refused a command because it was full.
    pub fn found_full(&self) {
        let now = self.registry.now();
        let mut full = self.full();
        full.count += 1;
        full.latest = Some(now);
    }

    /// Returns how often the job store refused a command because it was full.
    pub(super) fn found_full_times(&self) -> u64 {
        self.full().count
    }

    /// Records whether the servers of the job store report that they are full.
    pub(crate) fn confirm_full(&self, is_full: bool) {
        self.full().is_confirmed = is_full;
    }

    /// Whether the job store refused a command within the last 30 s because it was full, or is
    /// still known to be full.
    pub(crate) fn is_full(&self) -> bool {
        let FullStore { latest, is_confirmed, .. } = *self.full();
        is_confirmed || latest.is_some_and(|latest| self.registry.now().saturating_sub(latest) < FULL_FOR)
    }

    fn full(&self) -> MutexGuard<'_, FullStore> {
        self.full.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the totals of each queue.
    pub(crate) fn totals(&self) -> Vec<(String, RunTotals)> {
        self.queues().into_iter().map(|(name, runs)| (name, runs.totals())).collect()
    }

    /// Returns recent times of the queue's jobs in this process. `None` if there were no runs.
    pub fn latency(&self, queue: &str) -> Option<Latency> {
        let runs = self.queues.read().unwrap_or_else(PoisonError::into_inner).get(queue).cloned()?;
        let (wait, run) = (Percentiles::of(&runs.wait.recent()), Percentiles::of(&runs.run.recent()));
        (run.samples > 0).then_some(Latency { queue_wait_ms: wait, run_time_ms: run, window_seconds: PERIOD.as_secs() })
    }

    /// Returns all queues that this process has served.
    pub(crate) fn queues(&self) -> Vec<(String, Arc<QueueRuns>)> {
        let queues = self.queues.read().unwrap_or_else(PoisonError::into_inner);
        queues.iter().map(|(name, runs)| (name.clone(), Arc::clone(runs))).collect()
    }

    fn queue(&self, queue: &str) -> Arc<QueueRuns> {
        entry(&self.queues, queue, || QueueRuns::new(&self.registry, queue))
    }
}

impl QueueRuns {
    fn new(registry: &Registry, queue: &str) -> Self {
        Self {
            wait: Stopwatch::new(registry, format!("jobs.{queue}.wait")),
            run: Stopwatch::new(registry, format!("jobs.{queue}.run")),
            leases_lost: AtomicU64::default(),
            stale_acks: AtomicU64::default(),
            acks_abandoned: AtomicU64::default(),
            reclaimed: AtomicU64::default(),
            unknown_kinds: AtomicU64::default(),
            broker_failures: AtomicU64::default(),
            kinds: RwLock::default(),
        }
    }

    fn totals(&self) -> RunTotals {
        let (wait, run) = (self.wait.total(), self.run.total());
        let mut totals = RunTotals {
            runs: run.count,
            waits: wait.count,
            wait_seconds: wait.sum_seconds,
            run_seconds: run.sum_seconds,
            ..RunTotals::default()
        };
        for (_, kind) in self.kinds() {
            let ended =
                |ending: Ending| kind.endings().find(|(name, _)| *name == ending.as_str()).map_or(0, |(_, n)| n);
            totals.retries += ended(Ending::Retried);
            totals.failures += ended(Ending::Retried) + ended(Ending::Buried);
        }
        totals
    }

    /// Returns all kinds that were run.
    pub(super) fn kinds(&self) -> Vec<(String, Arc<KindRuns>)> {
        let kinds = self.kinds.read().unwrap_or_else(PoisonError::into_inner);
        kinds.iter().map(|(name, runs)| (name.clone(), Arc::clone(runs))).collect()
    }

    fn finished(&self, registry: &Registry, queue: &str, kind: &str, outcome: Ending, run_time: Duration) {
        self.run.record(run_time);
        let name = || format!("jobs.{queue}.{kind}.run");
        let new = || KindRuns { run: Stopwatch::new(registry, name()), endings: Default::default() };
        let kind = entry(&self.kinds, kind, new);
        kind.run.record(run_time);
        kind.count(outcome);
    }
}

/// Returns the entry with that name, and creates it if it is missing.
fn entry<T>(map: &RwLock<BTreeMap<String, Arc<T>>>, name: &str, new: impl FnOnce() -> T) -> Arc<T> {
    if let Some(found) = map.read().unwrap_or_else(PoisonError::into_inner).get(name) {
        return Arc::clone(found);
    }
    let mut map = map.write().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(map.entry(name.to_owned()).or_insert_with(|| Arc::new(new())))
}

/// A job of an unknown kind is put off at once. That is not a run, and its name, which may be
/// anything, must not become a label.
fn is_run(kind: &str) -> bool {
    queues::is_known(kind)
}

fn add(count: &AtomicU64, by: usize) {
    count.fetch_add(u64::try_from(by).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// Logs like the library, with secrets masked: a handler's error may quote the payload.
fn log(event: &Event<'_>) {
    match *event {
        Event::Buried { queue, kind, id, error } => {
            LogEvents.on(&Event::Buried { queue, kind, id, error: &mask(error) });
        }
        Event::Retried { queue, kind, id, delay, error } => {
            LogEvents.on(&Event::Retried { queue, kind, id, delay, error: &mask(error) });
        }
        _ => LogEvents.on(event),
    }
}

impl Observer for JobWatch {
    fn on(&self, event: &Event<'_>) {
        log(event);
        match event {
            Event::Started { queue, kind, queue_wait, .. } if is_run(kind) => {
                self.queue(queue).wait.record(*queue_wait);
            }
            Event::Finished { queue, kind, outcome, run_time, .. } if is_run(kind) => {
                self.queue(queue).finished(&self.registry, queue, kind, *outcome, *run_time);
            }
            Event::Unknown { queue, .. } => add(&self.queue(queue).unknown_kinds, 1),
            Event::LeaseLost { queue, .. } => add(&self.queue(queue).leases_lost, 1),
            Event::StaleAck { queue, .. } => add(&self.queue(queue).stale_acks, 1),
            Event::AckAbandoned { queue, .. } => add(&self.queue(queue).acks_abandoned, 1),
            Event::Reclaimed { queue, ready, dead } => add(&self.queue(queue).reclaimed, ready + dead),
            Event::BrokerFailed { queue, error } => {
                add(&self.queue(queue).broker_failures, 1);
                if error.is_full() {
                    self.found_full();
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_perfmon::ManualClock;
    use tidegate_queue::JobId;
    use tidegate_testkit::Page;

    use super::*;

    fn finish(watch: &JobWatch, kind: &str, outcome: Ending, ms: u64) {
        let (id, time) = (JobId::generate(), Duration::from_millis(ms));
        watch.on(&Event::Started { queue: "q", kind, id: &id, queue_wait: time });
        watch.on(&Event::Finished { queue: "q", kind, id: &id, outcome, queue_wait: time, run_time: time });
    }

    #[test]
    fn a_job_store_that_was_found_full_counts_as_full_until_it_has_room() {
        let clock = ManualClock::new();
        let watch = JobWatch::new(Registry::builder().clock(clock.clone()).build());
        assert!(!watch.is_full());
        watch.found_full();
        watch.confirm_full(true);
        clock.advance(FULL_FOR * 10);
        assert!(watch.is_full(), "nothing was enqueued meanwhile");
        watch.confirm_full(false);
        assert!(!watch.is_full());
        watch.found_full();
        watch.confirm_full(false);
        assert!(watch.is_full(), "it may have had room for one job");
        clock.advance(FULL_FOR);
        assert!(!watch.is_full());
    }

    #[tokio::test]
    async fn runs_are_counted_by_kind_and_ending_and_timed() {
        let registry = Registry::builder().build();
        let watch = JobWatch::new(registry.clone());
        assert_eq!(watch.latency("q"), None);
        let kind = "schedule.import";
        for outcome in [Ending::Done, Ending::Done, Ending::Buried] {
            finish(&watch, kind, outcome, 10);
        }
        for n in 0..100 {
            finish(&watch, &format!("stranger-{n}"), Ending::Snoozed, 1);
        }
        registry.tick(registry.now());
        let latency = watch.latency("q").unwrap();
        assert_eq!((latency.run_time_ms.samples, latency.queue_wait_ms.samples), (3, 3));
        assert!((10.0..10.2).contains(&latency.run_time_ms.p99.unwrap()), "{latency:?}");
        let (queues, told) = (watch.queues(), |runs: &KindRuns| runs.endings().collect::<Vec<_>>());
        let kinds: Vec<_> = queues[0].1.kinds().iter().map(|(kind, runs)| (kind.clone(), told(runs))).collect();
        assert_eq!(kinds, [(kind.to_owned(), vec![("done", 2), ("buried", 1)])]);
    }

    #[test]
    fn why_a_job_failed_is_logged_without_secrets() {
        let page = Page::default();
        let to = page.clone();
        let log = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_writer(move || to.clone());
        tracing::subscriber::with_default(log.finish(), || {
            let (watch, id) = (JobWatch::new(Registry::builder().build()), JobId::generate());
            let (queue, kind, error) = ("q", "schedule.import", "ada@example.org: login with password=hunter2 refused");
            watch.on(&Event::Retried { queue, kind, id: &id, delay: Duration::ZERO, error });
            watch.on(&Event::Buried { queue, kind, id: &id, error });
        });
        let text = page.text();
        assert_eq!((text.matches("refused").count(), text.matches("the job is dead").count()), (2, 1), "{text}");
        assert!(!text.contains("hunter2") && !text.contains("ada@"), "{text}");
    }
}
