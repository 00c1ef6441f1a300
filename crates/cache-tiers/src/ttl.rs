//! TTL classes: the kind of cached data, and how long it is fresh.

use std::time::Duration;

use crate::dice::Dice;
use crate::moment::nanos;

/// Shortest lifetime: the clock of the hot path ticks every few milliseconds.
const SHORTEST: Duration = Duration::from_millis(1);

/// Longest time in L1 of a value of L2, unless the class sets it. Bounds a missed notice's cost.
const L1_ABOVE_L2: Duration = Duration::from_secs(60);

/// Longest lifetime, one year: nothing is kept without an expiry.
pub(crate) const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Lifetime of "there is nothing", unless the class says otherwise.
const NEGATIVE: Duration = Duration::from_secs(5 * 60);

/// Longest run of a loader, unless the class sets it. A fence of L2 stands as long by default.
const LOAD_LIMIT: Duration = Duration::from_secs(120);

/// A named lifetime and its options. Each class has its own statistics and can be invalidated.
///
/// Times are clamped to between 1 ms and 365 days: no entry expires before it is stored, none lives
/// for ever. Values with a lifetime of zero are not kept
/// ([`Fill::uncached`](crate::Fill::uncached)).
///
/// A class of your own is a constant:
///
/// ```
/// use std::time::Duration;
/// # extern crate tidegate_cache_tiers as tidegate_cache;
/// use tidegate_cache::TtlClass;
///
/// const REVIEWS: TtlClass =
///     TtlClass::new("reviews", Duration::from_hours(1)).refresh_ahead(Duration::from_mins(5));
/// const STATISTICS: TtlClass =
///     TtlClass::new("statistics", Duration::from_mins(5)).grace(Duration::from_mins(1));
/// const LISTS: TtlClass = TtlClass::new("lists", Duration::from_mins(10)).jitter(10);
/// const PAGES: TtlClass =
///     TtlClass::new("pages", Duration::from_hours(2)).negative_ttl(Duration::from_mins(1));
/// const CARTS: TtlClass =
///     TtlClass::new("carts", Duration::from_mins(30)).sliding(Duration::from_hours(12));
/// const PRICES: TtlClass = TtlClass::new("prices", Duration::from_mins(10))
///     .grace(Duration::from_hours(1))
///     .soft_timeout(Duration::from_millis(100))
///     .hard_timeout(Duration::from_secs(2));
/// # let _ = (REVIEWS, STATISTICS, LISTS, PAGES, CARTS, PRICES);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TtlClass {
    name: &'static str,
    ttl: Duration,
    grace: Duration,
    l1_ttl: Option<Duration>,
    l2_ttl: Duration,
    negative_ttl: Duration,
    jitter: u8,
    ahead: Duration,
    eagerness: u16,
    sliding: Option<Duration>,
    soft_timeout: Duration,
    hard_timeout: Option<Duration>,
    pub(crate) load_wait: Option<Duration>,
    load_limit: Duration,
    max_loads: Option<(u32, Duration)>,
}

impl TtlClass {
    /// Sessions of users: 24 hours.
    pub const SESSION: Self = Self::new("session", hours(24));
    /// Results that are expensive to compute: 1 hour.
    pub const COMPUTATION: Self = Self::new("computation", hours(1));
    /// Answers of an API: 5 minutes.
    pub const API: Self = Self::new("api", Duration::from_secs(5 * 60));
    /// Values without a class of their own: 5 minutes.
    pub const DEFAULT: Self = Self::new("default", Duration::from_secs(5 * 60));

    /// A class of your own. Two classes of one name share statistics and invalidations.
    ///
    /// With a lifetime of zero, only values with a lifetime of their own are kept
    /// ([`Fill::ttl`](crate::Fill::ttl)). Concurrent misses still share one load in each process.
    /// They don't wait for other processes.
    pub const fn new(name: &'static str, ttl: Duration) -> Self {
        Self {
            name,
            ttl: clamp_or_none(ttl),
            grace: Duration::ZERO,
            l1_ttl: None,
            l2_ttl: LONGEST,
            negative_ttl: NEGATIVE,
            jitter: 0,
            ahead: Duration::ZERO,
            eagerness: 0,
            sliding: None,
            soft_timeout: Duration::ZERO,
            hard_timeout: None,
            load_wait: None,
            load_limit: LOAD_LIMIT,
            max_loads: None,
        }
    }

