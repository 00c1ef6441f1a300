//! What a loader brings back.

use std::time::Duration;

use crate::tag::Tag;

/// A value to store, with the options that only its loader can know.
///
/// `Ok(value.into())` when there are none.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Fill<V> {
    pub(crate) value: V,
    pub(crate) tags: Vec<Tag>,
    pub(crate) ttl: Option<Duration>,
}

impl<V> Fill<V> {
    /// A value with the lifetime of its class and no tags.
    pub fn new(value: V) -> Self {
        Self { value, tags: Vec::new(), ttl: None }
    }

    /// Adds a tag by which the entry can be invalidated.
    pub fn tag(mut self, tag: Tag) -> Self {
        self.tags.push(tag);
        self
    }

    /// Adds several tags.
    pub fn tags(mut self, tags: impl IntoIterator<Item = Tag>) -> Self {
        self.tags.extend(tags);
        self
    }

    /// Replaces the lifetime of the class, clamped to between 1 ms and 365 days.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }
}

impl<V> From<V> for Fill<V> {
    fn from(value: V) -> Self {
        Self::new(value)
    }
}
