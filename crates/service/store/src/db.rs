//! The only module that distinguishes the databases: SQLite in a file, or a PostgreSQL server.

mod follower;
mod losses;
mod pooled;
mod replicas;
mod server;
mod server_watch;

use std::time::Duration;

use rand::RngExt;
use sqlx::{Sqlite, Transaction};
use tidegate_cache::Tag;
use tidegate_queue::OpenFile;
use tokio::time::Instant;

use super::error::StoreError;
use super::pool::{Connections, WatchedPool};
use super::sql::Sql;
use super::value::{Row, Value};

pub(super) use follower::is_follower;
use pooled::PooledConnection;
use replicas::Replicas;
pub(super) use server::{Server, connect_apart};
pub use server_watch::{ReplicaState, ServerState, ServerWatch};

/// Pause after the second attempt. The first retry is immediate, since a stale connection is no
/// outage.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Opens a read-only transaction that sees one state of the tables.
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Location of the tables. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) enum Db {
    /// Reads use a small pool, writes the one connection of the writer.
    Sqlite {
        reader: Connections<Sqlite>,
        writer: Connections<Sqlite>,
        file: OpenFile,
    },
    Postgres(Server),
}

/// An open write transaction. Dropping it without [`commit`](Self::commit) rolls it back.
#[derive(Debug)]
pub(super) enum Write {
    Sqlite { transaction: Transaction<'static, Sqlite>, file: OpenFile },
    Postgres(PooledConnection),
}

impl Db {
    /// Returns the row that a statement finds. Makes one attempt.
    pub(super) async fn one(&self, sql: &'static Sql, values: &[Value<'_>]) -> Result<Option<Row>, StoreError> {
        Ok(match self {
            Self::Sqlite { reader, .. } => sql.with(values).fetch_optional(reader).await?.map(Row::from),
            Self::Postgres(server) => server.lend().await?.one(sql, values).await?.map(Row::from),
        })
    }

    /// Returns all rows that a statement finds. Makes one attempt.
    pub(super) async fn all(&self, sql: &'static Sql, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        Ok(match self {
            Self::Sqlite { reader, .. } => rows(sql.with(values).fetch_all(reader).await?),
            Self::Postgres(server) => rows(server.lend().await?.all(sql, values).await?),
        })
    }

    /// Like [`one`](Self::one), but reads from a replica that has every change under the tag that
    /// this process knows of, if there is one.
    pub(super) async fn one_of(
        &self,
        tag: &Tag,
        sql: &'static Sql,
        values: &[Value<'_>],
    ) -> Result<Option<Row>, StoreError> {
        if let Some(mut lent) = self.lend_replica(tag).await
            && let Ok(row) = lent.one(sql, values).await
        {
            return Ok(row.map(Row::from));
        }
        self.one(sql, values).await
    }

    /// Like [`all`](Self::all), with the replicas of [`one_of`](Self::one_of).
    pub(super) async fn all_of(
        &self,
        tag: &Tag,
        sql: &'static Sql,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        if let Some(mut lent) = self.lend_replica(tag).await
            && let Ok(found) = lent.all(sql, values).await
        {
            return Ok(rows(found));
        }
        self.all(sql, values).await
    }

    async fn lend_replica(&self, tag: &Tag) -> Option<PooledConnection> {
        self.replicas()?.lend(tag).await
    }

    fn replicas(&self) -> Option<&Replicas> {
        match self {
            Self::Sqlite { .. } => None,
            Self::Postgres(server) => server.replicas(),
        }
    }

    /// Records changes that this process made or was notified of. Must precede any read that has to
    /// see them.
    pub(super) fn changed<'a>(&self, tags: impl Iterator<Item = &'a Tag>) {
        if let Some(replicas) = self.replicas() {
            replicas.changed(tags);
        }
    }

    /// Records that changes may have been missed.
    pub(super) fn changed_everything(&self) {
        self.replicas().into_iter().for_each(Replicas::changed_everything);
    }

    /// Sets the installation of the tables. From then on, its replicas may be read.
    pub(super) fn is_of(&self, installation: &str) {
        self.replicas().into_iter().for_each(|replicas| replicas.are_copies_of(installation));
    }

    /// Opens a transaction. SQLite has one writer at a time. In PostgreSQL, transactions run
    /// concurrently, and one that decides by a row it has read locks that row.
    pub(super) async fn begin(&self) -> Result<Write, StoreError> {
        Ok(match self {
            // A deferred transaction that later becomes a writer fails at once, in spite of the
            // busy timeout.
            Self::Sqlite { writer, file, .. } => {
                file.ensure_in_place().map_err(StoreError::Gone)?;
                let transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
                Write::Sqlite { transaction, file: file.clone() }
            }
            Self::Postgres(server) => {
                let mut lent = server.lend().await?;
                lent.begin().await?;
                Write::Postgres(lent)
            }
        })
    }

    /// Opens a transaction that reads one state of the tables and is never committed. It runs on a
    /// replica that has everything committed by now, if there is one.
    pub(super) async fn begin_snapshot(&self) -> Result<Write, StoreError> {
        Ok(match self {
            Self::Sqlite { reader, file, .. } => {
                Write::Sqlite { transaction: reader.begin_with("BEGIN").await?, file: file.clone() }
            }
            Self::Postgres(server) => {
                let replica = match server.replicas() {
                    Some(replicas) => replicas.lend_up_to_date().await,
                    None => None,
                };
                if let Some(mut lent) = replica
                    && lent.begin_with(SNAPSHOT).await.is_ok()
                {
                    return Ok(Write::Postgres(lent));
                }
                let mut lent = server.lend().await?;
                lent.begin_with(SNAPSHOT).await?;
                Write::Postgres(lent)
            }
        })
    }

    /// Runs `work` and retries it while the server is unreachable, until the deadline. SQLite is
    /// never unreachable: there it runs once.
    ///
    /// `work` must be idempotent. A transaction whose commit has an unknown outcome is not
    /// repeated.
    pub(super) async fn insist<T, W>(&self, work: impl Fn() -> W) -> Result<T, StoreError>
    where
        W: Future<Output = Result<T, StoreError>>,
    {
        let Self::Postgres(server) = self else { return work().await };
        let until = Instant::now() + server.deadline();
        let mut pause = Duration::ZERO;
        loop {
            let error = match work().await {
                Err(error) if error.is_lost() => error,
                done => return done,
            };
            server.lost();
            // Jitter: callers that lost the server at the same moment must not retry at the same
            // moment.
            let drawn = pause.mul_f64(rand::rng().random_range(0.75..1.0));
            if Instant::now() + drawn >= until {
                return Err(error);
            }
            tracing::debug!(%error, "the database is queried again");
            tokio::time::sleep(drawn).await;
            pause = (pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        }
    }

    /// Checks that the file was not deleted, moved or replaced while it is open. Always succeeds
    /// for a server.
    pub(super) fn ensure_in_place(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite { file, .. } => file.ensure_in_place().map_err(StoreError::Gone),
            Self::Postgres(_) => Ok(()),
        }
    }

    /// Uses the current login of the server URLs for new connections.
    pub(super) fn log_in_anew(&self) {
        if let Self::Postgres(server) = self {
            server.log_in_anew();
        }
    }

    /// Returns a watch on the server. `None` for a file.
    pub(super) fn server_watch(&self) -> Option<ServerWatch> {
        match self {
            Self::Sqlite { .. } => None,
            Self::Postgres(server) => Some(ServerWatch::new(server.clone())),
        }
    }

    /// The connection pools.
    pub(super) fn pools(&self) -> Vec<WatchedPool> {
        match self {
            Self::Sqlite { reader, writer, .. } => vec![reader.watched().clone(), writer.watched().clone()],
            Self::Postgres(server) => server.pools(),
        }
    }

    /// Closes every connection after the running statements have ended.
    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite { reader, writer, .. } => {
                reader.close().await;
                writer.close().await;
            }
            Self::Postgres(server) => server.close().await,
        }
    }
}

