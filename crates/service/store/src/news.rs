//! Who in this process waits for news of a tenant.
//!
//! News says only that there may be something to read: it may come twice, and for nothing. What it is about lies in the tables,
//! where whoever waits looks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidegate_cache::Tag;
use tidegate_model::cache_keys;
use tidegate_model::tenant::TenantId;
use tokio::sync::{Notify, watch};

/// Everybody who waits. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct News(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// By the tag under which a commit tells of a tenant's notices.
    waiting: Mutex<HashMap<Tag, watch::Sender<()>>>,
    /// Rung when the first begins to wait.
    begun: Notify,
}

/// One who waits. Dropped, it waits no more.
#[derive(Debug)]
pub(crate) struct Following {
    told: Option<watch::Receiver<()>>,
    tag: Tag,
    news: News,
}

impl News {
    /// Waits for news of the tenant that are told from now on.
    pub(super) fn follow(&self, tenant: &TenantId) -> Following {
        let tag = cache_keys::notifications_of(tenant);
        let told = self.waiting().entry(tag.clone()).or_insert_with(|| watch::channel(()).0).subscribe();
        self.0.begun.notify_one();
        Following { told: Some(told), tag, news: self.clone() }
    }

    /// Tells whoever waits for this.
    pub(super) fn tell(&self, tag: &Tag) {
        if let Some(told) = self.waiting().get(tag) {
            told.send_replace(());
        }
    }

    /// Tells everybody: some of what was told may have been missed.
    pub(super) fn tell_all(&self) {
        for told in self.waiting().values() {
            told.send_replace(());
        }
    }

    /// Whether anybody waits.
    pub(super) fn is_awaited(&self) -> bool {
        !self.waiting().is_empty()
    }

    /// Returns when somebody has begun to wait.
    pub(super) async fn begun(&self) {
        self.0.begun.notified().await;
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Tag, watch::Sender<()>>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Following {
    /// Returns when there was news since it was last asked. Nothing is lost where it is cancelled.
    pub(crate) async fn news(&mut self) {
        if let Some(told) = &mut self.told
            && told.changed().await.is_ok()
        {
            return;
        }
        // The sender is kept as long as anybody waits.
        std::future::pending::<()>().await;
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let mut waiting = self.news.waiting();
        // Under the lock, so that nobody else finds it empty or begins to wait meanwhile.
        self.told = None;
        if waiting.get(&self.tag).is_some_and(|told| told.receiver_count() == 0) {
            waiting.remove(&self.tag);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn news_of_a_tenant_reach_those_who_wait_for_it_and_nobody_else() {
        let news = News::default();
        let (acme, other): (TenantId, TenantId) = ("acme".parse().unwrap(), "other".parse().unwrap());
        assert!(!news.is_awaited());
        let (mut one, mut two, mut three) = (news.follow(&acme), news.follow(&acme), news.follow(&other));
        news.tell(&cache_keys::notifications_of(&acme));
        assert!(one.news().now_or_never().is_some() && two.news().now_or_never().is_some());
        assert!(one.news().now_or_never().is_none() && three.news().now_or_never().is_none());
        news.tell_all();
        assert!(one.news().now_or_never().is_some() && three.news().now_or_never().is_some());

        drop(one);
        news.tell(&cache_keys::notifications_of(&acme));
        assert!(two.news().now_or_never().is_some(), "one of two is gone");
        drop((two, three));
        assert!(!news.is_awaited(), "who is gone is forgotten");
        assert!(tokio::time::timeout(Duration::from_secs(5), news.begun()).await.is_ok());
    }
}
