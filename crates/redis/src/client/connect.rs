//! Connecting: opens the connections, checks the servers, starts the prober.

use std::sync::Arc;

use super::{Client, Inner, probe};
use crate::availability::Availability;
use crate::config::{Config, Role, Topology};
use crate::error::ConnectError;
use crate::shards::Shards;
use crate::{check, slot};

impl Client {
    /// Connects, and checks whether the server suits the role: its version, that it is a primary,
    /// and for [`Role::Durable`] that it doesn't evict keys.
    ///
    /// # Errors
    /// [`ConnectError`], with one variant for each possible problem.
    pub async fn connect(config: &Config, role: Role) -> Result<Self, ConnectError> {
        let timeout = config.timeout(role);
        let states = if config.topology() == Topology::Cluster { slot::SLOTS } else { 1 };
        let (availability, outages) = Availability::new(states);
        let shards = Shards::connect(config, timeout, availability.clone()).await?;
        let warnings = check::server(&shards, config, role).await?;
        let prober = tokio::spawn(probe::run(shards.clone(), availability.clone(), outages));
        let inner = Inner { shards, config: config.clone(), role, timeout, availability, prober, warnings };
        Ok(Self { inner: Arc::new(inner) })
    }
}
