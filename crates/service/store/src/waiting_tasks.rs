//! Wakes the tasks of this process that wait for notifications of a tenant.
//!
//! A wake-up only means that there may be new rows. It may be repeated or spurious. The
//! notifications are in the tables, and the waiting task reads them there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidegate_cache::Tag;
use tidegate_model::cache_keys;
use tidegate_model::tenant::TenantId;
use tokio::sync::{Notify, watch};

/// All waiting tasks. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct WaitingTasks(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// By the tag that commits name for a tenant's notifications.
    waiting: Mutex<HashMap<Tag, watch::Sender<()>>>,
    /// Signals that a task has started to wait.
    begun: Notify,
}

/// One waiting task. Dropping it ends the wait.
#[derive(Debug)]
pub(crate) struct Following {
    told: Option<watch::Receiver<()>>,
    tag: Tag,
    news: WaitingTasks,
}

impl WaitingTasks {
    /// Starts to wait for notifications of the tenant. Wakes for those that are announced from now
    /// on.
    pub(super) fn follow(&self, tenant: &TenantId) -> Following {
        let tag = cache_keys::notifications_of(tenant);
        let told = self.waiting().entry(tag.clone()).or_insert_with(|| watch::channel(()).0).subscribe();
        self.0.begun.notify_one();
        Following { told: Some(told), tag, news: self.clone() }
    }

    /// Wakes the tasks that wait for this tag.
    pub(super) fn tell(&self, tag: &Tag) {
        if let Some(told) = self.waiting().get(tag) {
            told.send_replace(());
        }
    }

    /// Wakes all tasks: notifications may have been missed.
    pub(super) fn tell_all(&self) {
        for told in self.waiting().values() {
            told.send_replace(());
        }
    }

    /// Whether any task waits.
    pub(super) fn is_awaited(&self) -> bool {
        !self.waiting().is_empty()
    }

    /// Returns when a task has started to wait.
    pub(super) async fn begun(&self) {
        self.0.begun.notified().await;
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Tag, watch::Sender<()>>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Following {
    /// Returns when notifications were announced since the last call. Cancel-safe.
    pub(crate) async fn news(&mut self) {
        if let Some(told) = &mut self.told
            && told.changed().await.is_ok()
        {
            return;
        }
        // Unreachable: the sender is kept while any task waits.
        std::future::pending::<()>().await;
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let mut waiting = self.news.waiting();
        // Under the lock, so that no other task finds the entry empty or starts to wait in between.
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
    async fn notifications_of_a_tenant_reach_only_its_waiters() {
        let news = WaitingTasks::default();
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
        assert!(!news.is_awaited(), "dropped waiters are removed");
        assert!(tokio::time::timeout(Duration::from_secs(5), news.begun()).await.is_ok());
    }
}
