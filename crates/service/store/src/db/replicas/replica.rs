//! One replica and the connections to it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sqlx::postgres::{PgConnection, PgPoolOptions};
use sqlx::{Error, Postgres};
use tidegate_settings::{DatabaseUrl, MOST_REPLICAS};

use super::super::follower::is_follower;
use super::super::losses::LastLoss;
use super::super::pooled::PooledConnection;
use super::cut_off::CutOff;
use super::health::ReplicaHealth;
use crate::pool::Connections;

/// Timeout for a connection from the pool of a replica.
const PATIENCE: Duration = Duration::from_secs(1);
/// Names of the pools, one for each possible replica.
pub(super) const NAMES: [&str; MOST_REPLICAS] = [
    "app-replica-1",
    "app-replica-2",
    "app-replica-3",
    "app-replica-4",
    "app-replica-5",
    "app-replica-6",
    "app-replica-7",
    "app-replica-8",
];

/// State that all replicas of a server share. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Common {
    pub(super) cut_off: Arc<CutOff>,
    /// The installation that the replicas must have. Empty until it is known.
    pub(super) installation: Arc<OnceLock<String>>,
}

/// One replica.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) connections: Connections<Postgres>,
    /// Timeout of one statement.
    patience: Duration,
    pub(super) health: Arc<ReplicaHealth>,
}

impl Replica {
    /// Connects when the first statement runs.
    pub(super) fn new(url: &DatabaseUrl, name: &'static str, size: u32, patience: Duration, common: &Common) -> Self {
        let installation = Arc::clone(&common.installation);
        let losses = LastLoss::new();
        let pool = PgPoolOptions::new()
            .max_connections(size)
            .acquire_timeout(PATIENCE)
            .test_before_acquire(false)
            .after_connect(move |connection, _| {
                let installation = Arc::clone(&installation);
                Box::pin(async move { greet(connection, installation.get()).await })
            });
        let pool = losses.guard(pool).connect_lazy_with(url.options());
        let health = Arc::new(ReplicaHealth::new(url.clone(), losses, Arc::clone(&common.cut_off)));
        Self { connections: Connections::new(name, size, pool), patience, health }
    }

    /// Returns a connection. `None` if there is none within the timeout.
    pub(super) async fn lend(&self) -> Option<PooledConnection> {
        match self.connections.acquire().await {
            Ok(connection) => Some(PooledConnection::of_replica(connection, self.patience, Arc::clone(&self.health))),
            Err(error) if self.is_only_busy(&error) => None,
            Err(error) => {
                self.health.failed(&error);
                None
            }
        }
    }

    /// Whether all of its connections are in use, which is no fault of the server.
    pub(super) fn is_only_busy(&self, error: &Error) -> bool {
        matches!(error, Error::PoolTimedOut) && self.connections.watched().state().in_use > 0
    }
}

/// Checks that the server is a replica and has the tables of the expected installation.
async fn greet(connection: &mut PgConnection, installation: Option<&String>) -> Result<(), Error> {
    let refused = |why: &'static str| Err(Error::Configuration(why.into()));
    let Some(installation) = installation else { return refused("the primary has not been reached yet") };
    if !is_follower(connection).await? {
        return refused("this server is not a replica");
    }
    let found: String = sqlx::query_scalar("SELECT id FROM installation").fetch_one(connection).await?;
    if found == *installation { Ok(()) } else { refused("this server has the tables of another installation") }
}
