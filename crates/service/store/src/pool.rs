//! A connection pool that measures how long callers wait.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use sqlx::pool::PoolConnection;
use sqlx::{Connection, Database, Either, Error, Execute, Executor, Pool, SqlSafeStr, SqlStr, Transaction};
use tidegate_base::Times;
use tokio::time::Instant;

/// A pool that counts its waiting callers. Cheap to clone; it is used like the pool itself.
pub(super) struct Connections<DB: Database> {
    pool: Pool<DB>,
    watched: WatchedPool,
}

/// The metrics of a pool, of either database. Cheap to clone.
#[derive(Clone)]
pub struct WatchedPool {
    name: &'static str,
    max: u32,
    /// Returns the number of open connections and how many of them are idle.
    sizes: Arc<dyn Fn() -> (u32, usize) + Send + Sync>,
    watch: Arc<Watch>,
}

struct Watch {
    /// When each waiting caller started to wait, in order of arrival.
    waiting: Mutex<BTreeMap<u64, Instant>>,
    came: AtomicU64,
    acquired: Times,
    failed: AtomicU64,
}

/// State of a pool at one moment.
#[derive(Debug, Clone, Copy)]
pub struct PoolState {
    /// Name of the pool.
    pub name: &'static str,
    /// Maximum number of open connections.
    pub max: u32,
    /// Number of open connections.
    pub open: u64,
    /// Number of connections in use.
    pub in_use: u64,
    /// Number of callers that wait for a connection, including those that are just getting one.
    pub waiting: u64,
    /// How long the first of them has waited.
    pub longest_wait: Duration,
    /// Number of callers that did not get a connection, by a timeout or another error.
    pub failed: u64,
}

impl WatchedPool {
    /// Returns the current state.
    pub fn state(&self) -> PoolState {
        let (open, idle) = (self.sizes)();
        let open = u64::from(open);
        let idle = u64::try_from(idle).unwrap_or(u64::MAX);
        let (waiting, first) = self.watch.waiting();
        PoolState {
            name: self.name,
            max: self.max,
            open,
            // The two numbers are read one after the other, so `idle` may be larger.
            in_use: open.saturating_sub(idle),
            waiting,
            longest_wait: first.map(|since| since.elapsed()).unwrap_or_default(),
            failed: self.watch.failed.load(Ordering::Relaxed),
        }
    }

    /// Waiting times of the callers that got a connection.
    pub fn acquired(&self) -> &Times {
        &self.watch.acquired
    }
}

impl<DB: Database> Clone for Connections<DB> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), watched: self.watched.clone() }
    }
}

impl<DB: Database> Connections<DB> {
    /// Wraps a pool of at most `max` connections.
    pub(super) fn new(name: &'static str, max: u32, pool: Pool<DB>) -> Self {
        let acquired = Times::new(format!("pool.{name}"));
        let watch = Watch { waiting: Mutex::default(), came: AtomicU64::new(0), acquired, failed: AtomicU64::new(0) };
        let counted = pool.clone();
        let sizes = Arc::new(move || (counted.size(), counted.num_idle()));
        Self { pool, watched: WatchedPool { name, max, sizes, watch: Arc::new(watch) } }
    }

    /// Uses these options for new connections. Open connections stay.
    pub(super) fn connect_with(&self, options: <DB::Connection as Connection>::Options) {
        self.pool.set_connect_options(options);
    }

    /// The metrics of the pool.
    pub(super) fn watched(&self) -> &WatchedPool {
        &self.watched
    }

    /// Closes every connection after the running statements have ended.
    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    /// Opens a transaction with the given statement.
    pub(super) async fn begin_with(&self, statement: &'static str) -> Result<Transaction<'static, DB>, Error> {
        // The same as the pool's own method, which has no hook between the two steps.
        Transaction::begin(self.acquire().await?, Some(statement.into_sql_str())).await
    }

    /// Waits for a connection.
    pub(super) fn acquire(&self) -> impl Future<Output = Result<PoolConnection<DB>, Error>> + Send + 'static {
        let (pool, watch) = (self.pool.clone(), Arc::clone(&self.watched.watch));
        async move {
            // A caller that stops waiting drops this future and is no longer counted.
            let since = Instant::now();
            let _waiting = Waiting::begin(&watch, since);
            let acquired = pool.acquire().await;
            match &acquired {
                Ok(_) => watch.acquired.record(since.elapsed()),
                Err(_) => drop(watch.failed.fetch_add(1, Ordering::Relaxed)),
            }
            acquired
        }
    }
}

impl<DB: Database> fmt::Debug for Connections<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.watched.fmt(f)
    }
}

impl fmt::Debug for WatchedPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchedPool").field("state", &self.state()).finish_non_exhaustive()
    }
}

impl Watch {
    /// Returns the number of waiting callers and when the first of them started to wait.
    fn waiting(&self) -> (u64, Option<Instant>) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        (waiting.len() as u64, waiting.first_key_value().map(|(_, since)| *since))
    }
}

struct Waiting<'a> {
    watch: &'a Watch,
    number: u64,
}

impl<'a> Waiting<'a> {
    fn begin(watch: &'a Watch, since: Instant) -> Self {
        let number = watch.came.fetch_add(1, Ordering::Relaxed);
        watch.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(number, since);
        Self { watch, number }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.watch.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

impl<'p, DB: Database> Executor<'p> for &'_ Connections<DB>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    type Database = DB;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Either<DB::QueryResult, DB::Row>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, DB>,
    {
        let connection = self.acquire();
        let rows = async_stream::try_stream! {
            let mut connection = connection.await?;
            let mut rows = connection.fetch_many(query);
            while let Some(row) = rows.try_next().await? {
                yield row;
            }
        };
        rows.boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<DB::Row>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, DB>,
    {
        let connection = self.acquire();
        async move { connection.await?.fetch_optional(query).await }.boxed()
    }

    fn prepare_with<'e>(
        self,
        statement: SqlStr,
        parameters: &'e [DB::TypeInfo],
    ) -> BoxFuture<'e, Result<DB::Statement, Error>>
    where
        'p: 'e,
    {
        let connection = self.acquire();
        async move { connection.await?.prepare_with(statement, parameters).await }.boxed()
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
