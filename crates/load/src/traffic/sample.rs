//! Single answers, and figures of many.

use std::collections::BTreeMap;

use serde::Serialize;

/// Kind of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// One schedule, or a page of them.
    Read,
    /// A schedule created or replaced.
    Write,
    /// The upload of a file of schedules.
    Import,
    /// A job enqueued by an operator.
    Job,
    /// An event stream opened.
    Stream,
    /// A notice on an open stream, from the request that enqueued its job.
    Event,
}

/// Group of the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// One of the usual users.
    Normal,
    /// A user that comes in a spike.
    Crowd,
}

/// One answer.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Scheduled time, in seconds since the start.
    pub at: f32,
    /// Milliseconds from then to the end of the answer.
    pub latency_ms: f32,
    /// Kind of the request.
    pub class: Class,
    /// Group of the user.
    pub group: Group,
    /// The status. 0: no answer.
    pub status: u16,
}

impl Sample {
    /// Whether it was accepted.
    pub fn is_accepted(&self) -> bool {
        (200..400).contains(&self.status)
    }

    /// Whether it was a refusal that the fleet may give: 429 or 503.
    pub fn is_refusal(&self) -> bool {
        [429, 503].contains(&self.status)
    }
}

/// Figures of many answers. Latencies are those of accepted requests, in milliseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// Answers.
    pub count: usize,
    /// Answers by status; 0 for no answer.
    pub statuses: BTreeMap<u16, usize>,
    /// Answers in one second.
    pub per_second: f64,
    /// Half of the accepted requests took at most this.
    pub p50_ms: f64,
    /// 95 % of them took at most this.
    pub p95_ms: f64,
    /// 99 % of them took at most this.
    pub p99_ms: f64,
    /// The slowest one.
    pub max_ms: f64,
}

impl Summary {
    /// Figures of these answers, which came within `seconds`.
    #[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
    pub fn of<'a>(samples: impl IntoIterator<Item = &'a Sample>, seconds: f64) -> Self {
        let mut summary = Self::default();
        let mut latencies = Vec::new();
        for sample in samples {
            summary.count += 1;
            *summary.statuses.entry(sample.status).or_default() += 1;
            if sample.is_accepted() {
                latencies.push(sample.latency_ms);
            }
        }
        latencies.sort_unstable_by(f32::total_cmp);
        let quantile = |per_cent: usize| {
            let rank = (latencies.len() * per_cent).div_ceil(100).saturating_sub(1);
            latencies.get(rank).copied().map_or(0.0, f64::from)
        };
        summary.per_second = summary.count as f64 / seconds;
        (summary.p50_ms, summary.p95_ms) = (quantile(50), quantile(95));
        (summary.p99_ms, summary.max_ms) = (quantile(99), quantile(100));
        summary
    }

    /// Answers other than 2xx and 3xx.
    pub fn not_accepted(&self) -> usize {
        self.statuses.iter().filter(|(status, _)| !(200..400).contains(*status)).map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::{Class, Group, Sample, Summary};

    #[test]
    fn latencies_are_those_of_accepted_requests_and_all_are_counted() {
        let sample = |latency_ms: u16, status| Sample {
            at: 0.0,
            latency_ms: f32::from(latency_ms),
            class: Class::Read,
            group: Group::Normal,
            status,
        };
        let mut samples: Vec<Sample> = (1..=100).map(|ms| sample(ms, 200)).collect();
        samples.extend([sample(9_000, 503), sample(1, 429), sample(30_000, 0)]);
        let summary = Summary::of(&samples, 10.0);
        assert_eq!((summary.count, summary.not_accepted(), summary.statuses[&0]), (103, 3, 1));
        let found = (summary.p50_ms, summary.p95_ms, summary.p99_ms, summary.max_ms);
        assert_eq!(found, (50.0, 95.0, 99.0, 100.0));
        assert!((summary.per_second - 10.3).abs() < 1e-9);
    }
}
