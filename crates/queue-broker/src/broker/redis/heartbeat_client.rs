//! A connection for heartbeats and announcements, on a thread and runtime of its own. A handler
//! that computes without yielding delays everything else that the program sends. Without this
//! connection, it could make the worker lose its leases.

use std::sync::Arc;

use tidegate_redis::{Client, Config, Role};
use tokio::sync::OnceCell;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::error::BrokerError;

/// Connected by the first announcement of a worker, since a process that only enqueues does not
/// need it.
pub(super) struct HeartbeatClient {
    config: Config,
    role: Role,
    connection: Arc<OnceCell<Connection>>,
}

struct Connection {
    client: Client,
    _stop_on_drop: DropGuard,
}

type ConnectError = Box<dyn std::error::Error + Send + Sync>;

impl HeartbeatClient {
    pub(super) fn like(client: &Client) -> Self {
        Self { config: client.config().clone(), role: client.role(), connection: Arc::default() }
    }

    /// Returns the client, and connects first if necessary. Cancelled callers don't end the
    /// attempt: connecting to all servers of a cluster can take longer than a heartbeat waits.
    pub(super) async fn client(&self) -> Result<Client, BrokerError> {
        if let Some(connection) = self.connection.get() {
            return Ok(connection.client.clone());
        }
        let (connection, config, role) = (self.connection.clone(), self.config.clone(), self.role);
        let connecting = tokio::spawn(async move {
            let connected = connection.get_or_try_init(|| connect(config, role)).await;
            connected.map(|connection| connection.client.clone())
        });
        let client = connecting.await.map_err(ConnectError::from).and_then(|connected| connected);
        client.map_err(|source| BrokerError::Store {
            operation: "connect for heartbeats",
            transient: true,
            may_have_run: false,
            source,
        })
    }
}

async fn connect(config: Config, role: Role) -> Result<Connection, ConnectError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let stop = stop.drop_guard();
    std::thread::Builder::new()
        .name("queue-heartbeat".to_owned())
        .spawn(move || runtime.block_on(stopped.cancelled_owned()))?;
    let client = handle.spawn(async move { Client::connect(&config, role).await }).await??;
    Ok(Connection { client, _stop_on_drop: stop })
}
