//! A connection for heartbeats, on a thread and runtime of its own: handlers that compute without yielding hold up all
//! else that the program sends, and would cost the worker its leases.

use tidegate_redis::{Client, Config, Role};
use tokio::sync::OnceCell;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::error::BrokerError;

/// Made with the first heartbeat, since a process that only enqueues needs none.
pub(super) struct Pulse {
    config: Config,
    role: Role,
    made: OnceCell<Made>,
}

struct Made {
    client: Client,
    _stop_on_drop: DropGuard,
}

impl Pulse {
    pub(super) fn like(client: &Client) -> Self {
        Self { config: client.config().clone(), role: client.role(), made: OnceCell::new() }
    }

    pub(super) async fn client(&self) -> Result<&Client, BrokerError> {
        let made = self.made.get_or_try_init(|| self.make()).await;
        made.map(|made| &made.client).map_err(|source| BrokerError::Store {
            operation: "connect for heartbeats",
            transient: true,
            source,
        })
    }

    async fn make(&self) -> Result<Made, Box<dyn std::error::Error + Send + Sync>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let stop = stop.drop_guard();
        std::thread::Builder::new()
            .name("queue-pulse".to_owned())
            .spawn(move || runtime.block_on(stopped.cancelled_owned()))?;
        let (config, role) = (self.config.clone(), self.role);
        let client = handle.spawn(async move { Client::connect(&config, role).await }).await??;
        Ok(Made { client, _stop_on_drop: stop })
    }
}
