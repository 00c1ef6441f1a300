//! The clock of governor on both sides of a comparison.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use governor::clock::{Clock as _, QuantaClock, QuantaInstant, Reference as _};
use tidegate_ratelimit::ClockSource;

/// governor's clock, for both sides.
pub struct SameClock(QuantaClock, QuantaInstant);

impl Default for SameClock {
    /// Its epoch is now.
    fn default() -> Self {
        let clock = QuantaClock::default();
        let begun = clock.now();
        Self(clock, begun)
    }
}

impl ClockSource for SameClock {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.now().duration_since(self.1).as_u64())
    }

    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + self.now()
    }
}
