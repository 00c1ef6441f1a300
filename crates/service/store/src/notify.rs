//! Hands what tenants are told to whoever follows it in this process.
//!
//! What is told lies in the tables, under numbers without holes. A commit only wakes those who follow, in each process; each reads what
//! is behind the number that it has. So nothing is lost and nothing comes twice, whoever was woken how often; and a number that is
//! missing shows that it was removed.

use std::collections::VecDeque;
use std::time::Duration;

use tidegate_base::places::{Place, Places, TooManyFollowers};
use tidegate_model::tenant::TenantId;
use tidegate_settings::NotificationSettings;
use tokio::time::{Instant, timeout, timeout_at};

use crate::{Following, Notification, Store, StoreError};

/// After how long nothing more is told to a follower: one that still wants to hear comes back.
const MOST_AGE: Duration = Duration::from_secs(3_600);
/// A follower that is not woken looks all the same.
const LOOK: Duration = Duration::from_secs(10);
/// Rows that are read at a time.
const AT_A_TIME: u32 = 64;

/// Where to follow. Clones share the places.
#[derive(Debug, Clone)]
pub struct Hub {
    store: Store,
    places: Places,
}

/// Why a tenant can't be followed now.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotFollowed {
    /// There is no place.
    #[error(transparent)]
    TooMany(#[from] TooManyFollowers),
    /// The tables can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a follower hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Something that the tenant is told.
    Notification(Notification),
    /// What followed the number that the follower had is not there any more, or that number was never given.
    Gap {
        /// How many are lost; `None` where nobody knows.
        missed: Option<u64>,
        /// The number behind which it goes on.
        after: u64,
    },
}

impl Hub {
    /// Over that store.
    pub fn new(store: &Store, settings: &NotificationSettings) -> Self {
        Self { store: store.clone(), places: Places::new(settings.streams, settings.streams_per_tenant) }
    }

    /// Follows what a tenant is told from now on; with `after`, what is behind that number.
    ///
    /// # Errors
    ///
    /// When too many follow, or the tables can't be read.
    pub async fn subscribe(&self, tenant: &TenantId, after: Option<u64>) -> Result<Subscription, NotFollowed> {
        let place = self.places.take(tenant.as_str())?;
        // First: what is told while the ends are read wakes it.
        let following = self.store.follow_notifications(tenant);
        let ends = self.store.ends_of_notifications(tenant).await?;
        let after = after.unwrap_or(ends.last);
        let mut waiting = VecDeque::new();
        let after = if after > ends.last {
            waiting.push_back(Told::Gap { missed: None, after: ends.last });
            ends.last
        } else if after < ends.gone {
            waiting.push_back(Told::Gap { missed: Some(ends.gone - after), after: ends.gone });
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
            _place: place,
        })
    }

    /// How many follow in this process.
    pub fn followers(&self) -> usize {
        self.places.taken()
    }
}

/// One who follows.
#[derive(Debug)]
pub struct Subscription {
    store: Store,
    tenant: TenantId,
    following: Following,
    /// The number of the last that was read.
    after: u64,
    waiting: VecDeque<Told>,
    until: Instant,
    _place: Place,
}

impl Subscription {
    /// What comes next; `None` when there won't be any more, at the latest after an hour. Nothing is lost where it is cancelled.
    pub async fn next(&mut self) -> Option<Told> {
        timeout_at(self.until, self.wait()).await.ok().flatten()
    }

    async fn wait(&mut self) -> Option<Told> {
        loop {
            if let Some(told) = self.waiting.pop_front() {
                return Some(told);
            }
            match self.store.notifications(&self.tenant, self.after, AT_A_TIME).await {
                Ok(read) if !read.is_empty() => self.take(read),
                Ok(_) => {
                    // What came while it was read has woken it already.
                    let _ = timeout(LOOK, self.following.news()).await;
                }
                Err(error) => {
                    tracing::warn!(%error, tenant = %self.tenant, "a stream of notifications ends: its client has to come back");
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
                self.waiting.push_back(Told::Gap { missed: Some(missed), after: seq - 1 });
            }
            self.waiting.push_back(Told::Notification(notification));
            self.after = seq;
        }
    }
}
