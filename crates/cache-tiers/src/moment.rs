//! Points and spans in time as one number, so that a hit compares and copies little.

use std::time::Duration;

/// Nanoseconds since the start of the cache's clock, up to 584 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment(u64);

impl Moment {
    /// When the clock started.
    pub(crate) const START: Self = Self(0);
    /// Later than everything.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    pub(crate) fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }

    pub(crate) fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(duration)))
    }

    /// Returns the time since `earlier`; zero if that is later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl From<Duration> for Moment {
    fn from(since_start: Duration) -> Self {
        Self(nanos(since_start))
    }
}

/// Nanoseconds between two moments, up to 584 years: half the size of a `Duration`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span(u64);

impl Span {
    pub(crate) fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(nanos(duration))
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        Self::from_nanos(span.0)
    }
}

/// Microseconds, from one (if not zero) up to 71 minutes: a quarter of the size of a `Duration`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ShortSpan(u32);

impl ShortSpan {
    pub(crate) fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl From<Duration> for ShortSpan {
    fn from(duration: Duration) -> Self {
        Self(u32::try_from(duration.as_nanos().div_ceil(1000)).unwrap_or(u32::MAX))
    }
}

impl From<ShortSpan> for Duration {
    fn from(span: ShortSpan) -> Self {
        Self::from_micros(u64::from(span.0))
    }
}

/// Returns the duration in nanoseconds, at most 584 years.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
