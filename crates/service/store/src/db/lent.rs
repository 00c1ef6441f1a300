//! A connection to PostgreSQL while somebody uses it.
//!
//! A server that hangs says nothing for ever, and the system keeps its connections. So nothing here waits without bound,
//! and a connection on which something was left half said is closed rather than given back.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Error, Executor, Postgres};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::super::StoreError;
use super::super::sql::Sql;
use super::super::value::Value;
use super::replicas::Replica;
use super::server::is_lost;

/// How long a connection may take on its way back to the pool.
const LEAVING: Duration = Duration::from_secs(5);

/// A connection of the pool, to which it goes back.
#[derive(Debug)]
pub(crate) struct Lent {
    /// None once it has left.
    connection: Option<PoolConnection<Postgres>>,
    /// How long one statement may take.
    patience: Duration,
    state: State,
    /// Who hears of what fails, where it is a replica's.
    replica: Option<Arc<Replica>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    /// In a transaction.
    Open,
    /// In a transaction of which a statement failed. Its COMMIT would be answered as if all were well, and roll back.
    Failed,
    /// Something was said and not answered.
    Broken,
}

impl Lent {
    pub(super) fn new(connection: PoolConnection<Postgres>, patience: Duration) -> Self {
        Self { connection: Some(connection), patience, state: State::Idle, replica: None }
    }

    pub(super) fn of_replica(connection: PoolConnection<Postgres>, patience: Duration, replica: Arc<Replica>) -> Self {
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

    /// How many rows it wrote.
    pub(crate) async fn run(&mut self, sql: &'static Sql, values: &[Value<'_>]) -> Result<u64, Error> {
        let (connection, asked) = self.ask();
        let answer = bounded(asked.patience, sql.with_on_postgres(values).execute(connection)).await;
        Ok(self.answered(asked, answer)?.rows_affected())
    }

    /// Opens a transaction, which ends with [`commit`](Self::commit) or when this is dropped.
    pub(super) async fn begin(&mut self) -> Result<(), Error> {
        self.begin_with("BEGIN").await
    }

    /// The same with a statement of one's own.
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

    /// From here on it is broken, until it has answered: also for whoever drops the question.
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

/// Whether a transaction that only reads was ended for the sake of what its server follows: SQLSTATE 40001.
fn is_cut_off(error: &Error) -> bool {
    matches!(error, Error::Database(error) if error.code().as_deref() == Some("40001"))
}

#[derive(Clone, Copy)]
struct Asked {
    patience: Duration,
    before: State,
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        let (state, runtime) = (self.state, Handle::try_current());
        let Ok(runtime) = runtime else {
            // The process ends; the server sees the connection go.
            return drop(connection.detach());
        };
        if state == State::Broken {
            connection.close_on_drop();
            return;
        }
        // The pool would ask a server that hangs for ever whether the connection is good, and keep its place.
        runtime.spawn(timeout(LEAVING, async move {
            if state == State::Idle || connection.execute("ROLLBACK").await.is_ok() {
                connection.return_to_pool().await;
            } else {
                connection.close_on_drop();
            }
        }));
    }
}

/// Whether the server itself says that it did not commit.
fn is_refusal(error: &Error) -> bool {
    // Class 23: a constraint; class 40: it was rolled back for another's sake.
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.is_some_and(|code| code.starts_with("23") || code.starts_with("40"))
}

async fn bounded<T>(patience: Duration, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(patience, answer).await.unwrap_or_else(|_| {
        let reason = format!("nothing came of a statement within {} s", patience.as_secs_f64());
        Err(Error::Io(io::Error::new(io::ErrorKind::TimedOut, reason)))
    })
}
