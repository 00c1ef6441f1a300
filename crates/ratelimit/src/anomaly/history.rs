//! What one key has done so far, and whether it does so still: a pure function of (history, now, count).

use crate::Timestamp;

/// What is thought of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// Its history is too short.
    Learning,
    /// It does what it did.
    Normal,
    /// It does far more than it did.
    Flagged {
        /// Since when.
        since: Timestamp,
    },
}

/// The figures by which keys are judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// In microseconds.
    pub(super) interval: u64,
    pub(super) minimum: u64,
}

impl Default for Rule {
    fn default() -> Self {
        Self { interval: 10_000_000, minimum: 50 }
    }
}

/// Intervals that are learned before anything is judged.
const LEARNED: u32 = 30;
/// How much an interval weighs: about the last eighteen count.
const WEIGHT: f64 = 0.055;
const TIMES_MEAN: f64 = 5.0;
const DEVIATIONS: f64 = 8.0;
/// Intervals in a row that are quiet enough to take the flag back.
const CALM: u32 = 6;
/// Intervals after which a flagged rate is a habit.
const ACCEPTED: u32 = 360;
/// Intervals after which a key that isn't seen may give way to any other, and after which it is learned anew.
const IDLE: u64 = 360;
const STRANGE: u64 = 8_640;

/// Counts of one key.
#[derive(Clone, Copy, Debug)]
pub(super) struct History {
    /// The number of the interval in which it was last counted.
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
    /// Intervals since then, and those at its end that were calm.
    lasted: u32,
    calm: u32,
}

impl History {
    pub(super) fn new(rule: &Rule, now: Timestamp) -> Self {
        let interval = now.as_micros() / rule.interval;
        Self { interval, count: 0, learned: 0, mean: 0.0, variance: 0.0, flag: None }
    }

    /// Counts requests and says what they make of the key.
    pub(super) fn count(&mut self, rule: &Rule, now: Timestamp, count: u64) -> Habit {
        *self = self.at(rule, now);
        self.count = self.count.saturating_add(count);
        if self.flag.is_none() && self.learned >= LEARNED && self.count >= self.threshold(rule) {
            self.flag = Some(Raised { since: now, count: self.count, lasted: 0, calm: 0 });
        }
        self.habit()
    }

    /// The history as it is at `now`, with the intervals that have ended since.
    ///
    /// A clock that was set back by little goes on in the interval under way; by more than one it begins another.
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

    /// What an interval had counted when the flag was raised.
    pub(super) fn flagged_by(&self) -> u64 {
        self.flag.map_or(0, |raised| raised.count)
    }

    /// Whether it was not seen for so long that any other key is worth more.
    pub(super) fn is_idle(&self, rule: &Rule, now: Timestamp) -> bool {
        (now.as_micros() / rule.interval).saturating_sub(self.interval) > IDLE
    }

    /// What eviction compares: a thousand times what an interval counts.
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
            // What it does where it does nothing says nothing: who rests at night comes back as who it was.
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

    /// So many intervals in which nothing came.
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
        // At first all intervals weigh the same.
        let weight = WEIGHT.max(1.0 / f64::from(self.learned));
        let off = count as f64 - self.mean;
        self.mean += weight * off;
        self.variance = (1.0 - weight) * (self.variance + weight * off * off);
    }

    /// What an interval may not reach.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and the cast saturates")]
    fn threshold(&self, rule: &Rule) -> u64 {
        // Independent requests have the variance of their mean; what was seen may be less by chance.
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
