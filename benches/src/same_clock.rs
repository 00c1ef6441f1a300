//! The clock of governor on both sides of a comparison.

use governor::clock::{Clock as _, QuantaClock, QuantaInstant, Reference as _};
use tidegate_ratelimit::{Clock, Timestamp};

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

impl Clock for SameClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.nanos() / 1_000)
    }

    fn nanos(&self) -> u64 {
        self.0.now().duration_since(self.1).as_u64()
    }
}
