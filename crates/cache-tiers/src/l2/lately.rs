//! Keys that changed recently, as far as this process knows: a replica may not have the change yet.

use std::collections::HashSet;
use std::mem;
use std::time::Duration;

use tokio::time::Instant;

use crate::key::Key;
use crate::pattern::Pattern;

/// Number of keys that are remembered. If there are more, everything counts as changed.
const KEYS: usize = 20_000;
/// The same for patterns, each of which every read compares.
const PATTERNS: usize = 32;

/// Recent changes, in two halves. The older one is dropped as a whole.
#[derive(Debug)]
pub(super) struct Lately {
    window: Duration,
    begun: Instant,
    now: Changes,
    before: Changes,
}

#[derive(Debug, Default)]
struct Changes {
    keys: HashSet<Key>,
    patterns: Vec<Pattern>,
    everything: bool,
}

impl Changes {
    fn has(&self, key: &Key) -> bool {
        self.everything || self.keys.contains(key) || self.patterns.iter().any(|pattern| pattern.matches(key.as_str()))
    }

    fn bound(&mut self) {
        if self.keys.len() > KEYS || self.patterns.len() > PATTERNS {
            *self = Self { everything: true, ..Self::default() };
        }
    }
}

impl Lately {
    /// Remembers for one to two windows.
    pub(super) fn new(window: Duration, now: Instant) -> Self {
        Self { window, begun: now, now: Changes::default(), before: Changes::default() }
    }

    pub(super) fn key(&mut self, key: &Key, now: Instant) {
        self.turn(now);
        if !self.now.everything {
            self.now.keys.insert(key.clone());
            self.now.bound();
        }
    }

    pub(super) fn pattern(&mut self, pattern: &Pattern, now: Instant) {
        self.turn(now);
        if !self.now.everything && !self.now.patterns.contains(pattern) {
            self.now.patterns.push(pattern.clone());
            self.now.bound();
        }
    }

    pub(super) fn everything(&mut self, now: Instant) {
        self.turn(now);
        self.now.everything = true;
    }

    /// Whether the key was changed within the window, or may have been.
    pub(super) fn has(&mut self, key: &Key, now: Instant) -> bool {
        self.turn(now);
        self.now.has(key) || self.before.has(key)
    }

    fn turn(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.begun);
        if passed < self.window {
            return;
        }
        self.before = mem::take(&mut self.now);
        if passed >= self.window * 2 {
            self.before = Changes::default();
        }
        self.begun = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(1);

    fn key(index: usize) -> Key {
        Key::builder("k").part(index).build().unwrap()
    }

    #[test]
    fn a_change_is_remembered_for_the_window_whenever_it_comes() {
        for tenths in 0..30 {
            let start = Instant::now();
            let mut lately = Lately::new(WINDOW, start);
            let at = start + WINDOW * tenths / 10;
            lately.key(&key(1), at);
            assert!(lately.has(&key(1), at) && !lately.has(&key(2), at));
            assert!(lately.has(&key(1), at + WINDOW), "{tenths}");
            assert!(!lately.has(&key(1), at + WINDOW * 3), "{tenths}");
        }
    }

    #[test]
    fn patterns_and_everything_cover_keys() {
        let start = Instant::now();
        let mut lately = Lately::new(WINDOW, start);
        lately.pattern(&Pattern::parse("k:1*").unwrap(), start);
        assert!(lately.has(&key(12), start) && !lately.has(&key(2), start));
        lately.everything(start);
        assert!(lately.has(&key(2), start + WINDOW) && !lately.has(&key(2), start + WINDOW * 3));
    }

    #[test]
    fn it_is_bounded() {
        let start = Instant::now();
        let mut lately = Lately::new(WINDOW, start);
        (0..=KEYS).for_each(|index| lately.key(&key(index), start));
        assert!(lately.now.keys.is_empty() && lately.has(&key(KEYS + 7), start));
        let mut lately = Lately::new(WINDOW, start);
        for index in 0..=PATTERNS {
            lately.pattern(&Pattern::parse(&format!("p:{index}")).unwrap(), start);
        }
        assert!(lately.now.patterns.is_empty() && lately.has(&key(1), start));
    }
}
