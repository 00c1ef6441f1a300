//! Delivers notifications of tenants to the followers in this process.
//!
//! Notifications are rows with numbers without gaps. A commit only wakes the followers, in each
//! process. Each follower then reads the rows after its own number. So nothing is lost or delivered
//! twice, however often it was woken. A missing number means that the row was removed.

use std::collections::VecDeque;
use std::time::Duration;

use tidegate_base::permit_pool::{Permit, PermitPool, TooManyFollowers};
use tidegate_model::tenant::TenantId;
use tidegate_settings::NotificationSettings;
use tokio::time::{Instant, timeout, timeout_at};

use crate::waiting_tasks::Following;
use crate::{Notification, Store, StoreError};

/// Maximum duration of a subscription. A client that still wants notifications subscribes again.
const MOST_AGE: Duration = Duration::from_secs(3_600);
/// How often a follower reads without being woken.
const LOOK: Duration = Duration::from_secs(10);
/// Number of rows that one query reads.
const AT_A_TIME: u32 = 64;

/// Creates subscriptions. Clones share the limit on subscriptions.
#[derive(Debug, Clone)]
pub struct NotificationBus {
    store: Store,
    permits: PermitPool,
}

/// Reason why a subscription failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotFollowed {
    /// The limit on subscriptions is reached.
    #[error(transparent)]
    TooMany(#[from] TooManyFollowers),
    /// The tables can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An event of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubscriptionEvent {
    /// A notification.
    Notification(Notification),
    /// The notifications after the follower's number were removed, or that number was never
    /// assigned.
    Gap {
        /// Number of lost notifications. `None` if it is unknown.
        missed: Option<u64>,
        /// The number after which the subscription continues.
        after: u64,
    },
}

impl NotificationBus {
    /// Makes a bus on the given store.
    pub fn new(store: &Store, settings: &NotificationSettings) -> Self {
        Self { store: store.clone(), permits: PermitPool::new(settings.streams, settings.streams_per_tenant) }
    }

    /// Subscribes to the tenant's new notifications. With `after`, starts after that number.
    ///
    /// # Errors
    ///
    /// [`NotFollowed`] if the limit is reached or the tables can't be read.
    pub async fn subscribe(&self, tenant: &TenantId, after: Option<u64>) -> Result<Subscription, NotFollowed> {
        let permit = self.permits.take(tenant.as_str())?;
        // First: a notification that is published while the range is read wakes it.
        let following = self.store.follow_notifications(tenant);
        let ends = self.store.ends_of_notifications(tenant).await?;
        let after = after.unwrap_or(ends.last);
        let mut waiting = VecDeque::new();
        let after = if after > ends.last {
            waiting.push_back(SubscriptionEvent::Gap { missed: None, after: ends.last });
            ends.last
        } else if after < ends.gone {
            waiting.push_back(SubscriptionEvent::Gap { missed: Some(ends.gone - after), after: ends.gone });
            ends.gone
        } else {
            after
        };
        Ok(Subscription {
            store: self.store.clone(),
            tenant: tenant.clone(),
            following,
            after,
            waiting,
            until: Instant::now() + MOST_AGE,
            _permit: permit,
        })
    }

    /// Number of subscriptions in this process.
    pub fn followers(&self) -> usize {
        self.permits.taken()
    }
}

/// A subscription to the notifications of a tenant.
#[derive(Debug)]
pub struct Subscription {
    store: Store,
    tenant: TenantId,
    following: Following,
    /// Number of the last notification that was read.
    after: u64,
    waiting: VecDeque<SubscriptionEvent>,
    until: Instant,
    _permit: Permit,
}

impl Subscription {
    /// Returns the next event. `None` after the end of the subscription, at the latest after an
    /// hour. Cancel-safe.
    pub async fn next(&mut self) -> Option<SubscriptionEvent> {
        timeout_at(self.until, self.wait()).await.ok().flatten()
    }

    async fn wait(&mut self) -> Option<SubscriptionEvent> {
        loop {
            if let Some(told) = self.waiting.pop_front() {
                return Some(told);
            }
            match self.store.notifications(&self.tenant, self.after, AT_A_TIME).await {
                Ok(read) if !read.is_empty() => self.take(read),
                Ok(_) => {
                    // A notification that was published during the read has already woken it.
                    let _ = timeout(LOOK, self.following.news()).await;
                }
                Err(error) => {
                    tracing::warn!(%error, tenant = %self.tenant, "a stream of notifications ends: its client has to reconnect");
                    return None;
                }
            }
        }
    }

    fn take(&mut self, read: Vec<Notification>) {
        for notification in read {
            let seq = notification.seq;
            if seq > self.after + 1 {
                let missed = seq - self.after - 1;
                self.waiting.push_back(SubscriptionEvent::Gap { missed: Some(missed), after: seq - 1 });
            }
            self.waiting.push_back(SubscriptionEvent::Notification(notification));
            self.after = seq;
        }
    }
}
