//! Rates of the queues. They are computed from totals of the job store, which are read every few
//! seconds, and so cover all processes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tidegate_model::alert_rules::Measurement;
use tidegate_model::queues::QUEUES;
use tidegate_perfmon::Reading;
use tidegate_queue::{Broker, QueueCounts};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::limits;
use super::samples::{PERIOD, Samples, float};

/// Recent events per second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Rates {
    /// Window in seconds: about a minute, less at first.
    pub window_seconds: f64,
    /// Enqueued jobs, minus cancelled ones.
    pub enqueued_per_second: f64,
    /// Completed jobs.
    pub completed_per_second: f64,
    /// Jobs that failed permanently.
    pub failed_per_second: f64,
    /// Failed runs that are retried.
    pub retried_per_second: f64,
}

/// The totals of the last five minutes.
#[derive(Debug, Default)]
pub(crate) struct RateWatch {
    samples: Mutex<BTreeMap<&'static str, Samples>>,
}

impl RateWatch {
    /// Reads totals until `shutdown`. A failed reading is skipped.
    pub(crate) async fn run(self: Arc<Self>, broker: Arc<dyn Broker>, shutdown: CancellationToken) {
        let mut beat = tokio::time::interval(PERIOD);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let reading = async {
            loop {
                beat.tick().await;
                if let Ok(Ok(overviews)) = tokio::time::timeout(PERIOD, broker.overviews(QUEUES)).await {
                    for (queue, overview) in QUEUES.iter().zip(overviews) {
                        self.file(queue, overview.counts);
                    }
                }
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = reading => {}
        }
    }

    pub(crate) fn file(&self, queue: &'static str, counts: QueueCounts) {
        let now = Instant::now();
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.entry(queue).or_default().push(now, counts);
    }

    /// Returns the measurements for alert rules.
    pub(crate) fn measurements(&self) -> Vec<Measurement> {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.iter().flat_map(|(queue, samples)| limits::measurements(queue, samples)).collect()
    }

    /// Returns the rates between the reading a minute ago and `counts`, which were read now. `None`
    /// in the first second.
    pub(crate) fn rates(&self, queue: &str, counts: &QueueCounts) -> Option<Rates> {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, before) = samples.get(queue)?.a_minute_before()?;
        let seconds = at.elapsed().as_secs_f64();
        (seconds >= 1.0).then(|| Rates::between(before, counts, seconds))
    }

    /// Whether jobs were recovered within the last minute, after a crash of Redis had torn its
    /// append-only file. `None` before the first reading of the totals.
    pub(crate) fn recovered(&self) -> Option<Reading> {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let read_at = samples.values().filter_map(Samples::last).map(|(at, _)| *at).max()?;
        let in_queue = |(queue, samples): (&&str, &Samples)| {
            let ((_, before), (_, after)) = (samples.a_minute_before()?, samples.last()?);
            let jobs = after.recovered_total.saturating_sub(before.recovered_total);
            (jobs > 0).then(|| format!("{queue}: {jobs}"))
        };
        let recovered: Vec<String> = samples.iter().filter_map(in_queue).collect();
        let sentence = "jobs were recovered after a crash of Redis had torn its append-only file";
        let reading = Reading::condition("jobs_recovered", !recovered.is_empty(), sentence);
        let reading = reading.taken_ago(read_at.elapsed());
        Some(if recovered.is_empty() { reading } else { reading.detail(recovered.join(", ")) })
    }
}

impl Rates {
    fn between(before: &QueueCounts, after: &QueueCounts, seconds: f64) -> Self {
        let per_second = |count: fn(&QueueCounts) -> u64| float(count(after).saturating_sub(count(before))) / seconds;
        // Arrivals are departures plus the growth of the queue.
        let arrivals = |counts: &QueueCounts| {
            counts.ready
                + counts.delayed
                + counts.waiting
                + counts.leased
                + counts.completed_total
                + counts.failed_total
        };
        Self {
            window_seconds: seconds,
            enqueued_per_second: float(arrivals(after).saturating_sub(arrivals(before))) / seconds,
            completed_per_second: per_second(|counts| counts.completed_total),
            failed_per_second: per_second(|counts| counts.failed_total),
            retried_per_second: per_second(|counts| counts.retried_total),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidegate_queue::{EnqueueOptions, MemoryBroker, NewJob};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rates_look_back_on_a_minute() {
        let watch = RateWatch::default();
        let broker = MemoryBroker::new();
        let enqueue = async |jobs: usize| {
            let job = || NewJob::new("k", &serde_json::json!(1), EnqueueOptions::new(), 10).unwrap();
            broker.enqueue("import", (0..jobs).map(|_| job()).collect()).await.unwrap();
            broker.counts("import").await.unwrap()
        };
        let empty = enqueue(0).await;
        assert_eq!(watch.rates("import", &empty), None);
        watch.file("import", empty.clone());
        assert_eq!(watch.rates("import", &empty), None, "no time has passed");

        let counts = enqueue(30).await;
        tokio::time::advance(Duration::from_secs(10)).await;
        let rates = watch.rates("import", &counts).unwrap();
        assert_eq!((rates.window_seconds, rates.enqueued_per_second, rates.completed_per_second), (10.0, 3.0, 0.0));
        for _ in 0..20 {
            watch.file("import", counts.clone());
            tokio::time::advance(PERIOD).await;
        }
        let rates = watch.rates("import", &counts).unwrap();
        assert_eq!(rates.enqueued_per_second, 0.0, "what is more than a minute ago is over: {rates:?}");
        assert!((60.0..=70.0).contains(&rates.window_seconds), "{rates:?}");
        // After the store was emptied, the totals restart.
        assert_eq!(watch.rates("import", &empty).unwrap().enqueued_per_second, 0.0);
    }
}
