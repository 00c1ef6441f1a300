//! Rings of window slots, filled by ticks.

use std::time::Duration;

use crate::stripe::TALLIES;

/// The difference between two readings of a series.
#[derive(Debug, Default)]
pub(crate) struct Delta {
    /// `(bucket, count)` of the buckets that changed, ascending.
    pub(crate) buckets: Vec<(u32, u32)>,
    pub(crate) sum_nanos: u64,
    pub(crate) tallies: [u64; TALLIES],
    pub(crate) span: Duration,
}

/// One second, minute or hour.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    /// Which unit since the start this slot holds; slots of passed turns are recognised by it.
    turn: u64,
    /// Ascending by bucket. A bucket whose 32 bits are full goes on in a second entry.
    buckets: Vec<(u32, u32)>,
    sum_nanos: u128,
    tallies: [u64; TALLIES],
    /// The time that the ticks filed here stand for.
    span: Duration,
}

impl Slot {
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.buckets.iter().map(|&(bucket, count)| (bucket as usize, u64::from(count)))
    }

    pub(crate) fn sum_nanos(&self) -> u128 {
        self.sum_nanos
    }

    pub(crate) fn tallies(&self) -> &[u64; TALLIES] {
        &self.tallies
    }

    pub(crate) fn span(&self) -> Duration {
        self.span
    }

    fn restart(&mut self, turn: u64) {
        self.turn = turn;
        self.buckets.clear();
        self.sum_nanos = 0;
        self.tallies = [0; TALLIES];
        self.span = Duration::ZERO;
    }

    fn add(&mut self, delta: &Delta) {
        for &(bucket, count) in &delta.buckets {
            // The last entry of a bucket is the one that isn't full.
            let after = self.buckets.partition_point(|&(held, _)| held <= bucket);
            match after.checked_sub(1).map(|at| &mut self.buckets[at]) {
                Some((held, total)) if *held == bucket => match total.checked_add(count) {
                    Some(sum) => *total = sum,
                    None => self.buckets.insert(after, (bucket, count)),
                },
                _ => self.buckets.insert(after, (bucket, count)),
            }
        }
        self.sum_nanos += u128::from(delta.sum_nanos);
        for (mine, more) in self.tallies.iter_mut().zip(delta.tallies) {
            *mine += more;
        }
        self.span += delta.span;
    }
}

/// The last `length` whole units and the running one.
#[derive(Debug)]
pub(crate) struct Ring {
    unit_secs: u64,
    slots: Box<[Slot]>,
}

impl Ring {
    pub(crate) fn new(unit_secs: u64, length: u8) -> Self {
        Self { unit_secs, slots: (0..=length).map(|_| Slot::default()).collect() }
    }

    /// Files a delta under the unit that `elapsed` lies in. Slots are cleared when their turn comes round again, so a
    /// gap of any length costs nothing.
    pub(crate) fn add(&mut self, elapsed: Duration, delta: &Delta) {
        let turn = self.turn(elapsed);
        let length = self.slots.len() as u64;
        #[expect(clippy::cast_possible_truncation, reason = "a remainder of the slice's length")]
        let slot = &mut self.slots[(turn % length) as usize];
        if slot.turn != turn {
            slot.restart(turn);
        }
        slot.add(delta);
    }

    /// The slots of the running unit and the `units` before it.
    pub(crate) fn recent(&self, elapsed: Duration, units: u8) -> impl Iterator<Item = &Slot> {
        let last = self.turn(elapsed);
        let units = u64::from(units.max(1)).min(self.slots.len() as u64 - 1);
        let first = last.saturating_sub(units);
        self.slots.iter().filter(move |slot| (first..=last).contains(&slot.turn))
    }

    fn turn(&self, elapsed: Duration) -> u64 {
        elapsed.as_secs() / self.unit_secs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_bucket_goes_on_in_a_second_entry() {
        let mut ring = Ring::new(3600, 24);
        let delta = Delta { buckets: vec![(3, 7), (5, u32::MAX), (9, 1)], ..Delta::default() };
        for _ in 0..3 {
            ring.add(Duration::ZERO, &delta);
        }
        let mut totals = [0; 10];
        let mut order = Vec::new();
        for (bucket, count) in ring.recent(Duration::ZERO, 1).flat_map(Slot::buckets) {
            totals[bucket] += count;
            order.push(bucket);
        }
        assert_eq!((totals[3], totals[5], totals[9]), (21, 3 * u64::from(u32::MAX), 3));
        assert!(order.is_sorted());
    }
}
