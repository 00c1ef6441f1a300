//! How far back a reader looks.

use std::time::Duration;

/// A window that ends at the last tick.
///
/// It covers the running second, minute or hour and the given number before it: at least as much as
/// requested, and less than one unit more. Numbers outside the range that is kept are clamped to
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Window {
    /// 1 to 60 seconds.
    Seconds(u8),
    /// 1 to 60 minutes.
    Minutes(u8),
    /// 1 to 24 hours.
    Hours(u8),
}

impl Window {
    /// How many units it asks for, of those that are kept.
    pub(crate) fn units(self) -> u8 {
        match self {
            Self::Seconds(units) | Self::Minutes(units) => units.clamp(1, 60),
            Self::Hours(units) => units.clamp(1, 24),
        }
    }

    /// The most that it takes in: the units asked for and the running one.
    pub(crate) fn longest(self) -> Duration {
        let (units, most, secs) = match self {
            Self::Seconds(units) => (units, 60, 1),
            Self::Minutes(units) => (units, 60, 60),
            Self::Hours(units) => (units, 24, 3600),
        };
        Duration::from_secs((u64::from(units.clamp(1, most)) + 1) * secs)
    }
}
