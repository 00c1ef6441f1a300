//! Connections in use of a PostgreSQL server, and the lag of its replicas.
//!
//! Each reading records the position of the primary's log, and compares the replicas with the
//! positions of earlier readings. So a replica that has lost its primary falls behind, which its
//! own statistics do not show. No privilege is needed.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::replicas::without_head;
use super::server::Server;
use crate::error::StoreError;
use crate::sql::server::USE;
use crate::value::Row;

/// How long a replica has to replay the position of a reading.
const MOMENT: Duration = Duration::from_millis(250);
/// Maximum number of positions that are kept.
const MARKS: usize = 256;

/// State of a server at the last reading.
#[derive(Debug, Clone)]
pub struct ServerState {
    /// Address and database, without login.
    pub place: String,
    /// Number of client connections, of all programs.
    pub connections: u64,
    /// Maximum number of connections that the server accepts.
    pub max_connections: u64,
    /// State of each replica.
    pub replicas: Vec<ReplicaState>,
}

/// State of a replica at the last reading.
#[derive(Debug, Clone)]
pub struct ReplicaState {
    /// Address and database, without login.
    pub place: String,
    /// Time since the latest moment whose changes it is known to have completely.
    pub behind: Duration,
}

/// Reads the state of a server.
#[derive(Debug)]
pub struct ServerWatch {
    server: Server,
    progress: Progress,
}

impl ServerWatch {
    pub(super) fn new(server: Server) -> Self {
        Self { server, progress: Progress::new(Instant::now()) }
    }

    /// Queries the server, then its replicas.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] if the primary does not answer.
    pub async fn read(&mut self) -> Result<ServerState, StoreError> {
        let row = self.server.lend().await?.one(&USE, &[]).await?.map(Row::from).ok_or(sqlx::Error::RowNotFound)?;
        let count = |column| row.int(column).map(|count| u64::try_from(count).unwrap_or(0));
        let (connections, max_connections) = (count("connections")?, count("most")?);
        let mut replicas = Vec::new();
        if let Some(all) = self.server.replicas() {
            self.progress.mark(Instant::now(), without_head(row.int("position")?));
            sleep(MOMENT).await;
            for (place, done) in all.progress().await {
                let behind = self.progress.behind(&place, done, Instant::now());
                replicas.push(ReplicaState { place, behind });
            }
        }
        Ok(ServerState { place: self.server.place(), connections, max_connections, replicas })
    }
}

/// Positions of the primary by time, and the latest known position of each replica.
#[derive(Debug)]
struct Progress {
    begun: Instant,
    /// Ordered by time, the newest last.
    marks: VecDeque<(Instant, i64)>,
    /// For each replica, the latest moment whose changes it has completely.
    known: BTreeMap<String, Instant>,
}

impl Progress {
    fn new(begun: Instant) -> Self {
        Self { begun, marks: VecDeque::new(), known: BTreeMap::new() }
    }

    fn mark(&mut self, now: Instant, position: i64) {
        // A lower position is from another server with another log.
        if self.marks.back().is_some_and(|(_, last)| position < *last) {
            self.marks.clear();
        }
        if self.marks.len() >= MARKS {
            self.marks.pop_front();
        }
        self.marks.push_back((now, position));
    }

    /// Returns the lag of a replica whose position is `done`. `None` if it did not answer.
    fn behind(&mut self, place: &str, done: Option<i64>, now: Instant) -> Duration {
        let newest = |done| self.marks.iter().rev().find(|(_, position)| *position <= done).map(|(at, _)| *at);
        let found = done.and_then(newest);
        let is_newest = found.is_some() && found == self.marks.back().map(|(at, _)| *at);
        let known = self.known.entry(place.to_owned()).or_insert(self.begun);
        *known = found.map_or(*known, |found| found.max(*known));
        // It reached the position of this reading within the `MOMENT` that was allowed.
        if is_newest { Duration::ZERO } else { now.saturating_duration_since(*known) }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_model::tenant::ApiKey;
    use tidegate_settings::DatabaseSettings;
    use tidegate_testkit::{PostgresServer, poll_until};

    use super::*;
    use crate::ground::{LONG, Process, TestDatabase, acme, settings, tenant};

    #[test]
    fn a_replica_is_behind_since_it_last_had_everything() {
        let start = Instant::now();
        let at = |second: u64| start + Duration::from_secs(second);
        let mut progress = Progress::new(start);
        let mut seconds = |second: u64, position: i64, done: Option<i64>| {
            progress.mark(at(second), position);
            progress.behind("replica", done, at(second)).as_secs()
        };
        assert_eq!(seconds(10, 100, None), 10, "it was never reached");
        assert_eq!(seconds(20, 200, Some(200)), 0);
        assert_eq!(seconds(30, 300, Some(250)), 10);
        assert_eq!(seconds(40, 400, None), 20, "it does not answer");
        assert_eq!(seconds(50, 500, Some(450)), 10);
        assert_eq!(seconds(60, 500, Some(500)), 0, "an idle primary");
        assert_eq!(seconds(70, 20, Some(20)), 0, "another primary");
    }

    #[tokio::test]
    async fn a_server_reports_its_connections_and_a_replica_that_stands_still() {
        let primary = PostgresServer::start_tcp(&[("max_connections", "60")]).await;
        let replica = primary.replica(&[]).await;
        let replicas = vec![replica.url().parse().unwrap()];
        let place = TestDatabase::Server(Box::new(DatabaseSettings { replicas, ..settings(&primary.url()) }));
        let process = Process::at(&place).await;
        let mut watch = process.store.server_watch().unwrap();
        let caught_up = poll_until(LONG, async || {
            let state = watch.read().await.unwrap();
            (state.replicas[0].behind == Duration::ZERO).then_some(state)
        });
        let state = caught_up.await.unwrap();
        assert_eq!(state.max_connections, 60);
        // The pool's connections, and the one that listens.
        assert!((2..=12).contains(&state.connections), "{state:?}");
        assert_eq!(state.replicas[0].place, format!("postgres at 127.0.0.1:{}", replica.port()));

        replica.psql("SELECT pg_wal_replay_pause()").await;
        process.store.create_tenant(&tenant(&acme()), &ApiKey::generate()).await.unwrap();
        let fell_behind = async || {
            let behind = watch.read().await.unwrap().replicas[0].behind;
            (behind > MOMENT).then_some(())
        };
        poll_until(LONG, fell_behind).await.unwrap();
        replica.psql("SELECT pg_wal_replay_resume()").await;
        let caught_up = async || (watch.read().await.unwrap().replicas[0].behind == Duration::ZERO).then_some(());
        poll_until(LONG, caught_up).await.unwrap();
    }
}