    /// Time after its end for which a value may be served, marked stale, while it is reloaded.
    ///
    /// Zero, the default, serves nothing stale. Clamped to 365 days.
    ///
    /// In L1 it begins at the end of the time there ([`l1_ttl`](Self::l1_ttl)), even if L2 holds
    /// the value as fresh. The first reader after that gets it as stale, while L2 is queried.
    #[must_use]
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = at_most_longest(grace);
        self
    }

    /// Caps the lifetime in process memory, below the class's own.
    ///
    /// By default, values that are also in L2 stay in L1 for at most 60 s, others for their whole
    /// lifetime. This bounds how long a value counts as fresh if this process missed a change
    /// elsewhere. With a [`grace`](Self::grace) it may then be served as stale until a load brings
    /// the new one.
    #[must_use]
    pub const fn l1_ttl(mut self, ttl: Duration) -> Self {
        self.l1_ttl = Some(clamp(ttl));
        self
    }

    /// Caps the lifetime in the tier that processes share, below the class's own.
    #[must_use]
    pub const fn l2_ttl(mut self, ttl: Duration) -> Self {
        self.l2_ttl = clamp(ttl);
        self
    }

    /// Lifetime of "there is nothing" ([`Fill::absent`](crate::Fill::absent)): 5 minutes by
    /// default, never longer than that of the class. Its [`grace`](Self::grace) is no longer than
    /// this, because an old "there is nothing" hides newer values. Zero remembers no absence.
    #[must_use]
    pub const fn negative_ttl(mut self, ttl: Duration) -> Self {
        self.negative_ttl = clamp_or_none(ttl);
        self
    }

    /// Shortens each lifetime by a random part of up to this percentage, so that values loaded
    /// together don't expire together. Zero by default, at most 90.
    ///
    /// This includes lifetimes that a loader chose. None gets longer than promised.
    #[must_use]
    pub const fn jitter(mut self, percent: u8) -> Self {
        self.jitter = if percent > 90 { 90 } else { percent };
        self
    }

    /// Time before the end of a value from which a read reloads it in the background: such as 300 s
    /// of 3,600.
    ///
    /// The reader gets the value that is still fresh, and no later reader waits. Unread values are
    /// not refreshed. At most half of the lifetime with which a value came into L1 counts, so that
    /// short-lived values are not reloaded all the time. Zero, the default, waits for the end. With
    /// an L2 the end is that of the value there.
    #[must_use]
    pub const fn refresh_ahead(mut self, before_end: Duration) -> Self {
        self.ahead = before_end;
        self
    }

    /// Refreshes early at random: the sooner, the longer the load took and the nearer the end is
    /// (`XFetch`, by Vattani, Chierichetti and Lowenstein). 100 is their β of 1, good for most.
    /// Zero, the default, is off.
    ///
    /// Each read draws for itself, so usually one of many processes refreshes a value before any of
    /// them misses it. It costs nothing until 16 load times before the end. For values from L2 the
    /// last load of the class counts. Values that were `put` are not refreshed.
    #[must_use]
    pub const fn early_refresh(mut self, beta_percent: u16) -> Self {
        self.eagerness = beta_percent;
        self
    }

    /// Counts the lifetime from the last read, and ends it `cap` after the load in any case.
    ///
    /// It is never longer than promised, and up to a sixteenth shorter, so that most reads need not
    /// write. Refresh-ahead counts from the cap. Only L1 slides: a value in L2, and its copy in L1,
    /// live from their load for the lifetime of the class.
    #[must_use]
    pub const fn sliding(mut self, cap: Duration) -> Self {
        self.sliding = Some(clamp(cap));
        self
    }

    /// Time that a reader waits for a fresh value if there is a stale one. Then it gets the stale
    /// one, and the load continues. Zero, the default, serves it at once. Clamped to 365 days.
    ///
    /// It is the reader that starts the load who waits; the others have the stale value meanwhile.
    /// Above zero, the runtime of the caller needs its timers (`enable_time`).
    #[must_use]
    pub const fn soft_timeout(mut self, wait: Duration) -> Self {
        self.soft_timeout = at_most_longest(wait);
        self
    }

    /// Maximum duration of a call that has nothing to fall back on. It covers L2, other processes
    /// and the queue for a permit. Then the call returns
    /// [`LoadError::TimedOut`](crate::LoadError::TimedOut), while the load continues and fills.
    ///
    /// By default a reader waits as long as the load may take ([`load_limit`](Self::load_limit)).
    /// Otherwise the runtime of the caller needs its timers (`enable_time`).
    #[must_use]
    pub const fn hard_timeout(mut self, wait: Duration) -> Self {
        self.hard_timeout = Some(at_most_longest(wait));
        self
    }

    /// Maximum wait of a miss for another process's load of the key, before it loads itself.
    ///
    /// By default this is the [hard time-out](Self::hard_timeout), or 10 s without one
    /// (`RedisTier::wait`). A process that dies while it loads is noticed within 2 s. Zero waits
    /// for no other process. Without an L2 it has no effect.
    #[must_use]
    pub const fn load_wait(mut self, wait: Duration) -> Self {
        self.load_wait = Some(at_most_longest(wait));
        self
    }

    /// Maximum duration of a load, 120 s by default, clamped to 365 days. Then it is stopped, its
    /// waiters get [`LoadError::CutOff`](crate::LoadError::CutOff), and the next reader loads
    /// again.
    ///
    /// A thread of the cache enforces it, even if the loader blocks its thread or its runtime is
    /// stuck. Such a loader cannot be stopped, but it loses its key, and its value is dropped. It
    /// is real time, whatever the clock of the cache.
    #[must_use]
    pub const fn load_limit(mut self, limit: Duration) -> Self {
        self.load_limit = clamp(limit);
        self
    }

    /// Maximum number of loaders of this class that run at once (at least one), and maximum wait
    /// for a turn. Then the waiters get [`LoadError::Refused`](crate::LoadError::Refused).
    ///
    /// Like `TieredCacheBuilder::max_loads`, which covers all classes together and describes loads
    /// that loaders start.
    #[must_use]
    pub const fn max_loads(mut self, count: u32, wait: Duration) -> Self {
        self.max_loads = Some((count, wait));
        self
    }

    /// Returns the name under which statistics are kept.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the lifetime, unless the loader chooses another.
    pub const fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Lifetime of a value: its own or the class's, shortened at random. Zero if none.
    pub(crate) fn lifetime(&self, asked: Option<Duration>, is_negative: bool, dice: &Dice) -> Duration {
        let own = if is_negative { self.negative_ttl.min(self.ttl) } else { self.ttl };
        let ttl = asked.unwrap_or(own);
        if ttl.is_zero() { ttl } else { self.spread(clamp(ttl), dice) }
    }

    fn spread(&self, ttl: Duration, dice: &Dice) -> Duration {
        if self.jitter == 0 {
            return ttl;
        }
        clamp(ttl - Duration::from_nanos(dice.up_to(nanos(ttl) / 100 * u64::from(self.jitter))))
    }

    /// A drawn lifetime under the cap of a tier. The part above the cap spreads by a share that
    /// depends on the lifetime alone. So one lifetime always gives one result, and values loaded
    /// together still don't expire together.
    fn capped(&self, drawn: Option<Duration>, cap: Duration) -> Duration {
        let Some(drawn) = drawn.map(clamp) else { return clamp(self.ttl).min(cap) };
        if drawn <= cap {
            return drawn;
        }
        // The top half of an odd number times 2^64 by the golden ratio is as good as random.
        let share = nanos(drawn).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let most = u128::from(nanos(cap) / 100 * u64::from(self.jitter));
        let off = u64::try_from((most * u128::from(share)) >> 32).unwrap_or_default();
        clamp(cap - Duration::from_nanos(off))
    }

    /// Returns the time in L1 of a value with this lifetime, or that of the class.
    #[doc(hidden)]
    pub fn in_l1(&self, drawn: Option<Duration>) -> Duration {
        self.capped(drawn, self.l1_ttl.unwrap_or(LONGEST))
    }

    /// Time in L1 of a value that has `left` to live in L2. Its cap is spread for values that were
    /// read together.
    pub(crate) fn in_l1_above_l2(&self, left: Duration, dice: &Dice) -> Duration {
        left.min(self.spread(self.l1_ttl.unwrap_or(L1_ABOVE_L2), dice))
    }

    /// Returns the time in L2 of a value with this lifetime, or that of the class.
    #[doc(hidden)]
    pub fn in_l2(&self, drawn: Option<Duration>) -> Duration {
        self.capped(drawn, self.l2_ttl)
    }

    /// Time after its end for which a value may be served stale. For "there is nothing" it is at
    /// most its lifetime, `drawn` or that of the class.
    pub(crate) fn grace_of(&self, is_negative: bool, drawn: Option<Duration>) -> Duration {
        let believed = self.negative_ttl.min(drawn.unwrap_or(self.ttl));
        if is_negative { self.grace.min(believed) } else { self.grace }
    }

    /// Returns the grace of values.
    #[doc(hidden)]
    pub fn grace_period(&self) -> Duration {
        self.grace
    }

    /// Returns how long before its end a value is refreshed.
    pub(crate) fn ahead(&self) -> Duration {
        self.ahead
    }

    /// Returns the span before the end for early refreshes of a value with this load time.
    #[doc(hidden)]
    pub fn eager(&self, load: Option<Duration>) -> Duration {
        load.unwrap_or_default().min(LONGEST) * u32::from(self.eagerness) / 100
    }

    /// Returns the end of a sliding life, after the load.
    pub(crate) fn cap(&self) -> Option<Duration> {
        self.sliding
    }

    #[doc(hidden)]
    pub fn soft(&self) -> Duration {
        self.soft_timeout
    }

    #[doc(hidden)]
    pub fn hard(&self) -> Option<Duration> {
        self.hard_timeout
    }

    #[doc(hidden)]
    pub fn limit(&self) -> Duration {
        self.load_limit
    }

    pub(crate) fn places(&self) -> Option<(u32, Duration)> {
        self.max_loads
    }
}

const fn hours(count: u64) -> Duration {
    Duration::from_secs(count * 60 * 60)
}

const fn at_most_longest(duration: Duration) -> Duration {
    if duration.as_nanos() > LONGEST.as_nanos() { LONGEST } else { duration }
}

/// Zero stays zero.
const fn clamp_or_none(ttl: Duration) -> Duration {
    if ttl.is_zero() { ttl } else { clamp(ttl) }
}

const fn clamp(ttl: Duration) -> Duration {
    if ttl.as_nanos() < SHORTEST.as_nanos() {
        SHORTEST
    } else if ttl.as_nanos() > LONGEST.as_nanos() {
        LONGEST
    } else {
        ttl
    }
}
