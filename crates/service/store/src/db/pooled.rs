//! A PostgreSQL connection that is borrowed from the pool.
//!
//! A server that hangs never answers, and the operating system keeps its connections open. So no
//! wait here is unbounded, and a connection with an unfinished exchange is closed instead of being
//! returned.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Error, Executor, Postgres};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::super::error::{StoreError, is_lost};
use super::super::sql::Sql;
use super::super::value::Value;
use super::replicas::ReplicaHealth;

/// Timeout for the return of a connection to the pool.
const LEAVING: Duration = Duration::from_secs(5);

/// A connection of the pool. Dropping it returns it.
#[derive(Debug)]
pub(crate) struct PooledConnection {
    /// `None` once it was returned.
    connection: Option<PoolConnection<Postgres>>,
    /// Timeout of one statement.
    patience: Duration,
    state: State,
    /// The replica that is notified of failures. `None` for a connection to the primary.
    replica: Option<Arc<ReplicaHealth>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    /// Inside a transaction.
    Open,
    /// Inside a transaction in which a statement failed. The server would answer its COMMIT with
    /// success, but roll back.
    Failed,
    /// A statement was sent and not answered.
    Broken,
}

impl PooledConnection {
    pub(super) fn new(connection: PoolConnection<Postgres>, patience: Duration) -> Self {
        Self { connection: Some(connection), patience, state: State::Idle, replica: None }
    }

    pub(super) fn of_replica(
        connection: PoolConnection<Postgres>,
        patience: Duration,
        replica: Arc<ReplicaHealth>,
    ) -> Self {
        let mut lent = Self::new(connection, patience);
        lent.replica = Some(replica);
        lent
    }

    #[cfg(test)]
    pub(crate) fn is_of_a_replica(&self) -> bool {
        self.replica.is_some()
    }

    pub(crate) async fn one(&mut self, sql: &'static Sql, values: &[Value<'_>]) -> Result<Option<PgRow>, Error> {
        let (connection, asked) = self.ask();
        let answer = bounded(asked.patience, sql.with_on_postgres(values).fetch_optional(connection)).await;
        self.answered(asked, answer)
    }

    pub(crate) async fn all(&mut self, sql: &'static Sql, values: &[Value<'_>]) -> Result<Vec<PgRow>, Error> {
        let (connection, asked) = self.ask();
        let answer = bounded(asked.patience, sql.with_on_postgres(values).fetch_all(connection)).await;
        self.answered(asked, answer)
    }

    /// Runs a statement and returns how many rows it wrote.
    pub(crate) async fn run(&mut self, sql: &'static Sql, values: &[Value<'_>]) -> Result<u64, Error> {
        let (connection, asked) = self.ask();
        let answer = bounded(asked.patience, sql.with_on_postgres(values).execute(connection)).await;
        Ok(self.answered(asked, answer)?.rows_affected())
    }

    /// Opens a transaction. It ends with [`commit`](Self::commit) or when this is dropped.
    pub(super) async fn begin(&mut self) -> Result<(), Error> {
        self.begin_with("BEGIN").await
    }

    /// Opens a transaction with the given statement.
    pub(super) async fn begin_with(&mut self, statement: &'static str) -> Result<(), Error> {
        self.say(statement).await?;
        self.state = State::Open;
        Ok(())
    }

    /// Commits the open transaction.
    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        if self.state != State::Open {
            return Err(StoreError::RolledBack);
        }
        match self.say("COMMIT").await {
            Ok(()) => {
                self.state = State::Idle;
                Ok(())
            }
            Err(error) if is_refusal(&error) => Err(error.into()),
            Err(error) => Err(StoreError::OutcomeUnknown(error)),
        }
    }

    async fn say(&mut self, statement: &'static str) -> Result<(), Error> {
        let (connection, asked) = self.ask();
        let answer = bounded(asked.patience, connection.execute(statement)).await;
        self.answered(asked, answer).map(|_| ())
    }

    /// Marks the connection as broken until the statement is answered. It stays broken if the
    /// caller drops the statement's future.
    fn ask(&mut self) -> (&mut PgConnection, Asked) {
        let asked = Asked { patience: self.patience, before: self.state };
        self.state = State::Broken;
        (self.connection.as_mut().expect("it leaves when this is dropped"), asked)
    }

    fn answered<T>(&mut self, asked: Asked, answer: Result<T, Error>) -> Result<T, Error> {
        if let (Err(error), Some(replica)) = (&answer, &self.replica) {
            if asked.before == State::Open && is_cut_off(error) {
                replica.has_cut_off();
            }
            replica.failed(error);
        }
        self.state = match &answer {
            Ok(_) => asked.before,
            Err(error) if is_lost(error) || !matches!(error, Error::Database(_)) => State::Broken,
            Err(_) if asked.before == State::Idle => State::Idle,
            Err(_) => State::Failed,
        };
        answer
    }
}

/// Whether a replica cancelled a read-only transaction because it conflicted with replication:
/// SQLSTATE 40001.
fn is_cut_off(error: &Error) -> bool {
    matches!(error, Error::Database(error) if error.code().as_deref() == Some("40001"))
}

#[derive(Clone, Copy)]
struct Asked {
    patience: Duration,
    before: State,
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        let (state, runtime) = (self.state, Handle::try_current());
        let Ok(runtime) = runtime else {
            // The process is ending; the server sees that the connection closes.
            return drop(connection.detach());
        };
        if state == State::Broken {
            connection.close_on_drop();
            return;
        }
        // The pool would wait without bound for a server that hangs to confirm that the connection
        // works, and would keep its slot occupied.
        runtime.spawn(timeout(LEAVING, async move {
            if state == State::Idle || connection.execute("ROLLBACK").await.is_ok() {
                connection.return_to_pool().await;
            } else {
                connection.close_on_drop();
            }
        }));
    }
}

/// Whether the server itself reports that it did not commit.
fn is_refusal(error: &Error) -> bool {
    // Class 23 is a constraint violation. Class 40 is a rollback because of another transaction.
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.is_some_and(|code| code.starts_with("23") || code.starts_with("40"))
}

async fn bounded<T>(patience: Duration, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(patience, answer).await.unwrap_or_else(|_| {
        let reason = format!("no result of a statement within {} s", patience.as_secs_f64());
        Err(Error::Io(io::Error::new(io::ErrorKind::TimedOut, reason)))
    })
}
