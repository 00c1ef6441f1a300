//! The counters of a series, once for each of few threads: who writes alone needs no locked instruction.

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::layout::{Layout, MOST_BUCKETS};
use crate::slot::{self, OWN};

/// What is counted beside the latencies: five status classes, aborted, and refused.
pub(crate) const TALLIES: usize = 7;

/// The copies of one series, built when a thread first needs its own.
#[derive(Debug)]
pub(crate) struct Stripes {
    own: [OnceLock<Box<Stripe>>; OWN],
    shared: OnceLock<Box<Stripe>>,
}

/// One copy, in one piece of memory that shares no cache line with another.
///
/// All counters wrap; who reads takes differences.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Stripe<B: ?Sized = [AtomicU32]> {
    sum_nanos: AtomicU64,
    tallies: [AtomicU32; TALLIES],
    buckets: B,
}

impl Stripes {
    pub(crate) fn new() -> Self {
        Self { own: [const { OnceLock::new() }; OWN], shared: OnceLock::new() }
    }

    /// Counts a sample, and in a tally if one is named, where this thread has counters of its own and there is such a bucket. Else it
    /// does nothing and says `false`.
    #[inline(always)]
    pub(crate) fn record_alone(&self, bucket: usize, nanos: u64, tally: Option<usize>) -> bool {
        let mine = self.own.get(slot::known()).and_then(OnceLock::get);
        mine.is_some_and(|mine| mine.record_alone(bucket, nanos, tally))
    }

    /// Counts a sample, and in a tally if one is named.
    pub(crate) fn record(&self, layout: &Layout, bucket: usize, nanos: u64, tally: Option<usize>) {
        match self.mine(layout) {
            Some(mine) => {
                mine.record_alone(bucket, nanos, tally);
            }
            None => self.shared(layout).record_among_others(bucket, nanos, tally),
        }
    }

    /// Counts without a sample.
    pub(crate) fn count(&self, layout: &Layout, tally: usize) {
        match self.mine(layout) {
            Some(mine) => mine.tally_alone(tally),
            None => self.shared(layout).tally_among_others(tally),
        }
    }

    fn mine(&self, layout: &Layout) -> Option<&Stripe> {
        Some(self.own[slot::claim()?].get_or_init(|| Stripe::boxed(layout.buckets())))
    }

    fn shared(&self, layout: &Layout) -> &Stripe {
        self.shared.get_or_init(|| Stripe::boxed(layout.buckets()))
    }

    /// Sums of all tallies, modulo 2³². Whatever was counted in them is found by a [`read`](Self::read) afterwards.
    pub(crate) fn tallies(&self) -> [u32; TALLIES] {
        let mut tallies = [0u32; TALLIES];
        for stripe in self.built() {
            for (total, tally) in tallies.iter_mut().zip(&stripe.tallies) {
                *total = total.wrapping_add(tally.load(Ordering::Acquire));
            }
        }
        tallies
    }

    /// Writes the counts of some buckets, from `first` on (modulo 2³²).
    pub(crate) fn read(&self, first: usize, counts: &mut [u32]) {
        let mut built = self.built();
        match built.next() {
            Some(stripe) => {
                for (count, bucket) in counts.iter_mut().zip(&stripe.buckets[first..]) {
                    *count = bucket.load(Ordering::Relaxed);
                }
            }
            None => counts.fill(0),
        }
        for stripe in built {
            for (count, bucket) in counts.iter_mut().zip(&stripe.buckets[first..]) {
                *count = count.wrapping_add(bucket.load(Ordering::Relaxed));
            }
        }
    }

    /// Adds the counts of pieces of the buckets to the sums they belong to (modulo 2³²).
    pub(crate) fn add_up<const N: usize>(
        &self,
        pieces: &(impl Iterator<Item = (usize, Range<usize>)> + Clone),
        sums: &mut [u32; N],
    ) {
        for stripe in self.built() {
            for (sum, buckets) in pieces.clone() {
                let counts = stripe.buckets[buckets].iter().map(|bucket| bucket.load(Ordering::Relaxed));
                sums[sum] = counts.fold(sums[sum], u32::wrapping_add);
            }
        }
    }

    /// The sum in nanoseconds (modulo 2⁶⁴).
    pub(crate) fn sum_nanos(&self) -> u64 {
        self.built().fold(0, |sum: u64, stripe| sum.wrapping_add(stripe.sum_nanos.load(Ordering::Relaxed)))
    }

