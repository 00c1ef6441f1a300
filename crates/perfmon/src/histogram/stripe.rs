//! The counters of a series, once for each of a few threads: a single writer needs no locked
//! instruction.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::histogram::layout::{EXPOSED, Layout, MOST_BUCKETS, Place};
use crate::histogram::slot::{self, OWN};

/// The number of counters beside the latencies: five status classes, aborted, and refused.
pub(crate) const TALLIES: usize = 7;

/// Slots for the ranges between exposed bounds. It is a power of two, so that finding a range needs
/// no comparison.
const RANGES: usize = (EXPOSED + 1).next_power_of_two();

/// The copies of one series, built when a thread first needs its own.
#[derive(Debug, Default)]
pub(crate) struct Stripes {
    own: [OnceLock<Box<Stripe>>; OWN],
    shared: OnceLock<Box<Stripe>>,
}

/// One copy, in one piece of memory that shares no cache line with another.
///
/// All counters wrap; readers take differences.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Stripe<B: ?Sized = [AtomicU32]> {
    sum_nanos: AtomicU64,
    tallies: [AtomicU32; TALLIES],
    /// The samples between the exposed bounds, so that a scrape need not add up buckets.
    ranges: [AtomicU32; RANGES],
    buckets: B,
}

impl Stripes {
    /// Counts a sample, also in a tally if one is given, if this thread has counters of its own and
    /// the bucket exists. Otherwise does nothing and returns `false`.
    #[inline(always)]
    pub(crate) fn record_alone(&self, place: Place, nanos: u64, tally: Option<usize>) -> bool {
        let mine = self.own.get(slot::known()).and_then(OnceLock::get);
        mine.is_some_and(|mine| mine.record_alone(place, nanos, tally))
    }

    /// Counts a sample, and in a tally if one is named.
    pub(crate) fn record(&self, layout: &Layout, place: Place, nanos: u64, tally: Option<usize>) {
        match self.mine(layout) {
            Some(mine) => {
                mine.record_alone(place, nanos, tally);
            }
            None => self.shared(layout).record_among_others(place, nanos, tally),
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

    /// Returns the sums of all tallies, modulo 2³². Later calls of [`ranges`](Self::ranges) and
    /// [`read`](Self::read) find every sample that these have counted.
    pub(crate) fn tallies(&self) -> [u32; TALLIES] {
        self.sums(|stripe| &stripe.tallies, Ordering::Acquire)
    }

    /// The samples between the exposed bounds (modulo 2³²).
    pub(crate) fn ranges(&self) -> [u32; EXPOSED + 1] {
        self.sums(|stripe| &stripe.ranges, Ordering::Relaxed)
    }

    /// The sums of the first `N` of such counters over all copies.
    fn sums<const N: usize>(&self, counters: impl Fn(&Stripe) -> &[AtomicU32], ordering: Ordering) -> [u32; N] {
        let mut sums = [0u32; N];
        for stripe in self.built() {
            for (sum, counter) in sums.iter_mut().zip(counters(stripe)) {
                *sum = sum.wrapping_add(counter.load(ordering));
            }
        }
        sums
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

    /// Sets one bucket in every copy, and what lies between the same exposed bounds.
    #[cfg(test)]
    pub(crate) fn preset(&self, place: Place, count: u32) {
        for stripe in self.built() {
            stripe.buckets[place.bucket].store(count, Ordering::Relaxed);
            stripe.ranges[place.between].store(count, Ordering::Relaxed);
        }
    }
}

impl Stripe {
    /// The sizes fill whole units of 64 bytes. A registry without thresholds of its own fits the
    /// first size.
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
    fn record_alone(&self, place: Place, nanos: u64, tally: Option<usize>) -> bool {
        let Some(count) = self.buckets.get(place.bucket) else { return false };
        count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        // The remainder changes nothing, and spares a comparison.
        let range = &self.ranges[place.between % RANGES];
        range.store(range.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        let sum = &self.sum_nanos;
        sum.store(sum.load(Ordering::Relaxed).wrapping_add(nanos), Ordering::Relaxed);
        if let Some(tally) = tally {
            self.tally_alone(tally);
        }
        true
    }

    fn record_among_others(&self, place: Place, nanos: u64, tally: Option<usize>) {
        self.buckets[place.bucket].fetch_add(1, Ordering::Relaxed);
        self.ranges[place.between].fetch_add(1, Ordering::Relaxed);
        self.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
        if let Some(tally) = tally {
            self.tally_among_others(tally);
        }
    }

    /// Last of all: a reader that sees the tally sees the sample.
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
            ranges: [const { AtomicU32::new(0) }; RANGES],
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
        let stripes = Stripes::default();
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

    /// More threads than slots, in waves: slots change hands while other threads record, and some
    /// threads share.
    #[test]
    fn a_slot_handed_over_loses_nothing() {
        const WAVES: u64 = 200;
        const THREADS: u64 = 12;
        const EACH: u64 = 500;
        let (stripes, layout) = (Stripes::default(), &Layout::new([]));
        let place = |n: u64| Place { bucket: (n % 8) as usize, between: (n % 3) as usize };
        std::thread::scope(|scope| {
            let chains: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let stripes = &stripes;
                    // Each step of the chain is a thread of its own, so that it takes a slot and
                    // gives it back.
                    scope.spawn(move || {
                        for _ in 0..WAVES {
                            let link = || (0..EACH).for_each(|n| stripes.record(layout, place(n), thread, Some(1)));
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
        assert_eq!(stripes.ranges().iter().map(|&count| u64::from(count)).sum::<u64>(), all);
        assert_eq!(u64::from(stripes.tallies()[1]), all);
        assert_eq!(stripes.sum_nanos(), WAVES * EACH * (0..THREADS).sum::<u64>());
    }
}
