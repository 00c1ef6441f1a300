//! Keys whose rate leaves their own history.

mod history;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::whole_micros;
use crate::limiter::ensure_short;
use crate::store::{Standing, Store};
use crate::{CheckError, Clock, SystemClock, Timestamp};

pub use history::Habit;

use history::{History, Rule};

/// Flags a key whose rate leaves its own history.
///
/// Requests are counted in intervals of 10 s. From 30 of them, five minutes, it learns the key's mean and its variance; from then on
/// both follow slowly (exponentially weighted, about the last three minutes). An interval without a request isn't learned: who
/// rests at night comes back as who it was, within a day. A key is flagged as soon as the count of an
/// interval reaches all three: 50 requests, five times the mean, and the mean with eight standard deviations. So a key that becomes
/// tenfold is flagged within an interval or two, if it then makes more than 5 a second; and the daily swell of a client changes its
/// history with it. While a key is flagged, nothing is learned from it. The flag falls after six intervals in a row below half
/// of what would raise it, or after an hour: then the new rate is its habit, and is learned from the start.
///
/// It only tells; what follows from a flag is for others to say.
///
/// ```
/// use std::time::Duration;
/// use tidegate_ratelimit::{AnomalyDetector, Habit, ManualClock};
///
/// let clock = ManualClock::default();
/// let detector = AnomalyDetector::builder().clock(clock.clone()).build();
/// for _ in 0..40 {
///     detector.observe("tenant-1", 20)?;
///     clock.advance(Duration::from_secs(10));
/// }
/// assert_eq!(detector.observe("tenant-1", 20)?, Habit::Normal);
/// assert!(matches!(detector.observe("tenant-1", 180)?, Habit::Flagged { .. }));
/// assert_eq!(detector.flagged().len(), 1);
/// # Ok::<_, tidegate_ratelimit::CheckError>(())
/// ```
///
/// # How often it errs
///
/// Where requests come independently of each other (Poisson), a steady key reaches five times its mean, and at least 50, less than
/// once in 10⁹ intervals: none in 24 hours, with many keys. Requests that come in bursts have the greater variance, and so the
/// higher threshold; a tenfold rate may then stay below it.
///
/// # What it does not guarantee
///
/// - What a key did while it was learned is its habit, an attack included.
/// - A rate that grows slowly, as over hours, is followed and never flagged.
/// - **Memory:** 10,000 keys unless [set](AnomalyDetectorBuilder::max_keys), some 150 bytes each. Where there are more, those with the
///   least mean are forgotten first, flagged ones last; a forgotten key is learned anew.
/// - Each process sees what it is told.
///
/// Cost: a lock of one shard, a few numbers; an allocation for a new key alone.
pub struct AnomalyDetector {
    rule: Rule,
    clock: Arc<dyn Clock>,
    store: Store<History>,
}

/// Collects the options of an [`AnomalyDetector`]; see [`AnomalyDetector::builder`].
pub struct AnomalyDetectorBuilder {
    rule: Rule,
    max_keys: usize,
    clock: Arc<dyn Clock>,
}

/// A key that is flagged.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Flag {
    /// The key.
    pub key: String,
    /// Since when.
    pub since: Timestamp,
    /// What it had counted in an interval when it was flagged.
    pub count: u64,
    /// What it counted on average before.
    pub mean: f64,
}

const DEFAULT_MAX_KEYS: usize = 10_000;

impl AnomalyDetectorBuilder {
    /// Counts in intervals of that length; 10 s unless set, at least a millisecond. All other times are multiples of it.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.rule.interval = whole_micros(interval).max(1_000);
        self
    }

    /// Flags nobody below so many requests in an interval; 50 unless set. Lower ones are flagged by chance now and then.
    #[must_use]
    pub fn minimum(mut self, count: u64) -> Self {
        self.rule.minimum = count.max(1);
        self
    }

    /// Holds at most `n` keys, at least one; 10,000 unless set.
    #[must_use]
    pub fn max_keys(mut self, n: usize) -> Self {
        self.max_keys = n;
        self
    }

    /// Takes time from `clock`; [`SystemClock`] unless set.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Builds the detector.
    pub fn build(self) -> AnomalyDetector {
        AnomalyDetector { rule: self.rule, clock: self.clock, store: Store::new(self.max_keys) }
    }
}

impl AnomalyDetector {
    /// Starts a detector.
    pub fn builder() -> AnomalyDetectorBuilder {
        AnomalyDetectorBuilder {
            rule: Rule::default(),
            max_keys: DEFAULT_MAX_KEYS,
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// Counts so many requests of a key now, and says what they make of it.
    ///
    /// # Errors
    /// [`CheckError::KeyTooLong`].
    pub fn observe(&self, key: &str, count: u64) -> Result<Habit, CheckError> {
        ensure_short(key)?;
        let mut place = self.store.lock(key);
        let now = self.clock.now();
        let standing = |history: &History| standing(&self.rule, history, now);
        place.with(standing, || History::new(&self.rule, now), |history| history.count(&self.rule, now, count))
    }

    /// What is thought of a key; `None` where nothing is known of it.
    pub fn habit(&self, key: &str) -> Option<Habit> {
        let place = self.store.lock(key);
        let now = self.clock.now();
        place.get().map(|history| history.at(&self.rule, now).habit())
    }

    /// Takes the flag from a key: the rate that it has now is its habit, and is learned from the start. Returns whether it
    /// was flagged.
    pub fn unflag(&self, key: &str) -> bool {
        let mut place = self.store.lock(key);
        let now = self.clock.now();
        let Some((_, history)) = place.get_mut() else { return false };
        let was_flagged = matches!(history.at(&self.rule, now).habit(), Habit::Flagged { .. });
        if was_flagged {
            *history = History::new(&self.rule, now);
        }
        was_flagged
    }

    /// Forgets a key. Returns whether it was known.
    pub fn forget(&self, key: &str) -> bool {
        self.store.lock(key).remove()
    }

    /// The keys that are flagged now, the earliest first. Walks all keys: for dashboards, or once an interval.
    pub fn flagged(&self) -> Vec<Flag> {
        let now = self.clock.now();
        let mut flags = Vec::new();
        self.store.visit(|key, history| {
            let history = history.at(&self.rule, now);
            if let Habit::Flagged { since } = history.habit() {
                let (count, mean) = (history.flagged_by(), history.mean());
                flags.push(Flag { key: key.to_owned(), since, count, mean });
            }
        });
        flags.sort_by(|one: &Flag, other| (one.since, &one.key).cmp(&(other.since, &other.key)));
        flags
    }
}

fn standing(rule: &Rule, history: &History, now: Timestamp) -> Standing {
    if history.is_idle(rule, now) {
        return Standing::Expired;
    }
    let history = history.at(rule, now);
    let is_flagged = matches!(history.habit(), Habit::Flagged { .. });
    Standing::Live(u32::from(is_flagged), history.weight())
}

impl fmt::Debug for AnomalyDetector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnomalyDetector").field("rule", &self.rule).finish_non_exhaustive()
    }
}

impl fmt::Debug for AnomalyDetectorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnomalyDetectorBuilder")
            .field("rule", &self.rule)
            .field("max_keys", &self.max_keys)
            .finish_non_exhaustive()
    }
}
