//! Applies invalidations of other processes to this one.

use tidegate_cache::{TieredCache, Touched};
use tidegate_model::cache_keys;

use crate::db::Db;
use crate::purge::{Invalidation, OWED, Purge};
use crate::store::Store;
use crate::waiting_tasks::WaitingTasks;

/// The parts of this process that react to commits of all processes. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct CommitListeners {
    pub(super) cache: TieredCache,
    pub(super) news: WaitingTasks,
    /// Reads from its replicas must include the changes of a notification.
    pub(super) db: Db,
}

impl CommitListeners {
    pub(super) fn of(store: &Store) -> Self {
        Self { cache: store.cache.clone(), news: store.news.clone(), db: store.db.clone() }
    }

    /// Applies all invalidations, keys and tags together: the shared cache is a round trip away.
    pub(super) async fn act_on(&self, invalidations: impl Iterator<Item = Invalidation<'_>>) {
        let mut touched = Touched::new();
        for invalidation in invalidations {
            match invalidation.purge() {
                Ok(Purge::Keys(keys)) => touched = keys.iter().fold(touched, Touched::key),
                Ok(Purge::Tags(tags)) => {
                    let (news, stale): (Vec<_>, Vec<_>) = tags.into_iter().partition(cache_keys::is_of_notifications);
                    news.iter().for_each(|tag| self.news.tell(tag));
                    self.db.changed(stale.iter());
                    touched = stale.iter().fold(touched, Touched::tag);
                }
                Ok(purge) => {
                    self.db.changed_everything();
                    let _ = purge.apply(&self.cache).await;
                }
                Err(error) => {
                    // A newer version may run concurrently and use kinds that are unknown here.
                    tracing::warn!(%error, "an invalidation can't be understood: the cache is cleared");
                    self.start_anew().await;
                }
            }
        }
        if let Err(owed) = self.cache.invalidate(&touched).await {
            // Until the shared cache has it, this process reads nothing from there.
            if let Some(unlogged) = OWED.count() {
                tracing::warn!(error = %owed, unlogged, "invalidations wait until the shared cache is reachable");
            }
        }
    }

    /// Clears the cache, so that no missed change is cached, and wakes all waiting callers.
    pub(super) async fn start_anew(&self) {
        self.clear().await;
        self.news.tell_all();
    }

    /// Clears the cache.
    pub(super) async fn clear(&self) {
        self.db.changed_everything();
        let _ = Purge::All.apply(&self.cache).await;
    }
}
