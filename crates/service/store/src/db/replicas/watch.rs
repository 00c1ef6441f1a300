//! Reads the positions of the replicas while callers need them.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use sqlx::{Error, Postgres};
use tokio::time::{Instant, sleep};

use super::{BEHIND, Replica, Shared};
use crate::db::Lent;
use crate::pool::Connections;
use crate::sql::Sql;
use crate::sql::replicas::{DONE, SAID};
use crate::value::Row;

/// Pause between two readings.
const PAUSE: Duration = Duration::from_millis(100);
/// Timeout of one answer.
const ANSWER: Duration = Duration::from_secs(1);
/// Size in bytes of the pages of PostgreSQL's write-ahead log. Each page has a header.
const PAGE: i64 = 8192;
/// Sizes of the header of a page, and of the first page of a file. No record ends within them.
const HEADS: [i64; 2] = [24, 40];

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
        match position(&self.primary, &SAID).await {
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
        let Ok(Some(said)) = position(&self.primary, &SAID).await else { return };
        if done > said {
            replica.failed(&Error::Configuration("this server has what the primary never said".into()));
        } else if let Some((at, _)) = self.marks.iter().rev().find(|(_, said)| *said <= done) {
            replica.has_come_to(*at);
        }
    }
}

/// Returns how far a replica has replayed the log. `None` if it can't be queried.
pub(super) async fn done(replica: &Replica) -> Option<i64> {
    if replica.is_resting(Instant::now()) {
        return None;
    }
    match position(&replica.connections, &DONE).await {
        Ok(Some(done)) => return Some(done),
        Ok(None) => replica.failed(&Error::Configuration("this server follows no other any more".into())),
        Err(error) if replica.is_only_busy(&error) => {}
        Err(error) => replica.failed(&error),
    }
    None
}

async fn position(server: &Connections<Postgres>, question: &'static Sql) -> Result<Option<i64>, Error> {
    let mut lent = Lent::new(server.acquire().await?, ANSWER);
    let row = lent.one(question, &[]).await?.map(Row::from);
    Ok(row.and_then(|row| row.opt_int("position").ok().flatten()))
}

/// Corrects a position right after the header of a page. The last record then ended on the previous
/// page, and replicas are never sent a header alone.
pub(in crate::db) fn without_head(said: i64) -> i64 {
    let on_page = said % PAGE;
    if HEADS.contains(&on_page) { said - on_page } else { said }
}

#[cfg(test)]
mod tests {
    use super::without_head;

    #[test]
    fn the_head_of_a_page_is_not_waited_for() {
        let file = 16 << 20;
        for (said, wanted) in [
            (0, 0),
            (8192, 8192),
            (8192 + 24, 8192),
            (8192 + 25, 8192 + 25),
            (8192 + 48, 8192 + 48),
            (file + 40, file),
            (file + 48, file + 48),
        ] {
            assert_eq!(without_head(said), wanted);
        }
    }
}
