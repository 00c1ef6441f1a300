//! Clock readings made into time that only goes forward.

use std::time::Duration;

/// More than any window holds: a longer gap empties them all anyway.
const LONGEST_STEP: Duration = Duration::from_secs(48 * 3600);

/// Adds up the forward steps of a clock. A step back counts as none, a huge one as
/// [`LONGEST_STEP`]. After either, time goes on normally: one wild reading cannot freeze the
/// windows.
#[derive(Debug)]
pub(crate) struct Timeline {
    last_reading: Duration,
    elapsed: Duration,
}

impl Timeline {
    pub(crate) fn starting_at(reading: Duration) -> Self {
        Self { last_reading: reading, elapsed: Duration::ZERO }
    }

    /// Takes in a reading and returns the time elapsed.
    pub(crate) fn advance(&mut self, reading: Duration) -> Duration {
        let step = reading.saturating_sub(self.last_reading);
        self.last_reading = reading;
        self.elapsed += step.min(LONGEST_STEP);
        self.elapsed
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.elapsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_wild_readings() {
        let secs = Duration::from_secs;
        let mut time = Timeline::starting_at(secs(100));
        assert_eq!(time.advance(secs(101)), secs(1));
        assert_eq!(time.advance(secs(40)), secs(1));
        assert_eq!(time.advance(secs(42)), secs(3));
        assert_eq!(time.advance(Duration::MAX), secs(3) + LONGEST_STEP);
        assert_eq!(time.advance(secs(43)), secs(3) + LONGEST_STEP);
        assert_eq!(time.advance(secs(44)), secs(4) + LONGEST_STEP);
        assert_eq!(time.elapsed(), secs(4) + LONGEST_STEP);
    }
}
