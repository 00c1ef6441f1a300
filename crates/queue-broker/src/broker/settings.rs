//! Settings of a queue that operators set for all its workers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::timestamp::Timestamp;

/// Settings for all workers of a queue. Stored by the broker, and effective from the next fetch on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueSettings {
    /// Most jobs that run at once, over all workers. Divided among the partitions, at least one
    /// each. A partition does not use another's share, so fewer jobs run if few partitions are
    /// busy. `None` if unlimited.
    pub max_running: Option<u32>,
    /// Most jobs that start per unit of time, over all workers. Divided in the same way. `None` if
    /// unlimited.
    pub rate: Option<Rate>,
    /// Whether the broker keeps events for [`events`](crate::Broker::events).
    pub events: bool,
}

impl QueueSettings {
    /// How many more jobs may start now.
    pub(crate) fn admitted(&self, running: usize, throttle: Throttle, now: Timestamp) -> usize {
        let slots = self.max_running.map_or(usize::MAX, |most| (most as usize).saturating_sub(running));
        let tokens = self.rate.map_or(usize::MAX, |rate| throttle.tokens(rate, now));
        slots.min(tokens)
    }

    /// When the next token is available. `None` if one is available now.
    pub(crate) fn next_token(&self, throttle: Throttle, now: Timestamp) -> Option<Timestamp> {
        let rate = self.rate.filter(|rate| throttle.tokens(*rate, now) == 0)?;
        Some(throttle.next_token(rate, now))
    }
}

/// A number of jobs per time, as a token bucket: up to `jobs` at once after a pause, then evenly. A
/// run counts when it starts, whatever its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawRate", into = "RawRate")]
pub struct Rate {
    jobs: u32,
    per: Duration,
}

/// The rate allows no jobs, or its time is out of bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a rate is at least one job in at least 1 ms and at most a day")]
pub struct RateError;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRate {
    jobs: u32,
    per_ms: u64,
}

impl TryFrom<RawRate> for Rate {
    type Error = RateError;

    fn try_from(raw: RawRate) -> Result<Self, RateError> {
        Self::new(raw.jobs, Duration::from_millis(raw.per_ms))
    }
}

impl From<Rate> for RawRate {
    fn from(rate: Rate) -> Self {
        Self { jobs: rate.jobs, per_ms: u64::try_from(rate.per.as_millis()).unwrap_or(u64::MAX) }
    }
}

impl Rate {
    /// Creates a rate. `per` is counted in whole milliseconds.
    ///
    /// # Errors
    /// [`RateError`] for no jobs, no time, or more than a day.
    pub fn new(jobs: u32, per: Duration) -> Result<Self, RateError> {
        let day = Duration::from_secs(24 * 3600);
        if jobs == 0 || !(Duration::from_millis(1)..=day).contains(&per) {
            return Err(RateError);
        }
        Ok(Self { jobs, per: Duration::from_millis(u64::try_from(per.as_millis()).unwrap_or(u64::MAX)) })
    }

    /// Number of jobs.
    pub fn jobs(self) -> u32 {
        self.jobs
    }

    /// The time in which that many jobs may start.
    pub fn per(self) -> Duration {
        self.per
    }

    /// The time in milliseconds. Small enough for exact floating-point arithmetic.
    fn per_ms(self) -> f64 {
        self.per.as_secs_f64() * 1_000.0
    }

    /// Milliseconds from one token to the next.
    fn interval(self) -> f64 {
        self.per_ms() / f64::from(self.jobs)
    }
}

/// Fill level of a rate's bucket, as one number: the time at which it is full again, in
/// milliseconds since the epoch. The scripts of the stores do the same arithmetic, in the same
/// order of operations.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Throttle {
    pub(crate) full_at: f64,
}

/// Tolerance, so that rounding does not hide an available token.
const GRAIN: f64 = 1e-6;

impl Throttle {
    /// Number of available tokens.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the rate's jobs, a u32")]
    pub(crate) fn tokens(self, rate: Rate, now: Timestamp) -> usize {
        let missing = (self.full_at - ms(now)).max(0.0).min(rate.per_ms());
        ((rate.per_ms() - missing) / rate.interval() + GRAIN).floor() as usize
    }

