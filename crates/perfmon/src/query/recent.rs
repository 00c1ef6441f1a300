//! Calls of the last minutes.

use std::time::Duration;

/// How far back the readings look.
pub(super) const MINUTES: u64 = 5;
/// This many slow calls within a minute are more than an outlier, however rarely the shape runs.
pub(super) const BURST: usize = 3;
const MINUTE: Duration = Duration::from_secs(60);
/// One more, so that the minute under way and five whole ones fit.
const SLOTS: usize = 6;

/// Calls by minute. The slot of a minute is reused six minutes later, so nothing needs to be
/// rotated. The clock must never be set back.
#[derive(Debug, Default)]
pub(super) struct Recent {
    slots: [Slot; SLOTS],
    /// When the last slow calls were, the newest last.
    slow_at: [Option<Duration>; BURST],
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    minute: u64,
    calls: u64,
    slow: u64,
}

/// Calls, and how many of them were slow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Calls {
    pub(super) calls: u64,
    pub(super) slow: u64,
}

impl Recent {
    pub(super) fn record(&mut self, now: Duration, is_slow: bool) {
        let minute = minute_of(now);
        let slot = &mut self.slots[place(minute)];
        if slot.minute != minute {
            *slot = Slot { minute, ..Slot::default() };
        }
        slot.calls += 1;
        slot.slow += u64::from(is_slow);
        if is_slow {
            self.slow_at.rotate_left(1);
            self.slow_at[BURST - 1] = Some(now);
        }
    }

    /// Returns the calls of this minute and the five before it.
    pub(super) fn lately(&self, now: Duration) -> Calls {
        self.since(now, MINUTES)
    }

    /// Returns the calls of this minute and the two before it, if the last [`BURST`] slow calls
    /// came within a minute, and the last of them at most a minute ago.
    pub(super) fn burst(&self, now: Duration) -> Option<Calls> {
        let [Some(first), .., Some(last)] = self.slow_at else { return None };
        let within = |from: Duration, to: Duration| to.saturating_sub(from) <= MINUTE;
        (within(first, last) && within(last, now)).then(|| self.since(now, 2))
    }

    fn since(&self, now: Duration, minutes: u64) -> Calls {
        let now = minute_of(now);
        let recent = self.slots.iter().filter(|slot| (now.saturating_sub(minutes)..=now).contains(&slot.minute));
        recent.fold(Calls::default(), |sum, slot| Calls { calls: sum.calls + slot.calls, slow: sum.slow + slot.slow })
    }
}

fn minute_of(time: Duration) -> u64 {
    time.as_secs() / MINUTE.as_secs()
}

#[expect(clippy::cast_possible_truncation, reason = "below SLOTS")]
fn place(minute: u64) -> usize {
    (minute % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_minutes_are_remembered_and_no_more() {
        let mut recent = Recent::default();
        for minute in 100..110 {
            recent.record(MINUTE * minute, minute % 2 == 0);
        }
        let lately = |minute: u32, millis| {
            let Calls { calls, slow } = recent.lately(MINUTE * minute + Duration::from_millis(millis));
            (calls, slow)
        };
        assert_eq!(lately(109, 59_999), (6, 3));
        assert_eq!(lately(112, 0), (3, 1));
        assert_eq!(lately(200, 0), (0, 0));
    }

    #[test]
    fn three_slow_ones_within_a_minute_are_a_burst_for_a_minute() {
        let secs = Duration::from_secs;
        let mut recent = Recent::default();
        for (at, is_slow) in [(100, true), (130, false), (131, true)] {
            recent.record(secs(at), is_slow);
            assert_eq!(recent.burst(secs(at)), None);
        }
        recent.record(secs(161), true);
        assert_eq!(recent.burst(secs(161)), None, "the first was 61 s before");
        recent.record(secs(191), true);
        assert_eq!(recent.burst(secs(191)), Some(Calls { calls: 5, slow: 4 }));
        assert!(recent.burst(secs(251)).is_some());
        assert_eq!(recent.burst(secs(252)), None, "it is over");
    }
}
