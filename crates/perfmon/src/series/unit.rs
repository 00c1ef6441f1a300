//! The second, minute or hour that is running.

use std::time::Duration;

use crate::histogram::layout::Layout;
use crate::histogram::stripe::TALLIES;
use crate::series::delta::Delta;
use crate::series::interval::Interval;
use crate::series::sealed;
use crate::series::slot::Slot;

/// The counts that ticks have filed under one unit so far.
#[derive(Debug, Default)]
pub(crate) struct Unit {
    /// Which unit since the start this is.
    pub(crate) turn: u64,
    /// Ascending by bucket. A bucket whose 32 bits are full goes on in a second entry.
    buckets: Vec<(u32, u32)>,
    sum_nanos: u128,
    tallies: [u64; TALLIES],
    /// The time that the ticks filed here stand for.
    pub(crate) span: Duration,
}

impl Unit {
    /// Begins another; keeps its room.
    pub(crate) fn restart(&mut self, turn: u64) {
        self.turn = turn;
        self.buckets.clear();
        self.sum_nanos = 0;
        self.tallies = [0; TALLIES];
        self.span = Duration::ZERO;
    }

    pub(crate) fn add(&mut self, delta: &Delta) {
        for &(bucket, count) in &delta.buckets {
            if self.buckets.len() == self.buckets.capacity() {
                // A quarter more rather than twice as much: every series has three of these.
                self.buckets.reserve_exact(self.buckets.len() / 4 + 8);
            }
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

    pub(crate) fn add_to(&self, interval: &mut Interval) {
        for &(bucket, count) in &self.buckets {
            interval.latency.add(bucket as usize, u64::from(count));
        }
        interval.latency.add_sum(self.sum_nanos);
        for (total, tally) in interval.tallies.iter_mut().zip(self.tallies) {
            *total += tally;
        }
        interval.covered += self.span;
    }

    pub(crate) fn add_to_slot(&self, layout: &Layout, slot: &mut Slot) {
        for &(bucket, count) in &self.buckets {
            slot.add_bucket(layout, bucket as usize, count.into());
        }
        slot.add_tallies(&self.tallies, self.span);
    }

    /// Writes everything but turn and span in few bytes; nothing at all where nothing was counted.
    pub(crate) fn seal(&self, into: &mut Vec<u8>) {
        if !self.buckets.is_empty() || self.tallies.iter().any(|&tally| tally > 0) {
            sealed::write(into, self.sum_nanos, &self.tallies, &self.buckets);
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.buckets.capacity() * size_of::<(u32, u32)>()
    }
}
