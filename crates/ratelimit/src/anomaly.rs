//! Detection of keys that deviate from their own request history.

mod history;

use std::fmt;
use std::time::Duration;

use crate::key::ensure_short;
use crate::store::{Standing, Store};
use crate::timestamp::whole_micros;
use crate::{CheckError, Clock, Timestamp};

pub use history::Habit;

use history::{History, Rule};

/// Flags a key whose rate deviates from its own history.
///
/// Requests are counted in intervals of 10 s. The first 30 intervals with requests, at least five
/// minutes, give the key's mean and variance. After that, both follow slowly (exponentially
/// weighted, over about the last three minutes). An interval without requests does not change them,
/// so a client that is idle at night keeps its profile, for up to one day.
///
/// A key is flagged as soon as the count of an interval reaches all three of these: 50 requests,
/// five times the mean, and the mean plus eight standard deviations. A key whose rate rises tenfold
/// is therefore flagged within one or two intervals, if it then makes more than 5 requests per
/// second. The daily pattern of a client changes its history with it.
///
/// While a key is flagged, its history does not change. The flag is removed after six consecutive
/// intervals below half of the threshold, or after one hour. After one hour the new rate counts as
/// normal, and the history is learned again from the start.
///
/// The detector only reports. The application decides what follows from a flag.
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
/// # Error rate
///
/// If requests are independent of each other (Poisson), a steady key reaches five times its mean,
/// and at least 50, less than once in 10⁹ intervals: not once in 24 hours, even with many keys.
/// Requests in bursts have a larger variance and therefore a higher threshold. A tenfold rate may
/// then stay below it.
///
/// # What it does not guarantee
///
/// - The behaviour of a key during learning counts as normal, including an attack.
/// - A rate that grows slowly, for example over hours, is followed and never flagged.
/// - **Memory:** 10,000 keys unless [set](AnomalyDetectorBuilder::max_keys), about 150 bytes each.
///   Above that number, keys with the lowest mean are evicted first, and flagged ones last. The
///   history of an evicted key is learned again.
/// - Each process sees only the requests that are reported to it.
///
/// Cost: a lock on one shard and a few arithmetic operations. Allocates only for a new key.
pub struct AnomalyDetector {
    rule: Rule,
    clock: Clock,
    store: Store<History>,
}

/// Builder of an [`AnomalyDetector`]; see [`AnomalyDetector::builder`].
pub struct AnomalyDetectorBuilder {
    rule: Rule,
    max_keys: usize,
    clock: Clock,
}

/// A flagged key.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Flag {
    /// The key.
    pub key: String,
    /// Time at which it was flagged.
    pub since: Timestamp,
    /// Count of the interval in which it was flagged, at that time.
    pub count: u64,
    /// Mean count per interval before it was flagged.
    pub mean: f64,
}

const DEFAULT_MAX_KEYS: usize = 10_000;

impl AnomalyDetectorBuilder {
    /// Sets the length of an interval; 10 s by default, at least one millisecond. All other
    /// durations are multiples of it.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.rule.interval = whole_micros(interval).max(1_000);
        self
    }

    /// Sets the minimum count for a flag; 50 by default. A lower one flags keys at random at times.
    #[must_use]
    pub fn minimum(mut self, count: u64) -> Self {
        self.rule.minimum = count.max(1);
        self
    }

    /// Sets the maximum number of keys; at least one, 10,000 by default.
    #[must_use]
    pub fn max_keys(mut self, n: usize) -> Self {
        self.max_keys = n;
        self
    }

    clock_setter!(clock);

    /// Builds the detector.
    pub fn build(self) -> AnomalyDetector {
        AnomalyDetector { rule: self.rule, clock: self.clock, store: Store::new(self.max_keys) }
    }
}

impl AnomalyDetector {
    /// Returns a builder for a detector.
    pub fn builder() -> AnomalyDetectorBuilder {
        AnomalyDetectorBuilder { rule: Rule::default(), max_keys: DEFAULT_MAX_KEYS, clock: Clock::system() }
    }

    /// Counts `count` requests of a key now, and returns the resulting assessment.
    ///
    /// # Errors
    /// [`CheckError::KeyTooLong`].
    pub fn observe(&self, key: &str, count: u64) -> Result<Habit, CheckError> {
        ensure_short(key)?;
        let mut place = self.store.lock(key);
        let now = Timestamp::now(&self.clock);
        let standing = |history: &History| standing(&self.rule, history, now);
        place.with(standing, || History::new(&self.rule, now), |history| history.count(&self.rule, now, count))
    }

    /// The assessment of a key. `None` if the key is unknown.
    pub fn habit(&self, key: &str) -> Option<Habit> {
        let place = self.store.lock(key);
        let now = Timestamp::now(&self.clock);
        place.get().map(|history| history.at(&self.rule, now).habit())
    }

    /// Removes a key's flag. Its current rate counts as normal, and its history is learned again
    /// from the start. Returns whether it was flagged.
    pub fn unflag(&self, key: &str) -> bool {
        let mut place = self.store.lock(key);
        let now = Timestamp::now(&self.clock);
        let Some((_, history)) = place.get_mut() else { return false };
        let was_flagged = matches!(history.at(&self.rule, now).habit(), Habit::Flagged { .. });
        if was_flagged {
            *history = History::new(&self.rule, now);
        }
        was_flagged
    }

    /// Removes a key. Returns whether it was known.
    pub fn forget(&self, key: &str) -> bool {
        self.store.lock(key).remove()
    }

    /// The keys that are currently flagged, the earliest first. Iterates over all keys: use it for
    /// dashboards, or once per interval.
    pub fn flagged(&self) -> Vec<Flag> {
        let now = Timestamp::now(&self.clock);
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
