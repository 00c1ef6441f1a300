//! Reads the positions of the replicas while callers need them.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use sqlx::{Error, Postgres};
use tokio::time::{Instant, sleep};

use super::health::BEHIND;
use super::position::{done, said, without_head};
use super::replica::Replica;
use super::shared::Shared;
use crate::pool::Connections;

/// Pause between two readings.
const PAUSE: Duration = Duration::from_millis(100);
/// The watch on the replicas of a server. Ends when they are dropped.
pub(super) struct Watch {
    primary: Connections<Postgres>,
    /// Positions of the primary by time, the newest last.
    marks: VecDeque<(Instant, i64)>,
}

impl Watch {
    pub(super) fn start(shared: &Arc<Shared>, primary: Connections<Postgres>) {
        let (watched, wanted) = (Arc::downgrade(shared), Arc::clone(&shared.wanted));
        tokio::spawn(async move {
            let mut watch = Self { primary, marks: VecDeque::new() };
            loop {
                wanted.notified().await;
                let Some(shared) = Weak::upgrade(&watched) else { return };
                watch.ask(&shared).await;
                // Fails if no caller waits, which is fine.
                shared.asked.send_replace(());
                drop(shared);
                sleep(PAUSE).await;
            }
        });
    }

    async fn ask(&mut self, shared: &Shared) {
        let now = Instant::now();
        shared.recent().forget_old(now);
        self.marks.retain(|(at, _)| now.saturating_duration_since(*at) < BEHIND);
        match said(&self.primary).await {
            Ok(Some(said)) => self.marks.push_back((now, without_head(said))),
            // The caller that reads the primary itself reports the failure.
            Ok(None) | Err(_) => return,
        }
        join_all(shared.all.iter().map(|replica| self.look_at(replica))).await;
    }

    async fn look_at(&self, replica: &Replica) {
        let Some(done) = done(replica).await else { return };
        // Read after the replica's answer: a follower of the primary can't be ahead of this
        // position.
        let Ok(Some(said)) = said(&self.primary).await else { return };
        if done > said {
            replica.health.failed(&Error::Configuration("this server has data that the primary never sent".into()));
        } else if let Some((at, _)) = self.marks.iter().rev().find(|(_, said)| *said <= done) {
            replica.health.has_come_to(*at);
        }
    }
}
