//! Content of L1 for an operator: never a value.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::tiered::TieredCache;
use tidegate_cache_tiers::{
    Key, Pattern,
    slot::{Slot, State},
    tiers::Tiers,
};

/// An entry of L1, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspected {
    /// Its key.
    pub key: Key,
    /// The class that it was filled in.
    pub class: &'static str,
    /// Time for which this process still serves it as fresh. `None` if it is stale.
    pub fresh_for: Option<Duration>,
    /// Weight, in entries or bytes.
    pub weight: u64,
}

impl TieredCache {
    /// Returns the live value of L1 under the key. Neither counts as a lookup nor as a use.
    ///
    /// Does not cover L2, which may hold an entry of another process that was not read here yet.
    pub fn inspect(&self, key: &Key) -> Option<Inspected> {
        let (slot, state) = self.tiers.peek(key)?;
        Some(Inspected::of(key.clone(), &slot, state, &self.tiers))
    }

    /// Returns the live entries of L1 whose key matches, by key: the first `limit` after `after`.
    ///
    /// Walks over all entries with one short read lock each, and holds `limit` of them. Entries
    /// that are added or removed meanwhile may be included or not.
    pub fn inspect_matching(&self, pattern: &Pattern, after: Option<&Key>, limit: usize) -> Vec<Inspected> {
        let mut first: BTreeMap<Box<str>, Inspected> = BTreeMap::new();
        let now = self.tiers.clock.coarse();
        for (key, slot) in self.tiers.memory.iter() {
            let text = key.as_str();
            let is_behind = after.is_none_or(|after| text > after.as_str());
            let may_enter = first.len() < limit || first.last_key_value().is_some_and(|(last, _)| text < &**last);
            if !is_behind || !may_enter || !pattern.matches(text) {
                continue;
            }
            let state = slot.state(now, &self.tiers.fence);
            if state != State::Dead {
                first.insert(text.into(), Inspected::of(key, &slot, state, &self.tiers));
                if first.len() > limit {
                    first.pop_last();
                }
            }
        }
        first.into_values().collect()
    }
}

impl Inspected {
    fn of(key: Key, slot: &Slot, state: State, tiers: &Tiers) -> Self {
        let fresh_for = match state {
            State::Fresh(left) | State::Waning(left) => Some(left),
            _ => None,
        };
        let class = tiers.classes.by_id(slot.class).map_or("", |class| class.ttl.name());
        Self { key, class, fresh_for, weight: slot.weight }
    }
}
