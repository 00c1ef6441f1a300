//! A unit that is over, in few bytes.
//!
//! Numbers have seven bits a byte, the lowest first, and the top bit means "more follows" (LEB128).
//! They are the sum, the tallies, and for each bucket the distance to the one before and its count.
//! Most of them take one byte, so a bucket takes two or three.

use crate::histogram::stripe::TALLIES;
use crate::series::interval::Interval;

pub(crate) fn write(into: &mut Vec<u8>, sum_nanos: u128, tallies: &[u64; TALLIES], buckets: &[(u32, u32)]) {
    number(into, sum_nanos);
    tallies.iter().for_each(|&tally| number(into, tally.into()));
    let mut last = 0;
    for &(bucket, count) in buckets {
        number(into, (bucket - last).into());
        number(into, count.into());
        last = bucket;
    }
}

/// Adds what was written to an interval. Of no bytes it adds nothing.
pub(crate) fn add_to(interval: &mut Interval, bytes: impl Iterator<Item = u8>) {
    let Interval { latency, tallies, .. } = interval;
    let sum_nanos = read(bytes, tallies, |bucket, count| latency.add(bucket, count));
    latency.add_sum(sum_nanos);
}

/// Adds the tallies that were written, calls `each` with each bucket and its count, and returns the
/// sum. Without bytes there is nothing.
pub(crate) fn read(
    bytes: impl Iterator<Item = u8>,
    tallies: &mut [u64; TALLIES],
    mut each: impl FnMut(usize, u64),
) -> u128 {
    let mut numbers = Numbers(bytes);
    let Some(sum_nanos) = numbers.next() else { return 0 };
    for (total, tally) in tallies.iter_mut().zip(&mut numbers) {
        *total += low(tally);
    }
    let mut bucket = 0;
    while let (Some(distance), Some(count)) = (numbers.next(), numbers.next()) {
        bucket += low(distance);
        #[expect(clippy::cast_possible_truncation, reason = "an index of a slice")]
        each(bucket as usize, low(count));
    }
    sum_nanos
}

#[expect(clippy::cast_possible_truncation, reason = "the low seven bits")]
fn number(into: &mut Vec<u8>, mut number: u128) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

/// Only sums are wider than 64 bits.
#[expect(clippy::cast_possible_truncation, reason = "written from 64 bits or less")]
fn low(number: u128) -> u64 {
    number as u64
}

struct Numbers<I>(I);

impl<I: Iterator<Item = u8>> Iterator for Numbers<I> {
    type Item = u128;

    fn next(&mut self) -> Option<u128> {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.0.next()?;
            number |= u128::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
            shift += 7;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::histogram::layout::Layout;

    proptest! {
        #[test]
        fn written_numbers_are_read_back(
            sum in prop_oneof![any::<u128>(), 0u128..1_000],
            tallies in any::<[u64; TALLIES]>(),
            buckets in prop::collection::btree_map(0u32..2_000, any::<u32>(), 0..50),
        ) {
            let buckets: Vec<(u32, u32)> = buckets.into_iter().collect();
            let mut bytes = Vec::new();
            write(&mut bytes, sum, &tallies, &buckets);
            let mut interval = Interval::empty(Arc::new(Layout::default()));
            add_to(&mut interval, bytes.into_iter());
            prop_assert_eq!(interval.tallies, tallies);
            let mut expected = Interval::empty(Arc::new(Layout::default()));
            expected.latency.add_sum(sum);
            for &(bucket, count) in &buckets {
                expected.latency.add(bucket as usize, count.into());
            }
            prop_assert_eq!(interval.latency.count(), expected.latency.count());
            prop_assert_eq!(interval.latency.sum(), expected.latency.sum());
            for percent in 0..=100 {
                let q = f64::from(percent) / 100.0;
                prop_assert_eq!(interval.latency.quantile(q), expected.latency.quantile(q));
            }
        }
    }
}
