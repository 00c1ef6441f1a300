//! The history of one key and its assessment: a pure function of (history, now, count).

use crate::Timestamp;

/// Assessment of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// The history is too short.
    Learning,
    /// The rate matches the history.
    Normal,
    /// The rate is far above the history.
    Flagged {
        /// Time at which the key was flagged.
        since: Timestamp,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// Length of an interval, in microseconds.
    pub(super) interval: u64,
    pub(super) minimum: u64,
}

impl Default for Rule {
    fn default() -> Self {
        Self { interval: 10_000_000, minimum: 50 }
    }
}

/// Number of intervals that are learned before a key can be flagged.
const LEARNED: u32 = 30;
/// Weight of an interval: about the last 18 intervals count.
const WEIGHT: f64 = 0.055;
const TIMES_MEAN: f64 = 5.0;
const DEVIATIONS: f64 = 8.0;
/// Consecutive calm intervals after which a flag is removed.
const CALM: u32 = 6;
/// Intervals after which a flagged rate counts as normal.
const ACCEPTED: u32 = 360;
/// Intervals without requests after which a key may be replaced by any other (`IDLE`), and after
/// which its history is discarded (`STRANGE`).
const IDLE: u64 = 360;
const STRANGE: u64 = 8_640;

#[derive(Clone, Copy, Debug)]
pub(super) struct History {
    /// Number of the interval in which it was last counted.
    interval: u64,
    count: u64,
    learned: u32,
    mean: f64,
    variance: f64,
    flag: Option<Raised>,
}

#[derive(Clone, Copy, Debug)]
struct Raised {
    since: Timestamp,
    count: u64,
    /// Intervals since the flag was raised. `calm` counts the calm ones at the end.
    lasted: u32,
    calm: u32,
}

impl History {
    pub(super) fn new(rule: &Rule, now: Timestamp) -> Self {
        let interval = now.as_micros() / rule.interval;
        Self { interval, count: 0, learned: 0, mean: 0.0, variance: 0.0, flag: None }
    }

    pub(super) fn count(&mut self, rule: &Rule, now: Timestamp, count: u64) -> Habit {
        *self = self.at(rule, now);
        self.count = self.count.saturating_add(count);
        if self.flag.is_none() && self.learned >= LEARNED && self.count >= self.threshold(rule) {
            self.flag = Some(Raised { since: now, count: self.count, lasted: 0, calm: 0 });
        }
        self.habit()
    }

    /// The history as of `now`, including the intervals that have ended since.
    ///
    /// If the clock was set back by at most one interval, the current interval continues. If it was
    /// set back further, a new interval begins.
    pub(super) fn at(&self, rule: &Rule, now: Timestamp) -> Self {
        let (mut history, interval) = (*self, now.as_micros() / rule.interval);
        let ended = interval.saturating_sub(history.interval);
        if ended > STRANGE {
            return Self::new(rule, now);
        }
        if ended > 0 {
            history.end_interval(rule);
            history.rest(u32::try_from(ended - 1).unwrap_or(u32::MAX));
            history.interval = interval;
        } else if interval + 1 < history.interval {
            (history.count, history.interval) = (0, interval);
        }
        history
    }

    pub(super) fn habit(&self) -> Habit {
        match self.flag {
            Some(Raised { since, .. }) => Habit::Flagged { since },
            None if self.learned < LEARNED => Habit::Learning,
            None => Habit::Normal,
        }
    }

    pub(super) fn mean(&self) -> f64 {
        self.mean
    }

    /// Count of the interval at the time when the flag was raised.
    pub(super) fn flagged_by(&self) -> u64 {
        self.flag.map_or(0, |raised| raised.count)
    }

    /// Whether the key was idle for so long that any other key may replace it.
    pub(super) fn is_idle(&self, rule: &Rule, now: Timestamp) -> bool {
        (now.as_micros() / rule.interval).saturating_sub(self.interval) > IDLE
    }

    /// The value that eviction compares: a thousand times the mean, plus the current count.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a mean is not negative, and the cast saturates"
    )]
    pub(super) fn weight(&self) -> u64 {
        ((self.mean * 1_000.0) as u64).saturating_add(self.count)
    }

    fn end_interval(&mut self, rule: &Rule) {
        let count = std::mem::take(&mut self.count);
        let is_calm = count.saturating_mul(2) < self.threshold(rule);
        match &mut self.flag {
            // Idle intervals do not count: a client that is idle at night keeps its profile.
            None if count > 0 => self.learn(count),
            None => {}
            Some(raised) => {
                raised.lasted += 1;
                raised.calm = if is_calm { raised.calm + 1 } else { 0 };
                if raised.calm >= CALM {
                    self.flag = None;
                } else if raised.lasted >= ACCEPTED {
                    *self = Self { interval: self.interval, ..Self::new(rule, Timestamp::MIN) };
                }
            }
        }
    }

    /// Applies `intervals` intervals without requests.
    fn rest(&mut self, intervals: u32) {
        if let Some(raised) = &mut self.flag {
            raised.calm = raised.calm.saturating_add(intervals);
            if raised.calm >= CALM {
                self.flag = None;
            }
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "a count above 2^53 may be off by one")]
    fn learn(&mut self, count: u64) {
        self.learned = self.learned.saturating_add(1);
        // At first all intervals have the same weight.
        let weight = WEIGHT.max(1.0 / f64::from(self.learned));
        let off = count as f64 - self.mean;
        self.mean += weight * off;
        self.variance = (1.0 - weight) * (self.variance + weight * off * off);
    }

    /// The count at which an interval raises a flag.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and the cast saturates")]
    fn threshold(&self, rule: &Rule) -> u64 {
        // The variance of independent requests equals their mean. A sample may have less.
        let deviation = self.variance.max(self.mean).sqrt();
        let least = (TIMES_MEAN * self.mean).max(self.mean + DEVIATIONS * deviation);
        rule.minimum.max(least.ceil() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_is_saturated_can_be_weighed() {
        let rule = Rule::default();
        let mut history = History::new(&rule, Timestamp::MIN);
        for interval in 0..3 {
            history.count(&rule, Timestamp::from_micros(interval * rule.interval), u64::MAX);
        }
        history.count(&rule, Timestamp::from_micros(2 * rule.interval), u64::MAX);
        assert_eq!(history.weight(), u64::MAX);
    }
}
