//! Which parts of a histogram are used.

use std::ops::Range;

use crate::series::delta::Delta;

/// Ticks after which a group that nothing came to is forgotten.
const TURN: u8 = 60;

/// The buckets in at most 64 groups of neighbours, and which of them were used in the last ticks.
#[derive(Debug)]
pub(crate) struct Groups {
    buckets: usize,
    used: u64,
    /// Used in the running turn.
    fresh: u64,
    ticks: u8,
}

impl Groups {
    pub(crate) fn new(buckets: usize) -> Self {
        Self { buckets, used: 0, fresh: 0, ticks: 0 }
    }

    pub(crate) fn note(&mut self, delta: &Delta) {
        let size = self.size();
        let fresh = delta.buckets.iter().fold(0, |fresh, &(bucket, _)| fresh | 1 << (bucket as usize / size));
        self.fresh |= fresh;
        self.used |= fresh;
        self.ticks += 1;
        if self.ticks == TURN {
            (self.used, self.fresh, self.ticks) = (self.fresh, 0, 0);
        }
    }

    /// The buckets of the groups that were used, ascending.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (groups, size, buckets) = (self.used, self.size(), self.buckets);
        (0..64).filter(move |group| groups >> group & 1 == 1).map(move |group: usize| {
            let first = (group * size).min(buckets);
            first..(first + size).min(buckets)
        })
    }

    fn size(&self) -> usize {
        self.buckets.div_ceil(64)
    }
}
