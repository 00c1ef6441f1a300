//! The totals of one queue over the last minutes.

use std::collections::VecDeque;
use std::time::Duration;

use tidegate_queue::QueueCounts;
use tokio::time::Instant;

/// Window of a rate.
const WINDOW: Duration = Duration::from_secs(60);
/// How long totals are kept.
const KEPT: Duration = Duration::from_secs(300);
/// Interval of the readings. Rates are rarely queried, and an idle queue should cost almost
/// nothing.
pub(super) const PERIOD: Duration = Duration::from_secs(5);

/// The readings of a queue, newest last.
#[derive(Debug, Default)]
pub(super) struct Samples(VecDeque<(Instant, QueueCounts)>);

impl Samples {
    /// Adds a reading.
    pub(super) fn push(&mut self, now: Instant, counts: QueueCounts) {
        // The first reading that is too old is kept until the next one is too old as well.
        while self.0.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= KEPT) {
            self.0.pop_front();
        }
        self.0.push_back((now, counts));
    }

    /// Returns the last reading.
    pub(super) fn last(&self) -> Option<&(Instant, QueueCounts)> {
        self.0.back()
    }

    /// Returns the oldest reading that is kept, about five minutes before the last one.
    pub(super) fn first(&self) -> Option<&(Instant, QueueCounts)> {
        self.0.front()
    }

    /// Returns the reading a minute before the last one, or the oldest.
    pub(super) fn a_minute_before(&self) -> Option<&(Instant, QueueCounts)> {
        let last = self.last()?.0;
        let is_before = |(at, _): &&(Instant, QueueCounts)| last.duration_since(*at) >= WINDOW;
        self.0.iter().rev().find(is_before).or(self.0.front())
    }
}

/// Converts a number of jobs.
#[expect(clippy::cast_precision_loss, reason = "jobs of a minute")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}
