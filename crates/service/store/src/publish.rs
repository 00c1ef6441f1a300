//! Publishes invalidations to the other processes.

use tidegate_base::clock;

use super::db::{Db, Write};
use super::error::StoreError;
use super::notice;
use super::purge::{Invalidation, Purge};
use super::sql::invalidations::{INSERT, NOTIFY};
use super::store::Store;

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