    /// Takes available tokens.
    pub(crate) fn take(&mut self, tokens: usize, rate: Rate, now: Timestamp) {
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        self.full_at = self.bounded(rate, now).max(ms(now)) + f64::from(tokens) * rate.interval();
    }

    /// When the next token becomes available, if there is none.
    #[expect(clippy::cast_possible_truncation, reason = "times are far below what a float holds exactly")]
    pub(crate) fn next_token(self, rate: Rate, now: Timestamp) -> Timestamp {
        let at = self.bounded(rate, now) - rate.per_ms() + rate.interval() - GRAIN;
        Timestamp::from_unix_ms(at.ceil() as i64)
    }

    /// Changes to another rate. The available tokens stay, up to the new size.
    pub(crate) fn change(&mut self, from: Option<Rate>, to: Option<Rate>, now: Timestamp) {
        let Some(to) = to else {
            self.full_at = 0.0;
            return;
        };
        let tokens = from.map_or(usize::MAX, |from| self.tokens(from, now)).min(to.jobs as usize);
        let missing = to.jobs - u32::try_from(tokens).unwrap_or(to.jobs);
        self.full_at = ms(now) + f64::from(missing) * to.interval();
    }

    /// Corrects the level after the clock jumped backward: at least empty.
    fn bounded(self, rate: Rate, now: Timestamp) -> f64 {
        self.full_at.min(ms(now) + rate.per_ms())
    }
}

#[expect(clippy::cast_precision_loss, reason = "times are far below what a float holds exactly")]
fn ms(time: Timestamp) -> f64 {
    time.unix_ms() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rate(jobs: u32, ms: u64) -> Rate {
        Rate::new(jobs, Duration::from_millis(ms)).unwrap()
    }

    #[test]
    fn a_rate_that_cannot_work_is_refused() {
        for (jobs, ms) in [(0, 1), (1, 0), (1, 86_400_001)] {
            assert_eq!(Rate::new(jobs, Duration::from_millis(ms)), Err(RateError));
        }
        let text = r#"{"max_running":3,"rate":{"jobs":5,"per_ms":1000},"events":true}"#;
        let settings: QueueSettings = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&settings).unwrap(), text);
        assert!(serde_json::from_str::<QueueSettings>(r#"{"rate":{"jobs":0,"per_ms":1000}}"#).is_err());
    }

    #[test]
    fn a_change_keeps_the_tokens_that_fit() {
        let now = Timestamp::from_unix_ms(1_700_000_000_000);
        let mut throttle = Throttle::default();
        throttle.take(7, rate(10, 1_000), now);
        throttle.change(Some(rate(10, 1_000)), Some(rate(2, 1_000)), now);
        assert_eq!(throttle.tokens(rate(2, 1_000), now), 2);
        throttle.change(Some(rate(2, 1_000)), Some(rate(100, 1_000)), now);
        assert_eq!(throttle.tokens(rate(100, 1_000), now), 2);
        throttle.change(Some(rate(100, 1_000)), None, now);
        throttle.change(None, Some(rate(5, 1_000)), now);
        assert_eq!(throttle.tokens(rate(5, 1_000), now), 5);
    }

    proptest! {
        /// In any window, at most a bucket and its inflow are given. A token that is announced for
        /// a time is available then.
        #[test]
        fn no_window_gives_more_than_a_bucket_and_its_inflow(
            jobs in 1u32..1_000, per in 1u64..86_400_000, steps in prop::collection::vec((0u64..5_000, 1usize..50), 1..60),
        ) {
            let rate = rate(jobs, per);
            let (mut now, mut throttle) = (Timestamp::from_unix_ms(1_700_000_000_000), Throttle::default());
            let begin = now;
            let mut given = 0_u32;
            for (pause, want) in steps {
                now = now.after(Duration::from_millis(pause));
                let tokens = throttle.tokens(rate, now).min(want);
                if tokens == 0 {
                    let next = throttle.next_token(rate, now);
                    prop_assert!(next > now);
                    prop_assert!(throttle.tokens(rate, next) >= 1);
                } else {
                    throttle.take(tokens, rate, now);
                    given += u32::try_from(tokens).unwrap();
                }
                let inflow = now.since(begin).as_secs_f64() * 1_000.0 / rate.interval();
                prop_assert!(f64::from(given) <= f64::from(jobs) + inflow + 0.01);
            }
        }
    }
}
