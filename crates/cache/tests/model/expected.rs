//! The model: a map whose entries expire.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tidegate_cache::{Lookup, Source};

use crate::operation::{Loaded, Said};

/// Nanoseconds in a millisecond: the model counts as finely as the cache.
pub(crate) const MILLI: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1000 * MILLI;

#[derive(Debug)]
pub(crate) struct Entry {
    value: u32,
    pub(crate) class: usize,
    pub(crate) tags: Vec<u8>,
    fresh_until: u64,
    /// After `fresh_until`.
    grace: u64,
    ends: u64,
    ahead_from: u64,
    quiet_until: u64,
    /// `None` for values that do not slide.
    idle: Option<u64>,
    slide_from: u64,
}

impl Entry {
    /// A read that finds it fresh.
    fn slide(&mut self, now: u64) {
        let Some(idle) = self.idle else { return };
        let is_time = now >= self.slide_from || now >= self.ahead_from.max(self.quiet_until);
        if is_time && now < self.fresh_until && self.fresh_until < self.ends {
            self.fresh_until = (now + idle).min(self.ends);
            self.slide_from = now + idle / 16;
        }
    }

    fn refreshes(&self, now: u64) -> bool {
        now >= self.quiet_until && (now >= self.fresh_until || now >= self.ahead_from)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) now: u64,
    pub(crate) entries: BTreeMap<usize, Entry>,
}

impl Model {
    pub(crate) fn put(&mut self, key: usize, class: usize, said: &Said) {
        let slides = class == 3 && !said.is_negative;
        let default = if said.is_negative { [3, 60, 20, 5] } else { [10, 60, 20, 16] }[class] * SECOND;
        let own = said.ttl.map_or(default, |millis| millis * MILLI);
        let now = self.now;
        let (fresh, whole) = match class {
            1 => (own.min(40 * SECOND), own.min(40 * SECOND)),
            _ if slides => (own, 40 * SECOND),
            _ => (own, own),
        };
        let ahead = [0, 0, 8, 4][class] * SECOND;
        let ends = now + whole;
        let entry = Entry {
            value: said.value,
            class,
            tags: said.tags.clone(),
            fresh_until: now + fresh,
            // That there is nothing is served stale no longer than it is believed.
            grace: if said.is_negative { own.min([3, 0, 0, 2][class] * SECOND) } else { [5, 0, 0, 2][class] * SECOND },
            ends,
            ahead_from: if ahead == 0 { u64::MAX } else { ends - ahead.min(whole / 2) },
            quiet_until: 0,
            idle: slides.then_some(own),
            slide_from: now + own / 16,
        };
        self.entries.insert(key, entry);
    }

    pub(crate) fn drop_dead(&mut self) {
        let now = self.now;
        self.entries.retain(|_, entry| now < entry.fresh_until + entry.grace);
    }

    pub(crate) fn get(&mut self, key: usize) -> Lookup<u32> {
        let now = self.now;
        match self.entries.get_mut(&key) {
            Some(entry) if now < entry.fresh_until => {
                entry.slide(now);
                Lookup::Fresh(entry.value.into())
            }
            Some(entry) => Lookup::Stale(entry.value.into()),
            None => Lookup::Miss,
        }
    }

    pub(crate) fn ttl(&self, key: usize) -> Option<Duration> {
        Some(Duration::from_nanos(self.entries.get(&key)?.fresh_until.saturating_sub(self.now)))
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(usize, &Entry) -> bool) -> usize {
        let before = self.entries.len();
        self.entries.retain(|key, entry| keep(*key, entry));
        before - self.entries.len()
    }

    /// Reads one key, and may load it. `None` if no answer is due yet. Returns whether it loads.
    pub(crate) fn look(&mut self, key: usize) -> (Option<(u32, Source)>, bool) {
        let now = self.now;
        let Some(entry) = self.entries.get_mut(&key) else { return (None, true) };
        let source = if now < entry.fresh_until { Source::Hit } else { Source::Stale };
        entry.slide(now);
        (Some((entry.value, source)), entry.refreshes(now))
    }

    pub(crate) fn postpone(&mut self, key: usize) {
        let now = self.now;
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.quiet_until = now + SECOND;
            if let Some(idle) = entry.idle {
                entry.slide_from = now + idle / 16;
            }
        }
    }

    pub(crate) fn load(&mut self, key: usize, class: usize, loaded: Result<&Said, u32>) -> Result<(u32, Source), u32> {
        let (found, loads) = self.look(key);
        if loads {
            self.postpone(key);
            if let Ok(said) = loaded {
                self.put(key, class, said);
            }
        }
        found.map_or_else(|| loaded.map(|said| (said.value, Source::Loaded)), Ok)
    }

    /// Answer of a loader that compares the value that L1 still holds.
    pub(crate) fn still(&self, key: usize) -> Option<Said> {
        let entry = self.entries.get(&key)?;
        Some(Said { value: entry.value, tags: entry.tags.clone(), ttl: None, is_negative: false })
    }

    pub(crate) fn revalidate(&mut self, key: usize, class: usize, said: &Said) -> (u32, Source) {
        let said = self.still(key).unwrap_or_else(|| said.clone());
        self.load(key, class, Ok(&said)).unwrap()
    }

    pub(crate) fn load_many(
        &mut self,
        keys: &[usize],
        class: usize,
        brings: impl Fn(&Self, usize) -> Loaded<Said>,
    ) -> Vec<Loaded<(u32, Source)>> {
        let found: Vec<_> = keys.iter().map(|key| self.look(*key)).collect();
        let loaded: BTreeSet<usize> =
            keys.iter().zip(&found).filter(|(_, (_, loads))| *loads).map(|(key, _)| *key).collect();
        let mut brought = BTreeMap::new();
        for key in loaded {
            self.postpone(key);
            brought.insert(key, brings(self, key));
            match &brought[&key] {
                Ok(Some(said)) => self.put(key, class, said),
                Ok(None) => drop(self.entries.remove(&key)),
                Err(_) => {}
            }
        }
        let known = found.into_iter().map(|(known, _)| known);
        let new = |key: &usize| brought[key].clone().map(|said| said.map(|said| (said.value, Source::Loaded)));
        keys.iter().zip(known).map(|(key, known)| known.map_or_else(|| new(key), |known| Ok(Some(known)))).collect()
    }
}
