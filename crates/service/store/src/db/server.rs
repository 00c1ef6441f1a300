//! A PostgreSQL server and the connections to it.

use std::time::Duration;

use sqlx::Error;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use tidegate_settings::{DatabaseSettings, DatabaseUrl};
use tokio::time::timeout;

use super::super::pool::{Connections, WatchedPool};
use super::super::running::join;
use super::follower::is_follower;
use super::losses::LastLoss;
use super::pooled::PooledConnection;
use super::replicas::Replicas;

/// How long closing waits for a server that hangs.
const CLOSING: Duration = Duration::from_secs(5);

/// The primary, which takes the writes. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    url: DatabaseUrl,
    primary: Connections<sqlx::Postgres>,
    deadline: Duration,
    patience: Duration,
    losses: LastLoss,
    replicas: Option<Replicas>,
}

impl Server {
    /// Connects when the first statement runs.
    pub(crate) fn new(settings: &DatabaseSettings) -> Self {
        let losses = LastLoss::new();
        let pool = losses.guard(pool(settings.pool, settings.connect_timeout));
        let pool = pool.connect_lazy_with(settings.url.options());
        let primary = Connections::new("app-postgres", settings.pool, pool);
        // Three attempts may time out before the deadline.
        let patience = (settings.deadline / 3).max(Duration::from_secs(1));
        let replicas = Replicas::new(settings, &primary, patience);
        let url = settings.url.clone();
        Self { url, primary, deadline: settings.deadline, patience, losses, replicas }
    }

    /// Uses the current login of the URLs for new connections.
    pub(super) fn log_in_anew(&self) {
        self.primary.connect_with(self.url.options());
        self.replicas.iter().for_each(Replicas::log_in_anew);
    }

    /// How long a caller that lost the server retries.
    pub(super) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Records that a connection was lost.
    pub(super) fn lost(&self) {
        self.losses.note();
        // The next connection may reach another server with another log.
        self.replicas.iter().for_each(Replicas::changed_everything);
    }

    /// Borrows a connection of the primary's pool.
    pub(crate) async fn lend(&self) -> Result<PooledConnection, Error> {
        Ok(PooledConnection::new(self.primary.acquire().await?, self.patience))
    }

    /// Address and database, without login.
    pub(super) fn place(&self) -> String {
        self.url.to_string()
    }

    /// Its replicas. `None` if there are none.
    pub(super) fn replicas(&self) -> Option<&Replicas> {
        self.replicas.as_ref()
    }

    pub(super) fn pools(&self) -> Vec<WatchedPool> {
        let replicas = self.replicas.iter().flat_map(Replicas::pools);
        std::iter::once(self.primary.watched().clone()).chain(replicas).collect()
    }

    pub(super) async fn close(&self) {
        let closing = async {
            self.primary.close().await;
            if let Some(replicas) = &self.replicas {
                replicas.close().await;
            }
        };
        if timeout(CLOSING, closing).await.is_err() {
            tracing::info!("connections to the database did not close in time and are left");
        }
    }
}

/// Makes a pool of one connection outside the other pools, to listen on.
pub(crate) async fn connect_apart(url: &DatabaseUrl, patience: Duration) -> Result<PgPool, Error> {
    let pool = pool(1, patience).max_lifetime(None).idle_timeout(None);
    pool.connect_with(url.options()).await
}

/// Makes a pool of connections to a writable server. A replica would answer with a state from
/// before the latest commits, and a value that fills the cache must never be older than the changes
/// that this process was notified of.
fn pool(connections: u32, patience: Duration) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(patience)
        // The component `pool_wait` reports slow waits, with a configurable threshold.
        .acquire_slow_threshold(Duration::MAX)
        .test_before_acquire(false)
        .after_connect(|connection, _| Box::pin(greet(connection)))
}

async fn greet(connection: &mut PgConnection) -> Result<(), Error> {
    if is_follower(connection).await? {
        return Err(Error::Configuration("this server is a replica and can't be written".into()));
    }
    join(connection).await
}
