//! Sets of cache entries to drop, and their rows in the invalidation table.

use std::sync::Arc;
use std::time::Duration;

use tidegate_base::LogThrottle;
use tidegate_cache::{Key, KeyError, Pattern, PatternError, Tag, TieredCache, Touched};

/// Limits the log lines about invalidations that the shared cache still has to receive to one in
/// ten seconds. During an outage, each write adds such an invalidation.
pub(super) static OWED: LogThrottle = LogThrottle::new(Duration::from_secs(10));

/// Selects the entries to drop from the caches of all nodes.
#[derive(Debug, Clone)]
pub enum Purge {
    /// Entries with these keys.
    Keys(Vec<Key>),
    /// Entries with one of these tags.
    Tags(Vec<Tag>),
    /// Entries whose key matches. If a class is given, only entries of that class.
    Pattern(Pattern, Option<Arc<str>>),
    /// Entries of one class.
    Class(Arc<str>),
    /// All entries.
    All,
}

/// A row of the invalidation table can't be interpreted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// The name is not a valid key or tag.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The name is not a valid pattern.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// This version does not know the kind.
    #[error("unknown kind `{0}`")]
    Kind(String),
}

/// The origin of an invalidation that no process has applied yet, not even the one that wrote it.
pub(super) const NOBODY: i64 = 0;

/// A row of the invalidation table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Invalidation<'a> {
    pub(super) kind: &'a str,
    pub(super) name: &'a str,
    pub(super) class: Option<&'a str>,
}

impl Invalidation<'_> {
    /// Returns the purge that the row describes.
    pub(super) fn purge(&self) -> Result<Purge, RowError> {
        Ok(match self.kind {
            "key" => Purge::Keys(vec![Key::parse(self.name)?]),
            "tag" => Purge::Tags(vec![Tag::parse(self.name)?]),
            "pattern" => Purge::Pattern(Pattern::parse(self.name)?, self.class.map(Arc::from)),
            "class" => Purge::Class(Arc::from(self.name)),
            "all" => Purge::All,
            other => return Err(RowError::Kind(other.to_owned())),
        })
    }
}

impl Purge {
    /// Drops the entries from this cache and from the shared one. Returns how many entries were
    /// dropped here. `None` if they are not counted.
    pub(super) async fn apply(&self, cache: &TieredCache) -> Option<usize> {
        let (done, is_counted) = match self {
            Self::Keys(keys) => (cache.remove_many(keys).await, true),
            Self::Pattern(pattern, None) => (cache.invalidate_pattern(pattern).await, true),
            Self::Pattern(pattern, Some(class)) => (cache.invalidate_pattern_of(class, pattern).await, true),
            Self::Tags(tags) => {
                let touched = tags.iter().fold(Touched::new(), Touched::tag);
                (cache.invalidate(&touched).await.map(|()| 0), false)
            }
            Self::Class(class) => (cache.invalidate_class(class).await.map(usize::from), false),
            Self::All => (cache.clear().await.map(|()| 0), false),
        };
        let removed = done.unwrap_or_else(|owed| {
            // Not lost: this process keeps it and sends it later. Until then it reads nothing from
            // the shared cache.
            if let Some(unlogged) = OWED.count() {
                tracing::warn!(error = %owed, unlogged, "a purge waits until the shared cache is reachable");
            }
            owed.removed
        });
        is_counted.then_some(removed)
    }

    /// Returns the rows that describe it.
    pub(super) fn rows(&self) -> Vec<Invalidation<'_>> {
        let row = |kind, name, class| Invalidation { kind, name, class };
        match self {
            Self::Keys(keys) => keys.iter().map(|key| row("key", key.as_str(), None)).collect(),
            Self::Tags(tags) => tags.iter().map(|tag| row("tag", tag.as_str(), None)).collect(),
            Self::Pattern(pattern, class) => vec![row("pattern", pattern.as_str(), class.as_deref())],
            Self::Class(class) => vec![row("class", class, None)],
            Self::All => vec![row("all", "", None)],
        }
    }
}
