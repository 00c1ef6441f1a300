//! Which of several series is the slowest.

use std::time::Duration;

use crate::health::reading::Reading;
use crate::health::wording::duration;
use crate::histogram::snapshot::Snapshot;
use crate::readings::chance::is_no_chance;
use crate::series::interval::Interval;
use crate::time::window::Window;

/// More than this share may not take longer than the limit.
const SLOW_SHARE: f64 = 0.05;

/// The series with the highest 95th percentile among those with enough samples, or else the one
/// with most samples. In addition, the slowest of those that exceed the limit only in a short
/// window.
pub(crate) struct Slowest {
    reading: &'static str,
    limit: Duration,
    min_samples: u64,
    long: Candidate,
    sudden: Option<(Candidate, Window)>,
}

#[derive(Default)]
struct Candidate {
    samples: u64,
    p95: Duration,
    name: Option<String>,
}

impl Slowest {
    pub(crate) fn new(reading: &'static str, limit: Duration, min_samples: u64) -> Self {
        Self { reading, limit, min_samples, long: Candidate::default(), sudden: None }
    }

    pub(crate) fn consider(&mut self, long: &Interval, short: &[(Window, Interval)], name: impl Fn() -> String) {
        let candidate = |latency: &Snapshot, p95| Candidate { samples: latency.count(), p95, name: Some(name()) };
        let rank = |samples: u64, p95: Duration| {
            if samples < self.min_samples { (samples, None) } else { (u64::MAX, Some(p95)) }
        };
        let p95 = p95(&long.latency);
        if rank(long.latency.count(), p95) > rank(self.long.samples, self.long.p95) {
            self.long = candidate(&long.latency, p95);
        }
        for (window, Interval { latency, .. }) in short {
            let count = latency.count();
            if count < self.min_samples || !is_no_chance(latency.over(self.limit), count, SLOW_SHARE) {
                continue;
            }
            let p95 = self::p95(latency);
            if self.sudden.as_ref().is_none_or(|(worst, _)| p95 > worst.p95) {
                self.sudden = Some((candidate(latency, p95), *window));
            }
        }
    }

    pub(crate) fn reading(self) -> Reading {
        let (Candidate { samples, p95, name }, when) = match self.sudden {
            Some((sudden, window)) if sudden.p95 > self.long.p95 || self.long.samples < self.min_samples => {
                (sudden, format!(" within {}", duration(window.longest())))
            }
            _ => (self.long, String::new()),
        };
        let reading = Reading::new(self.reading, p95.as_secs_f64(), self.limit.as_secs_f64());
        let reading = reading.samples(samples).unit("s");
        match name {
            Some(name) => reading.subject(format!("P95 of {name}{when}")),
            None => reading,
        }
    }
}

fn p95(latency: &Snapshot) -> Duration {
    latency.quantile(0.95).unwrap_or_default()
}
