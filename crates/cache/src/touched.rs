//! Keys and tags that a write to the store touches, passed from the write to the invalidation.

use tidegate_cache_tiers::{Key, Tag};

/// The keys and tags that a store write makes stale.
///
/// A write returns one, and the code that commits passes it to [`TieredCache::invalidate`].
/// `#[must_use]` warns if it forgets.
///
/// [`TieredCache::invalidate`]: crate::TieredCache::invalidate
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "a write that is not invalidated is served stale"]
pub struct Touched {
    keys: Vec<Key>,
    tags: Vec<Tag>,
}

impl Touched {
    /// Creates an empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key.
    pub fn key(mut self, key: &Key) -> Self {
        self.keys.push(key.clone());
        self
    }

    /// Adds a tag.
    pub fn tag(mut self, tag: &Tag) -> Self {
        self.tags.push(tag.clone());
        self
    }

    /// Adds the keys and tags that another write touched, for instance in the same transaction.
    pub fn extend(&mut self, other: Self) {
        self.keys.extend(other.keys);
        self.tags.extend(other.tags);
    }

    /// Returns the keys, in the order in which they were added; a key may occur twice.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Key> {
        self.keys.iter()
    }

    /// Returns the tags, in the order in which they were added; a tag may occur twice.
    pub fn tags(&self) -> impl ExactSizeIterator<Item = &Tag> {
        self.tags.iter()
    }

    /// Whether there is nothing to invalidate.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.tags.is_empty()
    }
}
