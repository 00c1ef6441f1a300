//! Names resolved to recorders, in bounded memory whatever names arrive.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;

/// The route of requests that matched none.
pub const UNMATCHED: &str = "__unmatched__";
/// The name that takes what exceeds the cap, or is longer than 256 bytes.
pub const OTHER: &str = "__other__";

const LONGEST_NAME: usize = 256;

/// Recorders by group (method or kind) and name. Reserved names exist at most once per group and do
/// not count towards the cap. There are few groups because they are `&'static`.
///
/// A new name copies the list of all recorders. The cap limits how often this happens, and look-ups
/// never wait for it.
#[derive(Debug)]
pub(crate) struct Catalog<T> {
    cap: usize,
    entries: ArcSwap<Entries<T>>,
    making: Mutex<()>,
    dropped: AtomicU64,
}

type Names<T> = HashMap<Arc<str>, Arc<T>, RandomState>;

#[derive(Debug)]
struct Entries<T> {
    groups: Vec<(&'static str, Names<T>)>,
    /// In the order of name and group, so that readers of all need not sort.
    all: Vec<(Arc<str>, &'static str, Arc<T>)>,
    /// Names that count towards the cap.
    named: usize,
}

impl<T> Entries<T> {
    fn get(&self, group: &str, name: &str) -> Option<Arc<T>> {
        let (_, names) = self.groups.iter().find(|(held, _)| *held == group)?;
        names.get(name).cloned()
    }

    fn with(&self, group: &'static str, name: &str, recorder: Arc<T>) -> Self {
        let mut groups = self.groups.clone();
        let at = groups.iter().position(|(held, _)| *held == group).unwrap_or_else(|| {
            groups.push((group, Names::default()));
            groups.len() - 1
        });
        let name: Arc<str> = name.into();
        let mut all = self.all.clone();
        let place = all.partition_point(|(held, of, _)| (&**held, *of) < (&*name, group));
        all.insert(place, (Arc::clone(&name), group, Arc::clone(&recorder)));
        let named = self.named + usize::from(!is_reserved(&name));
        groups[at].1.insert(name, recorder);
        Self { groups, all, named }
    }
}

impl<T> Catalog<T> {
    pub(crate) fn new(cap: usize) -> Self {
        let entries = ArcSwap::from_pointee(Entries { groups: Vec::new(), all: Vec::new(), named: 0 });
        Self { cap, entries, making: Mutex::new(()), dropped: AtomicU64::new(0) }
    }

    /// Returns the recorder of a name, created if there is room, else that of [`OTHER`]. A known
    /// name, and any name once the cap is reached, costs a look-up or two, without a lock.
    pub(crate) fn resolve(&self, group: &'static str, name: &str, make: impl FnOnce(&str) -> T) -> Arc<T> {
        if let Some(found) = self.find(&self.entries.load(), group, name) {
            return found;
        }
        let _alone = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = self.entries.load();
        // Another thread may have made it meanwhile.
        if let Some(found) = self.find(&entries, group, name) {
            return found;
        }
        let kept = self.kept_name(&entries, name);
        if kept != name {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        let made = Arc::new(make(kept));
        self.entries.store(Arc::new(entries.with(group, kept, Arc::clone(&made))));
        made
    }

    /// Resolutions that ended at [`OTHER`] for lack of room.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// All recorders, in the order of name and group.
    pub(crate) fn all(&self) -> Vec<Arc<T>> {
        self.entries.load().all.iter().map(|(_, _, recorder)| Arc::clone(recorder)).collect()
    }

    fn find(&self, entries: &Entries<T>, group: &str, name: &str) -> Option<Arc<T>> {
        if let Some(found) = entries.get(group, name) {
            return Some(found);
        }
        let kept = self.kept_name(entries, name);
        if kept == name {
            return None;
        }
        let other = entries.get(group, kept)?;
        self.dropped.fetch_add(1, Ordering::Relaxed);
        Some(other)
    }

    fn kept_name<'a>(&self, entries: &Entries<T>, name: &'a str) -> &'a str {
        let room = entries.named < self.cap && name.len() <= LONGEST_NAME;
        if room || is_reserved(name) { name } else { OTHER }
    }
}

fn is_reserved(name: &str) -> bool {
    name == UNMATCHED || name == OTHER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_holds_and_drops_are_counted() {
        let catalog = Catalog::new(2);
        let resolve = |group, name: &str| catalog.resolve(group, name, str::to_owned).to_string();
        assert_eq!(resolve("GET", "a"), "a");
        assert_eq!(resolve("GET", UNMATCHED), UNMATCHED);
        assert_eq!(resolve("PUT", "a"), "a");
        assert_eq!(catalog.dropped(), 0);
        assert_eq!(resolve("GET", "b"), OTHER);
        assert_eq!(resolve("GET", "c"), OTHER);
        assert_eq!(resolve("GET", "a"), "a");
        assert_eq!(resolve("PUT", "b"), OTHER);
        assert_eq!(resolve("PUT", UNMATCHED), UNMATCHED);
        assert_eq!(catalog.dropped(), 3);
        assert_eq!(catalog.all().len(), 6);
    }

    #[test]
    fn a_long_name_is_not_kept() {
        let catalog = Catalog::new(10);
        let long = "x".repeat(LONGEST_NAME + 1);
        assert_eq!(*catalog.resolve("GET", &long, str::to_owned), OTHER);
        assert_eq!(*catalog.resolve("GET", &long[1..], str::to_owned), long[1..]);
        assert_eq!(catalog.dropped(), 1);
    }
}
