//! Replicas of the primary, for reads that need not go to the primary.
//!
//! A replica is behind by a millisecond or by hours. A value that fills the cache must never be
//! older than the changes that this process was notified of. So a [`Watch`] records the position of
//! the primary at a moment, and then reads the positions of the replicas. A replica that has
//! reached that position has everything that was committed before that moment. A read uses such a
//! replica unless this process has since made, or been notified of, a change under the read's tag.
//! A caller that needs everything committed by now waits until a replica has it.
//!
//! If a replica has any fault, the primary is read instead, and the replica is not used for a
//! while.

mod cut_off;
mod health;
mod position;
mod recent;
mod replica;
mod shared;
mod watch;

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use sqlx::Postgres;
use tidegate_cache::Tag;
use tidegate_settings::DatabaseSettings;
use tokio::sync::watch as channel;
use tokio::time::{Instant, timeout_at};

use super::pooled::PooledConnection;
use crate::pool::{Connections, WatchedPool};
pub(super) use health::ReplicaHealth;
pub(super) use position::without_head;
use recent::Recent;
use replica::{Common, NAMES, Replica};
use shared::Shared;
use watch::Watch;

/// How long a caller that needs everything committed by now waits for a replica.
const CATCHING_UP: Duration = Duration::from_secs(1);

/// The replicas of a server. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Replicas(Arc<Shared>);

impl Replicas {
    /// Uses the current login of the URLs for new connections.
    pub(super) fn log_in_anew(&self) {
        for replica in &self.0.all {
            replica.connections.connect_with(replica.health.place().options());
        }
    }

    /// Connects when the first statement runs. `None` if there are no replicas.
    pub(super) fn new(
        settings: &DatabaseSettings,
        primary: &Connections<Postgres>,
        patience: Duration,
    ) -> Option<Self> {
        if settings.replicas.is_empty() {
            return None;
        }
        let common = Common::default();
        let all = settings.replicas.iter().zip(NAMES);
        let all = all.map(|(url, name)| Arc::new(Replica::new(url, name, settings.pool, patience, &common)));
        let shared = Arc::new(Shared {
            all: all.collect(),
            recent: Mutex::new(Recent::new(Instant::now())),
            turn: AtomicUsize::new(0),
            common,
            wanted: Arc::default(),
            asked: channel::Sender::new(()),
        });
        Watch::start(&shared, primary.clone());
        Some(Self(shared))
    }

    /// Allows reads from replicas that are copies of this installation.
    pub(super) fn are_copies_of(&self, installation: &str) {
        // A second call has the same value.
        let _ = self.0.common.installation.set(installation.to_owned());
    }

    /// Records changes that this process made or was notified of.
    pub(super) fn changed<'a>(&self, tags: impl Iterator<Item = &'a Tag>) {
        let (mut recent, now) = (self.0.recent(), Instant::now());
        tags.for_each(|tag| recent.note(tag, now));
    }

    /// Records that changes may have been missed.
    pub(super) fn changed_everything(&self) {
        self.0.recent().note_everything(Instant::now());
    }

    /// Returns a connection to a replica that has every change under the tag that this process
    /// knows of. `None` if there is none.
    pub(super) async fn lend(&self, tag: &Tag) -> Option<PooledConnection> {
        self.0.wanted.notify_one();
        let replica = self.0.next(|before| self.0.recent().is_unchanged(tag, before))?;
        replica.lend().await
    }

    /// Returns a connection to a replica that has everything committed by now. Waits at most a
    /// second for a replica to catch up. `None` for an hour after a replica cancelled such a read.
    pub(super) async fn lend_up_to_date(&self) -> Option<PooledConnection> {
        if self.0.common.cut_off.was_lately() {
            return None;
        }
        let (now, mut asked) = (Instant::now(), self.0.asked.subscribe());
        let caught_up = async {
            loop {
                if let Some(replica) = self.0.next(|before| before >= now) {
                    return Some(replica);
                }
                if self.0.all.iter().all(|replica| replica.health.is_resting(Instant::now())) {
                    return None;
                }
                self.0.wanted.notify_one();
                // An error means that the sender is dropped, which can't happen while `self`
                // exists.
                asked.changed().await.ok()?;
            }
        };
        timeout_at(now + CATCHING_UP, caught_up).await.ok()??.lend().await
    }

    /// Returns the address of each replica without its login, and its position in the primary's
    /// log. The position is `None` if the replica does not answer.
    pub(super) async fn progress(&self) -> Vec<(String, Option<i64>)> {
        let progress = |replica: &Arc<Replica>| {
            let replica = Arc::clone(replica);
            async move { (replica.health.place().to_string(), position::done(&replica).await) }
        };
        join_all(self.0.all.iter().map(progress)).await
    }

    pub(super) fn pools(&self) -> impl Iterator<Item = WatchedPool> {
        self.0.all.iter().map(|replica| replica.connections.watched().clone())
    }

    pub(super) async fn close(&self) {
        for replica in &self.0.all {
            replica.connections.close().await;
        }
    }
}
