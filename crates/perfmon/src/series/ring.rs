//! The last seconds, minutes or hours of a series.

use std::collections::VecDeque;
use std::time::Duration;

use crate::histogram::layout::Layout;
use crate::histogram::stripe::TALLIES;
use crate::series::delta::Delta;
use crate::series::interval::Interval;
use crate::series::sealed;
use crate::series::slot::Slot;
use crate::series::unit::Unit;

/// The running unit and the last `length` before it. These are sealed one after the other in one
/// piece of memory.
///
/// The first unit with data decides the size of that piece: its size for each unit of the ring, and
/// a quarter more. So a ring of 24 hours takes its memory after one hour, does not grow for a day,
/// and allocates no more while traffic stays the same.
#[derive(Debug)]
pub(crate) struct Ring {
    unit_secs: u64,
    length: u64,
    running: Unit,
    passed: VecDeque<Passed>,
    room: VecDeque<u8>,
}

/// A unit that is over. Its data is in the room, after that of the units before it.
#[derive(Debug)]
struct Passed {
    turn: u64,
    span: Duration,
    bytes: usize,
}

impl Ring {
    pub(crate) fn new(unit_secs: u64, length: u8) -> Self {
        Self {
            unit_secs,
            length: length.into(),
            running: Unit::default(),
            passed: VecDeque::with_capacity(usize::from(length) + 1),
            room: VecDeque::new(),
        }
    }

    /// Files a delta under the unit that contains `elapsed`. A gap of any length costs as much as
    /// one unit.
    pub(crate) fn add(&mut self, elapsed: Duration, delta: &Delta) {
        let turn = self.turn(elapsed);
        if self.running.turn != turn {
            self.pass(turn);
        }
        self.running.add(delta);
    }

    /// Adds up the running unit and the `units` before it.
    pub(crate) fn add_to(&self, elapsed: Duration, units: u8, interval: &mut Interval) {
        let last = self.turn(elapsed);
        let first = last.saturating_sub(u64::from(units.max(1)).min(self.length));
        let mut at = 0;
        for passed in &self.passed {
            let end = at + passed.bytes;
            if (first..=last).contains(&passed.turn) {
                sealed::add_to(interval, self.room.range(at..end).copied());
                interval.covered += passed.span;
            }
            at = end;
        }
        if (first..=last).contains(&self.running.turn) {
            self.running.add_to(interval);
        }
    }

    /// Adds each unit to its slot: the running one to the last, those before it to those before.
    pub(crate) fn add_to_slots(&self, elapsed: Duration, layout: &Layout, slots: &mut [Slot]) {
        let last = self.turn(elapsed);
        let units = slots.len();
        let place = |turn: u64| {
            let ago = usize::try_from(last.checked_sub(turn)?).ok()?;
            units.checked_sub(ago + 1)
        };
        let mut at = 0;
        for passed in &self.passed {
            let end = at + passed.bytes;
            if let Some(slot) = place(passed.turn).map(|place| &mut slots[place]) {
                let mut tallies = [0; TALLIES];
                let bytes = self.room.range(at..end).copied();
                sealed::read(bytes, &mut tallies, |bucket, count| slot.add_bucket(layout, bucket, count));
                slot.add_tallies(&tallies, passed.span);
            }
            at = end;
        }
        if let Some(slot) = place(self.running.turn).map(|place| &mut slots[place]) {
            self.running.add_to_slot(layout, slot);
        }
    }

    /// The memory it has taken.
    pub(crate) fn bytes(&self) -> usize {
        self.room.capacity() + self.passed.capacity() * size_of::<Passed>() + self.running.bytes()
    }

    /// Seals the running unit and begins another.
    fn pass(&mut self, turn: u64) {
        while let Some(oldest) = self.passed.front() {
            if oldest.turn + self.length >= turn {
                break;
            }
            self.room.drain(..oldest.bytes);
            self.passed.pop_front();
        }
        if self.running.turn + self.length >= turn {
            let mut bytes = Vec::new();
            self.running.seal(&mut bytes);
            self.make_room(bytes.len());
            self.room.extend(&bytes);
            self.passed.push_back(Passed { turn: self.running.turn, span: self.running.span, bytes: bytes.len() });
        }
        self.running.restart(turn);
    }

