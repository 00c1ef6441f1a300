//! The resolution of a meter.

use std::time::Duration;

/// The resolution of a [`Meter`](crate::Meter), which decides its range.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Grain {
    /// Nanoseconds, up to 137.4 s.
    #[default]
    Nanosecond,
    /// Microseconds, up to 38 hours. Times are rounded up to whole ones, bounds down.
    Microsecond,
}

impl Grain {
    pub(super) const fn nanos(self) -> u32 {
        match self {
            Self::Nanosecond => 1,
            Self::Microsecond => 1_000,
        }
    }

    pub(super) fn filed(self, time: Duration) -> Duration {
        match self {
            Self::Nanosecond => time,
            Self::Microsecond => {
                let micros = time.as_nanos().div_ceil(self.nanos().into());
                Duration::from_nanos(u64::try_from(micros).unwrap_or(u64::MAX))
            }
        }
    }
}