impl Write {
    /// Runs a statement and returns how many rows it wrote.
    pub(super) async fn run(&mut self, sql: &'static Sql, values: &[Value<'_>]) -> Result<u64, StoreError> {
        Ok(match self {
            Self::Sqlite { transaction, .. } => sql.with(values).execute(&mut **transaction).await?.rows_affected(),
            Self::Postgres(lent) => lent.run(sql, values).await?,
        })
    }

    /// Returns a row as the transaction sees it.
    pub(super) async fn one(&mut self, sql: &'static Sql, values: &[Value<'_>]) -> Result<Option<Row>, StoreError> {
        Ok(match self {
            Self::Sqlite { transaction, .. } => {
                sql.with(values).fetch_optional(&mut **transaction).await?.map(Row::from)
            }
            Self::Postgres(lent) => lent.one(sql, values).await?.map(Row::from),
        })
    }

    /// Returns all rows as the transaction sees them.
    pub(super) async fn all(&mut self, sql: &'static Sql, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        Ok(match self {
            Self::Sqlite { transaction, .. } => rows(sql.with(values).fetch_all(&mut **transaction).await?),
            Self::Postgres(lent) => rows(lent.all(sql, values).await?),
        })
    }

    /// Commits the transaction.
    ///
    /// # Errors
    ///
    /// [`StoreError::OutcomeUnknown`] if the server or the file was lost during the commit: the
    /// rows may be there. After any other error they are not.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite { transaction, file } => {
                transaction.commit().await?;
                // If the file was deleted since the transaction began, the rows are lost. If it was
                // moved, it contains them, and it may be moved back.
                file.ensure_in_place().map_err(|error| StoreError::OutcomeUnknown(error.into()))
            }
            Self::Postgres(lent) => lent.commit().await,
        }
    }
}

fn rows<R>(rows: Vec<R>) -> Vec<Row>
where
    Row: From<R>,
{
    rows.into_iter().map(Row::from).collect()
}