    fn make_room(&mut self, bytes: usize) {
        if self.room.len() + bytes <= self.room.capacity() {
            return;
        }
        if self.room.capacity() > 0 {
            // More traffic than before: a quarter more each time, rather than twice as much.
            self.room.reserve_exact(bytes + self.room.capacity() / 4);
            return;
        }
        let units = usize::try_from(self.length).unwrap_or(usize::MAX);
        let wanted = bytes.saturating_mul(units).saturating_mul(5) / 4;
        self.room.reserve_exact(wanted);
        // Written to once, so that the machine gives it now and not in the course of a day.
        self.room.resize(wanted, 0);
        self.room.clear();
    }

    fn turn(&self, elapsed: Duration) -> u64 {
        elapsed.as_secs() / self.unit_secs
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn sum(ring: &Ring, elapsed: Duration, units: u8) -> Interval {
        let mut interval = Interval::empty(Arc::new(Layout::new([])));
        ring.add_to(elapsed, units, &mut interval);
        interval
    }

    #[test]
    fn a_full_bucket_goes_on_in_a_second_entry() {
        let mut ring = Ring::new(3600, 24);
        let delta = Delta { buckets: vec![(3, 7), (5, u32::MAX), (9, 1)], ..Delta::default() };
        for _ in 0..3 {
            ring.add(Duration::ZERO, &delta);
        }
        let next = Duration::from_secs(3600);
        for elapsed in [Duration::ZERO, next] {
            ring.add(elapsed, &Delta::default());
            let latency = sum(&ring, elapsed, 1).latency;
            let at_most = |nanos| latency.at_most(Duration::from_nanos(nanos));
            assert_eq!((at_most(3), latency.over(Duration::from_nanos(8))), (21, 3));
            assert_eq!(at_most(8) - at_most(3), 3 * u64::from(u32::MAX));
        }
    }

    /// Unlike a ring that grows on demand, this ring shows a day's memory after an hour.
    #[test]
    fn a_ring_takes_its_room_at_once_and_keeps_to_it() {
        let mut ring = Ring::new(3600, 24);
        let hour = |ring: &mut Ring, hour: u64| {
            let buckets = (0..300).map(|n| (n * 3, 1 + (n * 7 + u32::try_from(hour).unwrap()) % 90)).collect();
            let delta = Delta { buckets, tallies: [1, 300, 0, 0, 1, 0, 0], ..Delta::default() };
            ring.add(Duration::from_secs(hour * 3600), &delta);
        };
        hour(&mut ring, 0);
        hour(&mut ring, 1);
        let after_one = ring.bytes();
        for n in 2..200 {
            hour(&mut ring, n);
        }
        assert_eq!(ring.bytes(), after_one);
        let day = sum(&ring, Duration::from_secs(199 * 3600), 24);
        assert_eq!(day.tallies[1], 25 * 300);
    }

    #[test]
    fn more_traffic_takes_more_room_and_loses_nothing() {
        let mut ring = Ring::new(1, 60);
        let mut expected = 0;
        for second in 0u64..61 {
            let buckets = (0..u32::try_from(second).unwrap() * 10).map(|n| (n, 1)).collect();
            ring.add(Duration::from_secs(second), &Delta { buckets, ..Delta::default() });
            expected += second * 10;
        }
        assert_eq!(sum(&ring, Duration::from_secs(60), 60).latency.count(), expected);
    }

    #[test]
    fn silence_takes_no_room() {
        let mut ring = Ring::new(1, 60);
        for second in 0..1_000 {
            ring.add(Duration::from_secs(second), &Delta { span: Duration::from_secs(1), ..Delta::default() });
        }
        assert_eq!(ring.room.capacity(), 0);
        assert_eq!(sum(&ring, Duration::from_secs(999), 60).covered, Duration::from_secs(61));
    }
}
