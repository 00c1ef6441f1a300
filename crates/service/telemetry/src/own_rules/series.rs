//! The series that a rule reads, and their increases.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::Sample;

/// Maximum number of series that one rule reads.
pub(super) const MOST: usize = 200;

/// The series of a rule, by subject.
#[derive(Debug, Default)]
pub(super) struct AllSeries {
    series: BTreeMap<String, Series>,
    read_at: Option<Instant>,
}

#[derive(Debug)]
struct Series {
    value: f64,
    growth: Growth,
    read_at: Instant,
}

/// The growth of a counter since its first reading.
#[derive(Debug)]
struct Growth {
    total: f64,
    /// The total at earlier readings, starting with the last one that is older than the window.
    before: VecDeque<(Instant, f64)>,
}

impl AllSeries {
    /// Processes a reading. A series that is missing is forgotten after the window of an increase.
    /// Returns whether all series had room.
    pub(super) fn take<'a>(
        &mut self,
        samples: impl Iterator<Item = &'a Sample<'a>>,
        within: Option<Duration>,
        now: Instant,
    ) -> bool {
        let (mut seen, within) = (0, within.unwrap_or_default());
        for sample in samples {
            seen += 1;
            if seen <= MOST {
                let series = self.series.entry(subject(sample)).or_insert_with(|| Series::new(sample.value, now));
                series.take(sample.value, within, now);
            }
        }
        self.series.retain(|_, series| now.saturating_duration_since(series.read_at) <= within);
        self.read_at = Some(now);
        seen <= MOST
    }

    pub(super) fn is_empty(&self) -> bool {
        self.current().next().is_none()
    }

    /// Returns the last value of each series.
    pub(super) fn values(&self) -> impl Iterator<Item = (&str, f64)> {
        self.current().map(|(subject, series)| (subject, series.value))
    }

    /// Returns the growth of each series within the window.
    pub(super) fn increases(&self) -> impl Iterator<Item = (&str, f64)> {
        self.current().map(|(subject, series)| (subject, series.growth.within_window()))
    }

    fn current(&self) -> impl Iterator<Item = (&str, &Series)> {
        let current = self.series.iter().filter(|(_, series)| Some(series.read_at) == self.read_at);
        current.map(|(subject, series)| (subject.as_str(), series))
    }
}

impl Series {
    fn new(value: f64, now: Instant) -> Self {
        let growth = Growth { total: 0.0, before: VecDeque::new() };
        Self { value, growth, read_at: now }
    }

    fn take(&mut self, value: f64, within: Duration, now: Instant) {
        // A counter that became smaller was reset.
        let added = if value < self.value { value } else { value - self.value };
        (self.value, self.read_at) = (value, now);
        self.growth.add(added, within, now);
    }
}

impl Growth {
    fn add(&mut self, added: f64, within: Duration, now: Instant) {
        self.total += added;
        self.before.push_back((now, self.total));
        while self.before.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= within) {
            self.before.pop_front();
        }
    }

    fn within_window(&self) -> f64 {
        self.before.front().map_or(0.0, |(_, before)| self.total - before)
    }
}

/// Formats all labels, such as `queue=import, state=dead`.
fn subject(sample: &Sample<'_>) -> String {
    let labels = sample.labels.iter().map(|(name, value)| format!("{name}={value}"));
    labels.collect::<Vec<_>>().join(", ")
}
