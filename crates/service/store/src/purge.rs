//! Invalidation without a write: requested by an operator, for every node.

use std::sync::Arc;

use tidegate_base::clock;
use tidegate_cache::{Key, KeyError, Pattern, PatternError, Tag, TieredCache, Touched};

use super::db::{Db, Write};
use super::sql::invalidations::{INSERT, NOTIFY};
use super::{Store, StoreError, notice};

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
            Self::Keys(keys) => (cache.invalidate_keys(keys).await, true),
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
            if let Some(unlogged) = super::OWED.count() {
                tracing::warn!(error = %owed, unlogged, "a purge waits until the shared cache can be told");
            }
            owed.removed
        });
        is_counted.then_some(removed)
    }

    fn rows(&self) -> Vec<Invalidation<'_>> {
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

impl Store {
    /// Drops the entries from this node's cache at once, and from every other node's before its
    /// next read.
    ///
    /// Returns how many entries were dropped here. `None` if a generation was moved and nothing was
    /// counted.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] if the other nodes can't be notified. The cache of this node is purged
    /// all the same.
    pub async fn purge(&self, purge: &Purge) -> Result<Option<usize>, StoreError> {
        self.db.changed_everything();
        let removed = purge.apply(&self.cache).await;
        self.db
            .insist(|| async {
                let mut write = self.db.begin().await?;
                self.tell(&mut write, purge.rows(), self.origins.own()).await?;
                write.commit().await
            })
            .await?;
        Ok(removed)
    }

    /// Publishes invalidations to other processes in the given transaction. `origin` is the process
    /// that has already applied them.
    pub(super) async fn tell<'a>(
        &self,
        write: &mut Write,
        invalidations: impl IntoIterator<Item = Invalidation<'a>>,
        origin: i64,
    ) -> Result<(), StoreError> {
        let invalidations: Vec<_> = invalidations.into_iter().collect();
        // PostgreSQL notifies the other processes itself. The table is for the shared cache, which
        // may need the invalidations again.
        let is_kept = matches!(self.db, Db::Sqlite { .. }) || self.cache.owed().is_some();
        for invalidation in invalidations.iter().filter(|_| is_kept) {
            let Invalidation { kind, name, class } = *invalidation;
            let values = [origin.into(), kind.into(), name.into(), class.into(), clock::now().into()];
            write.run(&INSERT, &values).await?;
        }
        if matches!(self.db, Db::Postgres(_)) {
            for notice in notice::of(origin, &invalidations) {
                write.one(&NOTIFY, &[notice::channel(&self.installation).into(), notice.into()]).await?;
            }
        }
        Ok(())
    }
}
