//! Calls of the last minutes.

/// How far back the readings look.
pub(super) const MINUTES: u64 = 5;
/// One more, so that the minute under way and five whole ones fit.
const SLOTS: usize = 6;

/// Calls by minute; a minute's place is taken again six minutes later, so that nothing has to rotate.
#[derive(Debug, Default)]
pub(super) struct Recent {
    slots: [Slot; SLOTS],
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    minute: u64,
    calls: u64,
    slow: u64,
}

impl Recent {
    pub(super) fn record(&mut self, at_unix_ms: u64, is_slow: bool) {
        let minute = minute_of(at_unix_ms);
        let slot = &mut self.slots[place(minute)];
        if slot.minute != minute {
            *slot = Slot { minute, ..Slot::default() };
        }
        slot.calls += 1;
        slot.slow += u64::from(is_slow);
    }

    /// Calls and slow calls of this minute and the five before it. What a clock that was set back has left in the future is not counted.
    pub(super) fn read(&self, now_unix_ms: u64) -> (u64, u64) {
        let now = minute_of(now_unix_ms);
        let recent = self.slots.iter().filter(|slot| (now.saturating_sub(MINUTES)..=now).contains(&slot.minute));
        recent.fold((0, 0), |(calls, slow), slot| (calls + slot.calls, slow + slot.slow))
    }
}

fn minute_of(unix_ms: u64) -> u64 {
    unix_ms / 60_000
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
            recent.record(minute * 60_000, minute % 2 == 0);
        }
        assert_eq!(recent.read(109 * 60_000 + 59_999), (6, 3));
        assert_eq!(recent.read(112 * 60_000), (3, 1));
        assert_eq!(recent.read(200 * 60_000), (0, 0));
        assert_eq!(recent.read(50 * 60_000), (0, 0));
    }
}
