//! The broker: its connections, and what this process knows of the server.

use std::sync::Arc;

use tidegate_redis::{BlockingPool, Client, Keyspace};
use tokio::runtime::Handle;

use super::audit::Audits;
use super::carrier::Carrier;
use super::heartbeat_client::HeartbeatClient;
use super::keys::RegistryKeys;
use super::listener::Listeners;
use super::options::RedisOptions;
use super::queue::Queues;
use super::scripts::Scripts;

/// Durable jobs in Redis. See [`RedisOptions`] for the options.
///
/// Cost: a step is one round trip. In batches of 50, the server spends about 5 µs to lease, settle
/// and later remove a job of 200 bytes. In batches of 1,000, it spends under 3 µs to store one.
/// Concurrent enqueues of a process share steps. A ready job takes its payload and about 155 bytes
/// of the server's memory.
///
/// Durability is that of the server. An acknowledged job survives `kill -9` of a server with an
/// append-only file. It survives a power failure only with `appendfsync always`, and a failover if
/// the replica had received it. [`RedisDurability`] makes enqueues wait for more. After each
/// restart and failover, an audit puts jobs that are in no list back into one.
///
/// A server that has reached `maxmemory` refuses enqueues with [`BrokerError::Full`] and runs all
/// other steps. Results, log lines, events and long errors are then dropped or shortened, and
/// counted in [`QueueCounts::dropped_total`]. Dead jobs are kept, so running jobs may still add to
/// the server's memory. Once they have added 5 %, a fetch that would lease ready jobs is refused
/// with the same error, until there is memory.
///
/// With several partitions, the order and "all or none" for a batch hold within each. Jobs whose
/// ids end in the same route (`~…`) are in one partition; jobs of one ordering or unique key have
/// the same route. The numbers of [`Retention`] and the limits of [`QueueSettings`] are divided
/// among the partitions, at least one job each. If a partition fails, the calls that involve it
/// fail, although other partitions may have done their part.
///
/// [`RedisDurability`]: crate::RedisDurability
/// [`BrokerError::Full`]: crate::BrokerError::Full
/// [`QueueCounts::dropped_total`]: crate::QueueCounts::dropped_total
/// [`Retention`]: crate::Retention
/// [`QueueSettings`]: crate::QueueSettings
pub struct RedisBroker {
    pub(super) client: Client,
    pub(super) keyspace: Keyspace,
    pub(super) registry: RegistryKeys,
    pub(super) options: RedisOptions,
    pub(super) scripts: Arc<Scripts>,
    pub(super) carrier: Carrier,
    pub(super) queues: Queues,
    pub(super) listeners: Listeners,
    pub(super) heartbeats: HeartbeatClient,
    pub(super) audits: Audits,
}

impl RedisBroker {
    /// Creates a broker on the server. Sends nothing yet. `pool` should have a connection for each
    /// partition of each queue that this process waits for. With fewer, workers find new jobs up to
    /// a second late.
    ///
    /// # Panics
    /// Outside a Tokio runtime. The broker waits for jobs on the runtime on which it was created.
    pub fn connect(client: Client, pool: BlockingPool, keyspace: Keyspace, options: RedisOptions) -> Self {
        let registry = RegistryKeys::new(&keyspace);
        let scripts = Arc::new(Scripts::new(&options.clock));
        Self {
            carrier: Carrier::new(client.clone(), scripts.clone(), &registry.names, options.durability),
            registry,
            scripts,
            queues: Queues::default(),
            heartbeats: HeartbeatClient::like(&client),
            audits: Audits::new(Handle::current()),
            listeners: Listeners::new(pool, Handle::current()),
            client,
            keyspace,
            options,
        }
    }
}
