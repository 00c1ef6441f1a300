//! Sequences of keys as services request them, by which eviction policies can be distinguished. The
//! same in every run.

use crate::order::{SplitMix, Zipf};

/// The keys that a cache is queried for, one after the other, and its capacity.
pub struct Trace {
    /// Name in the table.
    pub name: &'static str,
    /// Entries that the cache may hold.
    pub capacity: usize,
    /// The keys in turn.
    pub keys: Vec<u32>,
}

const LENGTH: u32 = 1_000_000;

impl Trace {
    /// All of them.
    pub fn all() -> Vec<Self> {
        vec![
            Self::zipf("Zipf 1.0", 1.0, 10_000),
            Self::zipf("Zipf 1.0, tight", 1.0, 1_000),
            Self::zipf("Zipf 0.7", 0.7, 50_000),
            Self::looping(),
            Self::scanned(),
            Self::shifting(),
            Self::drifting(),
        ]
    }

    /// A million keys. Few are requested often, and most hardly ever.
    fn zipf(name: &'static str, exponent: f64, capacity: usize) -> Self {
        let (zipf, mut random) = (Zipf::new(1_000_000, exponent), SplitMix::new(11));
        Self { name, capacity, keys: (0..LENGTH).map(|_| zipf.draw(&mut random)).collect() }
    }

    /// A thousand keys, repeated in the same order: a report, a scheduler's round. The cache holds
    /// half of them.
    fn looping() -> Self {
        let keys = (0..1000).cycle().take(LENGTH as usize).collect();
        Self { name: "loop", capacity: 500, keys }
    }

    /// Zipf's law over 100,000 keys, and after every 50,000 accesses 20,000 keys that are requested
    /// only once: an export, a crawler.
    fn scanned() -> Self {
        let (zipf, mut random) = (Zipf::new(100_000, 1.0), SplitMix::new(12));
        let mut keys = Vec::with_capacity(LENGTH as usize);
        let mut fresh = 100_000;
        while keys.len() < LENGTH as usize {
            keys.extend((0..50_000).map(|_| zipf.draw(&mut random)));
            keys.extend(fresh..fresh + 20_000);
            fresh += 20_000;
        }
        keys.truncate(LENGTH as usize);
        Self { name: "scan", capacity: 5_000, keys }
    }

    /// Zipf's law over 100,000 keys, all of which are replaced after every 100,000 accesses: the
    /// next sale, the next day.
    fn shifting() -> Self {
        let (zipf, mut random) = (Zipf::new(100_000, 1.0), SplitMix::new(13));
        let keys = (0..LENGTH).map(|at| at / 100_000 * 100_000 + zipf.draw(&mut random)).collect();
        Self { name: "shift, at once", capacity: 5_000, keys }
    }

    /// Zipf's law over the latest 100,000 keys, of which one is new with every tenth access: news,
    /// messages.
    fn drifting() -> Self {
        let (zipf, mut random) = (Zipf::new(100_000, 1.0), SplitMix::new(14));
        let keys = (0..LENGTH).map(|at| 100_000 + at / 10 - zipf.rank(&mut random)).collect();
        Self { name: "shift, steadily", capacity: 5_000, keys }
    }

    /// Returns the best possible hit ratio of a cache of this capacity. It evicts the key whose
    /// next use is the furthest away (Bélády 1966), and does not store a new key that is requested
    /// later than all that it holds.
    pub fn optimum(&self) -> f64 {
        let mut next_use = vec![usize::MAX; self.keys.len()];
        let mut later = std::collections::HashMap::new();
        for (at, key) in self.keys.iter().enumerate().rev() {
            next_use[at] = later.insert(*key, at).unwrap_or(usize::MAX);
        }
        // The held keys by their next use. The position in the trace distinguishes keys that are
        // never requested again.
        let mut held = std::collections::BTreeSet::new();
        let mut by_key = std::collections::HashMap::new();
        let mut hits = 0;
        for (at, key) in self.keys.iter().enumerate() {
            if let Some(entry) = by_key.remove(key) {
                held.remove(&entry);
                hits += 1;
            }
            let entry = (next_use[at], at);
            held.insert(entry);
            by_key.insert(*key, entry);
            if held.len() > self.capacity
                && let Some((_, at)) = held.pop_last()
            {
                by_key.remove(&self.keys[at]);
            }
        }
        f64::from(hits) / self.keys.len() as f64
    }

    /// Returns the hit ratio of this cache: it is queried for each key in turn, and stores each
    /// missing one.
    pub fn hit_ratio<C>(
        &self,
        mut cache: C,
        mut holds: impl FnMut(&mut C, u32) -> bool,
        mut give: impl FnMut(&mut C, u32),
    ) -> f64 {
        let mut hits = 0;
        for key in &self.keys {
            if holds(&mut cache, *key) {
                hits += 1;
            } else {
                give(&mut cache, *key);
            }
        }
        f64::from(hits) / self.keys.len() as f64
    }
}
