//! The keys that the next process will load.

use std::collections::HashMap;

use tidegate_cache::{HotKeys, Key, TieredCache};

/// The keys in memory, followed by those that were there recently.
///
/// Memory may contain few of the hot keys, after failed loads or a purge. So a key that is missing
/// in memory leaves the list only after as many reads as the list has room for keys. A hot key
/// would have been read by then.
#[derive(Debug)]
pub(super) struct HotList {
    most: usize,
    keys: HotKeys,
    /// For each key, the number of completed reads when memory was last seen to hold it.
    held_at: HashMap<Key, u64>,
}

impl HotList {
    /// Begins with at most `most` keys of the previous process, after `answered` completed reads.
    pub(super) fn new(keys: HotKeys, most: usize, answered: u64) -> Self {
        let held_at = keys.iter().map(|hot| (hot.key.clone(), answered)).collect();
        Self { most, keys, held_at }
    }

    /// Updates the list with the keys `held` in memory, after `answered` completed reads.
    pub(super) fn update(&mut self, held: HotKeys, answered: u64) -> &HotKeys {
        let mut held_at: HashMap<Key, u64> = held.iter().map(|hot| (hot.key.clone(), answered)).collect();
        let mut keys = held;
        for hot in self.keys.iter() {
            let since = self.held_at.get(&hot.key).copied().unwrap_or(answered);
            let unread = usize::try_from(answered.saturating_sub(since)).unwrap_or(usize::MAX);
            if keys.len() < self.most && unread < self.most && !held_at.contains_key(&hot.key) {
                held_at.insert(hot.key.clone(), since);
                keys.extend(HotKeys::of_class(&hot.class, [hot.key.clone()]));
            }
        }
        (self.keys, self.held_at) = (keys, held_at);
        &self.keys
    }
}

/// Returns the reads that `cache` completed with a value, found or loaded. A failed read does not
/// show that a key is hot.
pub(super) fn answered(cache: &TieredCache) -> u64 {
    let classes = cache.stats().classes.into_iter();
    classes.map(|class| class.hits + class.stale_hits + class.loads.saturating_sub(class.load_failures)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(names: &[&str]) -> HotKeys {
        HotKeys::of_class("api", names.iter().map(|name| Key::parse(name).unwrap()))
    }

    fn names(keys: &HotKeys) -> Vec<String> {
        keys.iter().map(|hot| hot.key.to_string()).collect()
    }

    #[test]
    fn keys_absent_from_memory_follow_those_present() {
        let mut list = HotList::new(keys(&["a", "b", "c"]), 10, 0);
        assert_eq!(names(list.update(keys(&[]), 0)), ["a", "b", "c"], "all loads failed");
        assert_eq!(names(list.update(keys(&["d", "b"]), 9)), ["d", "b", "a", "c"]);
    }

    #[test]
    fn it_leaves_when_as_many_reads_as_the_list_has_room_were_answered_without_it() {
        let mut list = HotList::new(keys(&["a", "b"]), 10, 5);
        assert_eq!(names(list.update(keys(&["b"]), 14)), ["b", "a"]);
        assert_eq!(names(list.update(keys(&["c"]), 15)), ["c", "b"], "ten reads without `a`, one without `b`");
        assert_eq!(names(list.update(keys(&["c"]), 23)), ["c", "b"]);
        assert_eq!(names(list.update(keys(&["a", "c"]), 24)), ["a", "c"]);
        assert_eq!(
            names(list.update(keys(&[]), 30)),
            ["a", "c"],
            "memory was cleared: the age begins where it was held"
        );
    }

    #[test]
    fn there_are_never_more_than_it_has_room_for() {
        let mut list = HotList::new(keys(&["a", "b", "c"]), 3, 0);
        assert_eq!(names(list.update(keys(&["d", "e"]), 1)), ["d", "e", "a"]);
        assert_eq!(names(list.update(keys(&["e"]), 2)), ["e", "d", "a"], "what had no room is gone");
    }

    #[tokio::test]
    async fn failed_loads_do_not_count_as_answers() {
        use tidegate_cache::{Fill, TtlClass};
        let cache = TieredCache::builder().build();
        let texts = cache.typed::<String>(TtlClass::API);
        let key = Key::parse("k").unwrap();
        let failed = async || Err::<Fill<String>, _>(std::io::Error::other("away"));
        assert!(texts.fetch(&key, failed).await.is_err());
        assert_eq!(answered(&cache), 0);
        for _ in 0..2 {
            texts.fetch(&key, async || Ok::<_, std::io::Error>(Fill::new(String::new()))).await.unwrap();
        }
        assert_eq!(answered(&cache), 2, "one loaded, one found");
    }
}
