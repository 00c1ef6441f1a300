//! Recent changes that this process knows of. A replica may not have them yet.

use std::collections::HashMap;
use std::time::Duration;

use tidegate_cache::Tag;
use tokio::time::Instant;

/// How long a change is remembered.
pub(super) const MEMORY: Duration = Duration::from_secs(5);
/// Maximum number of tags that are remembered. With more, everything counts as changed.
const TAGS: usize = 20_000;

/// Time of the latest change of each tag.
#[derive(Debug)]
pub(super) struct Recent {
    tags: HashMap<Tag, Instant>,
    everything: Instant,
}

impl Recent {
    /// Starts with everything counted as changed at `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self { tags: HashMap::new(), everything: now }
    }

    pub(super) fn note(&mut self, tag: &Tag, now: Instant) {
        if self.tags.len() >= TAGS && !self.tags.contains_key(tag) {
            self.note_everything(now);
        } else {
            self.tags.insert(tag.clone(), now);
        }
    }

    pub(super) fn note_everything(&mut self, now: Instant) {
        self.everything = now;
        self.tags.clear();
    }

    /// Whether everything under the tag is unchanged since `since`, which must be within `MEMORY`.
    pub(super) fn is_unchanged(&self, tag: &Tag, since: Instant) -> bool {
        self.everything < since && self.tags.get(tag).is_none_or(|changed| *changed < since)
    }

    pub(super) fn forget_old(&mut self, now: Instant) {
        self.tags.retain(|_, changed| now.saturating_duration_since(*changed) < MEMORY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_recorded_under_its_tag_and_under_all() {
        let (start, step) = (Instant::now(), Duration::from_millis(1));
        let (one, other) = (Tag::new("one"), Tag::new("other"));
        let mut recent = Recent::new(start);
        assert!(!recent.is_unchanged(&one, start) && recent.is_unchanged(&one, start + step));
        recent.note(&one, start + step * 2);
        for (since, is_unchanged) in [(1, false), (2, false), (3, true)] {
            assert_eq!(recent.is_unchanged(&one, start + step * since), is_unchanged, "{since}");
            assert!(recent.is_unchanged(&other, start + step * since));
        }
        recent.note_everything(start + step * 4);
        assert!(!recent.is_unchanged(&other, start + step * 4) && recent.is_unchanged(&one, start + step * 5));
    }

    #[test]
    fn it_is_bounded_and_forgets_nothing_that_counts() {
        let start = Instant::now();
        let later = start + Duration::from_secs(1);
        let mut recent = Recent::new(start);
        (0..=TAGS).for_each(|number| recent.note(&Tag::new(number), later));
        assert!(recent.tags.is_empty() && !recent.is_unchanged(&Tag::new("any"), later));
        recent.note(&Tag::new("one"), later);
        recent.forget_old(later + MEMORY / 2);
        assert_eq!(recent.tags.len(), 1);
        recent.forget_old(later + MEMORY);
        assert!(recent.tags.is_empty());
    }
}
