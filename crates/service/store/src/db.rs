//! The one place that knows which database it is: SQLite in a file, or a PostgreSQL server.

mod lent;
mod losses;
mod replicas;
mod server;
mod server_watch;

use std::time::Duration;

use rand::RngExt;
use sqlx::{Sqlite, Transaction};
use tidegate_cache::Tag;
use tidegate_queue::OpenFile;
use tokio::time::Instant;

use super::StoreError;
use super::pool::{Connections, WatchedPool};
use super::sql::Sql;
use super::value::{Row, Value};

use tidegate_settings::DatabaseUrl;

pub(super) use lent::Lent;
use replicas::Replicas;
pub(super) use server::{Server, connect_apart, is_busy, is_follower, is_lost};
pub use server_watch::{ReplicaState, ServerState, ServerWatch};

/// The first try again is made at once, since a connection that went stale is no outage; the next after so long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What reads as of one moment.
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Where the tables are. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) enum Db {
    /// Reads go to a small pool, writes through the one writer's connection.
    Sqlite {
        reader: Connections<Sqlite>,
        writer: Connections<Sqlite>,
        file: OpenFile,
    },
    Postgres(Server),
}

/// An open transaction that writes. Dropped without [`commit`](Self::commit), it never was.
#[derive(Debug)]
pub(super) enum Write {
    Sqlite { transaction: Transaction<'static, Sqlite>, file: OpenFile },
    Postgres(Lent),
}

impl Db {
    /// The row that a statement finds. Asked once, whatever becomes of it.
    pub(super) async fn one(&self, sql: &'static Sql, values: &[Value<'_>]) -> Result<Option<Row>, StoreError> {
        Ok(match self {
            Self::Sqlite { reader, .. } => sql.with(values).fetch_optional(reader).await?.map(Row::from),
            Self::Postgres(server) => server.lend().await?.one(sql, values).await?.map(Row::from),
        })
    }

    /// All rows that a statement finds. Asked once too.
    pub(super) async fn all(&self, sql: &'static Sql, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        Ok(match self {
            Self::Sqlite { reader, .. } => rows(sql.with(values).fetch_all(reader).await?),
            Self::Postgres(server) => rows(server.lend().await?.all(sql, values).await?),
        })
    }

    /// As [`one`](Self::one), of a replica that has whatever this process knows to have changed under the tag, where there is one.
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

    /// As [`all`](Self::all), and [`one_of`](Self::one_of).
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

    async fn lend_replica(&self, tag: &Tag) -> Option<Lent> {
        self.replicas()?.lend(tag).await
    }

    fn replicas(&self) -> Option<&Replicas> {
        match self {
            Self::Sqlite { .. } => None,
            Self::Postgres(server) => server.replicas(),
        }
    }

    /// What this process has changed, or was told of: before any read that must see it.
    pub(super) fn changed<'a>(&self, tags: impl Iterator<Item = &'a Tag>) {
        if let Some(replicas) = self.replicas() {
            replicas.changed(tags);
        }
    }

    /// Changes may have been missed.
    pub(super) fn changed_everything(&self) {
        self.replicas().into_iter().for_each(Replicas::changed_everything);
    }

    /// Which installation's the tables are: its replicas may be read from here on.
    pub(super) fn is_of(&self, installation: &str) {
        self.replicas().into_iter().for_each(|replicas| replicas.are_copies_of(installation));
    }

    /// Opens a transaction. SQLite has one writer at a time; in PostgreSQL they go on side by side, and whatever decides by what
    /// it has read locks that.
    pub(super) async fn begin(&self) -> Result<Write, StoreError> {
        Ok(match self {
            // A deferred transaction that turns into a writer later fails at once, in spite of the busy time-out.
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

    /// Opens a transaction that reads, all of it as of one moment, and is never committed: on a replica that has all that is
    /// committed by now, where there is one.
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

    /// Does `work`, and does it again while the server is away, until its deadline. SQLite is never away: there it is done once.
    ///
    /// What is done twice must be harmless; a transaction of which it isn't known whether it was committed is not begun again.
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
            // Whoever lost the server at one moment doesn't come back at one.
            let drawn = pause.mul_f64(rand::rng().random_range(0.75..1.0));
            if Instant::now() + drawn >= until {
                return Err(error);
            }
            tracing::debug!(%error, "the database is asked again");
            tokio::time::sleep(drawn).await;
            pause = (pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        }
    }

    /// Fails if the file was deleted, moved or replaced while it is open. A server has none.
    pub(super) fn ensure_in_place(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite { file, .. } => file.ensure_in_place().map_err(StoreError::Gone),
            Self::Postgres(_) => Ok(()),
        }
    }

    /// Makes connections with the login that the URLs of the server have now.
    pub(super) fn log_in_anew(&self) {
        if let Self::Postgres(server) = self {
            server.log_in_anew();
        }
    }

    /// A watch over the server. `None` for a file.
    pub(super) fn server_watch(&self) -> Option<ServerWatch> {
        match self {
            Self::Sqlite { .. } => None,
            Self::Postgres(server) => Some(ServerWatch::new(server.clone())),
        }
    }

    /// The pools of connections.
    pub(super) fn pools(&self) -> Vec<WatchedPool> {
        match self {
            Self::Sqlite { reader, writer, .. } => vec![reader.watched().clone(), writer.watched().clone()],
            Self::Postgres(server) => server.pools(),
        }
    }

    /// Closes every connection, after the statements in flight.
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
    /// Runs a statement; how many rows it wrote.
    pub(super) async fn run(&mut self, sql: &'static Sql, values: &[Value<'_>]) -> Result<u64, StoreError> {
        Ok(match self {
            Self::Sqlite { transaction, .. } => sql.with(values).execute(&mut **transaction).await?.rows_affected(),
            Self::Postgres(lent) => lent.run(sql, values).await?,
        })
    }

    /// A row as the transaction sees it.
    pub(super) async fn one(&mut self, sql: &'static Sql, values: &[Value<'_>]) -> Result<Option<Row>, StoreError> {
        Ok(match self {
            Self::Sqlite { transaction, .. } => {
                sql.with(values).fetch_optional(&mut **transaction).await?.map(Row::from)
            }
            Self::Postgres(lent) => lent.one(sql, values).await?.map(Row::from),
        })
    }

    /// All rows as the transaction sees them.
    pub(super) async fn all(&mut self, sql: &'static Sql, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        Ok(match self {
            Self::Sqlite { transaction, .. } => rows(sql.with(values).fetch_all(&mut **transaction).await?),
            Self::Postgres(lent) => rows(lent.all(sql, values).await?),
        })
    }

    /// Commits.
    ///
    /// # Errors
    ///
    /// [`StoreError::OutcomeUnknown`] when the server or the file was lost on the way: the rows may
    /// be there. Otherwise they are not.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite { transaction, file } => {
                transaction.commit().await?;
                // One that was deleted since the transaction began has taken the rows with it; one
                // that was moved has them, and may be moved back.
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
