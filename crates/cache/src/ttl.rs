//! TTL classes: what kind of thing is cached, and how long it may be believed.

use std::time::Duration;

/// Shortest lifetime: the clock of the hot path ticks every few milliseconds.
const SHORTEST: Duration = Duration::from_millis(1);

/// Longest time in L1 of what lies in L2 too, unless the class says otherwise: it bounds what a missed notice can cost.
#[cfg(feature = "redis")]
const L1_ABOVE_L2: Duration = Duration::from_secs(60);

/// Longest lifetime, one year: nothing is kept without an expiry.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A named lifetime. Statistics are kept per class, and a class can be invalidated as a whole.
///
/// Times are clamped to between 1 ms and 365 days: no entry expires before it is stored, none lives for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TtlClass {
    name: &'static str,
    ttl: Duration,
    grace: Duration,
    l1_ttl: Option<Duration>,
    l2_ttl: Duration,
}

impl TtlClass {
    /// Timetables and other plans: 2 hours.
    pub const SCHEDULE: Self = Self::new("schedule", hours(2));
    /// Sessions of users: 24 hours.
    pub const SESSION: Self = Self::new("session", hours(24));
    /// Results that are costly to compute: 1 hour.
    pub const COMPUTATION: Self = Self::new("computation", hours(1));
    /// Answers of an API: 5 minutes.
    pub const API: Self = Self::new("api", Duration::from_secs(5 * 60));
    /// Preferences of users: 7 days.
    pub const PREFERENCES: Self = Self::new("preferences", hours(7 * 24));
    /// Whatever has no class of its own: 5 minutes.
    pub const DEFAULT: Self = Self::new("default", Duration::from_secs(5 * 60));

    /// A class of your own. Two classes of one name share their statistics and are invalidated together.
    pub const fn new(name: &'static str, ttl: Duration) -> Self {
        Self { name, ttl: clamp(ttl), grace: Duration::ZERO, l1_ttl: None, l2_ttl: LONGEST }
    }

    /// For how long after its end a value may still be served, marked stale, while it is loaded anew.
    ///
    /// Zero, the default, serves nothing stale. Clamped to 365 days.
    #[must_use]
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = if grace.as_nanos() > LONGEST.as_nanos() { LONGEST } else { grace };
        self
    }

    /// Caps the lifetime in process memory, below the class's own.
    ///
    /// Without it what lies in L2 too is kept in L1 for at most 60 s, everything else for its whole lifetime.
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

    /// The name under which statistics are kept.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The lifetime, unless the loader chooses another.
    pub const fn ttl(&self) -> Duration {
        self.ttl
    }

    /// The time in L1 of a value for which the loader asked for `asked`.
    pub(crate) fn in_l1(&self, asked: Option<Duration>) -> Duration {
        asked.map_or(self.ttl, clamp).min(self.l1_ttl.unwrap_or(LONGEST))
    }

    /// The time in L1 of a value that has `left` to live in L2.
    #[cfg(feature = "redis")]
    pub(crate) fn in_l1_above_l2(&self, left: Duration) -> Duration {
        left.min(self.l1_ttl.unwrap_or(L1_ABOVE_L2))
    }

    /// The time in L2 of a value for which the loader asked for `asked`.
    #[cfg(feature = "redis")]
    pub(crate) fn in_l2(&self, asked: Option<Duration>) -> Duration {
        asked.map_or(self.ttl, clamp).min(self.l2_ttl)
    }

    /// The time after its end during which a value may be served stale.
    pub(crate) fn grace_period(&self) -> Duration {
        self.grace
    }
}

const fn hours(count: u64) -> Duration {
    Duration::from_secs(count * 60 * 60)
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