    /// The memory of the copies built so far.
    pub(crate) fn bytes(&self) -> usize {
        self.built().map(size_of_val).sum()
    }

    fn built(&self) -> impl Iterator<Item = &Stripe> {
        self.own.iter().chain([&self.shared]).filter_map(OnceLock::get).map(|copy| &**copy)
    }

    /// Sets one bucket in every copy.
    #[cfg(test)]
    pub(crate) fn preset(&self, bucket: usize, count: u32) {
        for stripe in self.built() {
            stripe.buckets[bucket].store(count, Ordering::Relaxed);
        }
    }
}

impl Stripe {
    /// The sizes fill whole units of 128 bytes; a registry without thresholds of its own fits the first.
    fn boxed(buckets: usize) -> Box<Self> {
        match buckets {
            0..=2071 => Stripe::<[AtomicU32; 2071]>::empty(),
            2072..=2135 => Stripe::<[AtomicU32; 2135]>::empty(),
            2136..=4087 => Stripe::<[AtomicU32; 4087]>::empty(),
            _ => Stripe::<[AtomicU32; MOST_BUCKETS]>::empty(),
        }
    }

    /// By the one thread that writes here, so that nothing can come between a load and its store.
    #[inline(always)]
    fn record_alone(&self, bucket: usize, nanos: u64, tally: Option<usize>) -> bool {
        let Some(count) = self.buckets.get(bucket) else { return false };
        count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        let sum = &self.sum_nanos;
        sum.store(sum.load(Ordering::Relaxed).wrapping_add(nanos), Ordering::Relaxed);
        if let Some(tally) = tally {
            self.tally_alone(tally);
        }
        true
    }

    fn record_among_others(&self, bucket: usize, nanos: u64, tally: Option<usize>) {
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
        if let Some(tally) = tally {
            self.tally_among_others(tally);
        }
    }

    /// Last of all: whoever sees the tally sees the sample.
    #[inline(always)]
    fn tally_alone(&self, tally: usize) {
        let tally = &self.tallies[tally];
        tally.store(tally.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }

    fn tally_among_others(&self, tally: usize) {
        self.tallies[tally].fetch_add(1, Ordering::Release);
    }
}

impl<const N: usize> Stripe<[AtomicU32; N]> {
    fn empty() -> Box<Self> {
        Box::new(Self {
            sum_nanos: AtomicU64::new(0),
            tallies: [const { AtomicU32::new(0) }; TALLIES],
            buckets: [const { AtomicU32::new(0) }; N],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stripe_takes_at_most_8_2_kib() {
        let layout = Layout::default();
        let stripes = Stripes::new();
        slot::claim();
        let used = allocation_counter::measure(|| stripes.count(&layout, 0));
        assert!(used.bytes_max <= 8_396, "{} bytes", used.bytes_max);
        assert_eq!(stripes.bytes() as u64, used.bytes_max);
    }

    #[test]
    fn there_is_room_for_every_layout() {
        for buckets in [1, 2071, 2072, 2136, 4088, MOST_BUCKETS] {
            assert!(Stripe::boxed(buckets).buckets.len() >= buckets);
        }
    }

    /// More threads than slots, in waves: slots change hands while others record, and some threads share.
    #[test]
    fn a_slot_handed_over_loses_nothing() {
        const WAVES: u64 = 200;
        const THREADS: u64 = 12;
        const EACH: u64 = 500;
        let (stripes, layout) = (Stripes::new(), &Layout::new([]));
        std::thread::scope(|scope| {
            let chains: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let stripes = &stripes;
                    // Each link is a thread of its own, so that a slot is taken and given back for each.
                    scope.spawn(move || {
                        for _ in 0..WAVES {
                            let link =
                                || (0..EACH).for_each(|n| stripes.record(layout, (n % 8) as usize, thread, Some(1)));
                            std::thread::scope(|inner| inner.spawn(link).join()).unwrap();
                        }
                    })
                })
                .collect();
            chains.into_iter().for_each(|chain| chain.join().unwrap());
        });
        let mut counts = [0u32; 64];
        stripes.read(0, &mut counts);
        let all = WAVES * THREADS * EACH;
        assert_eq!(counts.iter().map(|&count| u64::from(count)).sum::<u64>(), all);
        assert_eq!(u64::from(stripes.tallies()[1]), all);
        assert_eq!(stripes.sum_nanos(), WAVES * EACH * (0..THREADS).sum::<u64>());
    }
}
