//! Jobs in Redis or Valkey, shared by all processes that reach it: a single server, behind Sentinels, or a cluster.
//!
//! Each step is one script on one partition, so it happens wholly or not at all, and by the server's clock. A lost reply
//! does no harm: a known id stays as it is, a settled lease says so, and a fetch hands over what an earlier one gave.

mod envelope;
mod exchange;
mod gather;
mod keys;
mod options;
mod pulse;
mod queue;
mod read;
mod registry;
mod reply;
mod requests;
mod scripts;
mod settle;
mod upkeep;
mod wait;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tidegate_redis::{BlockingPool, Client, Keyspace};
use tokio::runtime::Handle;

use crate::broker::{
    Broker, Change, CleanableState, Cursor, Fetch, NewJob, Page, Promoted, QueueCounts, Reclaim, Reclaimed, Retention,
    Wake,
};
use crate::error::BrokerError;
use crate::id::{JobId, WorkerId};
use crate::lease::{Ack, Heartbeat, LeaseToken, LeasedJob, Nack, Settled};
use crate::record::{JobRecord, Progress};
use crate::state::State;
use crate::worker::WorkerInfo;
use gather::Carrier;
use keys::RegistryKeys;
pub use options::RedisOptions;
use pulse::Pulse;
use queue::Queues;
use scripts::Scripts;
use upkeep::Wish;
use wait::Listeners;

/// Durable jobs in Redis. See [`RedisOptions`] for what can be chosen.
///
/// Cost: a step is one round trip. Inside it the server runs 7 commands to enqueue one job and 16 to settle one and lease
/// the next, and less than one a job from about 30 at once. A waiting job takes its payload and about 180 bytes of the
/// server's memory.
///
/// As durable as the server: an acknowledged job survives `kill -9` of it with an append-only file, a power cut only with
/// `appendfsync always`, and a failover where the replica had received it.
///
/// With several partitions order, and "all or none" for a batch, hold within each, [`Retention`]'s numbers are shared out
/// among them, and a failing one fails the calls that concern it, though others may have done their part.
pub struct RedisBroker {
    client: Client,
    keyspace: Keyspace,
    registry: RegistryKeys,
    options: RedisOptions,
    scripts: Arc<Scripts>,
    carrier: Carrier,
    queues: Queues,
    listeners: Listeners,
    pulse: Pulse,
}

impl RedisBroker {
    /// A broker on that server. Sends nothing yet. `pool` should hold a connection for each partition of each queue that
    /// this process waits for; with fewer, workers find new jobs up to a second late.
    ///
    /// # Panics
    /// Outside a Tokio runtime: it waits for jobs on the one in which it was made.
    pub fn connect(client: Client, pool: BlockingPool, keyspace: Keyspace, options: RedisOptions) -> Self {
        let registry = RegistryKeys::new(&keyspace);
        let scripts = Arc::new(Scripts::new(&options.clock));
        Self {
            carrier: Carrier::new(client.clone(), scripts.clone(), &registry.names),
            registry,
            scripts,
            queues: Queues::default(),
            pulse: Pulse::like(&client),
            listeners: Listeners::new(pool, Handle::current()),
            client,
            keyspace,
            options,
        }
    }
}

#[async_trait]
impl crate::broker::Documents for RedisBroker {
    async fn document(&self, _: &str, _: &str) -> Result<Option<crate::broker::Document>, BrokerError> {
        Err(BrokerError::Closed)
    }

    async fn put_document(&self, _: &str, _: &str, _: Option<u64>, _: Option<String>) -> Result<bool, BrokerError> {
        Err(BrokerError::Closed)
    }

    async fn documents(&self, _: &str) -> Result<Vec<(String, crate::broker::Document)>, BrokerError> {
        Err(BrokerError::Closed)
    }
}

#[async_trait]
impl Broker for RedisBroker {
    async fn now(&self) -> Result<crate::clock::Timestamp, BrokerError> {
        Err(BrokerError::Closed)
    }

    async fn checkpoint(&self, _: &str, _: &LeaseToken, _: String) -> Result<bool, BrokerError> {
        Err(BrokerError::Closed)
    }

    async fn log(&self, _: &str, _: &LeaseToken, _: Vec<String>) -> Result<bool, BrokerError> {
        Err(BrokerError::Closed)
    }

    async fn logs(&self, _: &str, _: &JobId) -> Result<Vec<crate::record::LogLine>, BrokerError> {
        Err(BrokerError::Closed)
    }

    async fn configure(&self, _: &str, _: crate::broker::QueueSettings) -> Result<(), BrokerError> {
        Err(BrokerError::Closed)
    }

    async fn settings(&self, _: &str) -> Result<crate::broker::QueueSettings, BrokerError> {
        Err(BrokerError::Closed)
    }

    async fn events(
        &self,
        _: &str,
        _: Option<crate::broker::EventCursor>,
        _: usize,
    ) -> Result<crate::broker::EventPage, BrokerError> {
        Err(BrokerError::Closed)
    }

    async fn group(&self, _: &str, _: &crate::id::GroupId) -> Result<Option<crate::broker::GroupCounts>, BrokerError> {
        Err(BrokerError::Closed)
    }

    async fn forget_group(&self, _: &str, _: &crate::id::GroupId) -> Result<(), BrokerError> {
        Err(BrokerError::Closed)
    }

    async fn drain(&self, _: &str, _: usize) -> Result<usize, BrokerError> {
        Err(BrokerError::Closed)
    }

    async fn retry_dead(&self, _: &str, _: usize) -> Result<usize, BrokerError> {
        Err(BrokerError::Closed)
    }

    async fn enqueue(&self, queue: &str, jobs: Vec<NewJob>) -> Result<Vec<crate::broker::Stored>, BrokerError> {
        let count = jobs.len();
        self.add(queue, jobs).await?;
        Ok(vec![crate::broker::Stored::New; count])
    }

    async fn ack_and_fetch(
        &self,
        queue: &str,
        acks: Vec<Ack>,
        fetch: Fetch,
    ) -> Result<(Vec<Settled>, Vec<LeasedJob>), BrokerError> {
        self.exchange(queue, acks, fetch).await
    }

    async fn nack(&self, queue: &str, nacks: Vec<Nack>) -> Result<Vec<Settled>, BrokerError> {
        self.give_back(queue, nacks).await
    }

    async fn heartbeat(&self, queue: &str, tokens: Vec<LeaseToken>, lease: Duration) -> Result<Heartbeat, BrokerError> {
        self.extend(queue, tokens, lease).await
    }

    async fn progress(&self, queue: &str, token: &LeaseToken, progress: Progress) -> Result<bool, BrokerError> {
        self.store_progress(queue, token, progress).await
    }

    async fn promote(&self, queue: &str, limit: usize) -> Result<Promoted, BrokerError> {
        self.make_ready(queue, limit).await
    }

    async fn reclaim(&self, queue: &str, request: Reclaim) -> Result<Reclaimed, BrokerError> {
        self.take_back(queue, request).await
    }

    async fn prune(&self, queue: &str, retention: Retention, limit: usize) -> Result<usize, BrokerError> {
        self.trim(queue, retention, limit).await
    }

    async fn wait(&self, queues: &[String], timeout: Duration) -> Result<Wake, BrokerError> {
        self.wait_for(queues, timeout).await
    }

    async fn job(&self, queue: &str, id: &JobId) -> Result<Option<JobRecord>, BrokerError> {
        self.read(queue, id).await
    }

    async fn list(&self, queue: &str, state: State, cursor: Option<Cursor>, limit: usize) -> Result<Page, BrokerError> {
        self.page(queue, state, cursor, limit).await
    }

    async fn counts(&self, queue: &str) -> Result<QueueCounts, BrokerError> {
        self.numbers(queue).await
    }

    async fn queues(&self) -> Result<Vec<String>, BrokerError> {
        self.names().await
    }

    async fn pause(&self, queue: &str) -> Result<(), BrokerError> {
        self.set_paused(queue, true).await
    }

    async fn resume(&self, queue: &str) -> Result<(), BrokerError> {
        self.set_paused(queue, false).await
    }

    async fn cancel(&self, queue: &str, id: &JobId) -> Result<Change, BrokerError> {
        self.change(queue, id, Wish::Cancel).await
    }

    async fn retry(&self, queue: &str, id: &JobId) -> Result<Change, BrokerError> {
        self.change(queue, id, Wish::Retry).await
    }

    async fn clean(
        &self,
        queue: &str,
        state: CleanableState,
        older_than: Duration,
        limit: usize,
    ) -> Result<usize, BrokerError> {
        self.remove_old(queue, state, older_than, limit).await
    }

    async fn announce(&self, worker: WorkerInfo) -> Result<(), BrokerError> {
        self.enter(&worker).await
    }

    async fn withdraw(&self, worker: &WorkerId) -> Result<(), BrokerError> {
        self.leave(worker).await
    }

    async fn workers(&self) -> Result<Vec<WorkerInfo>, BrokerError> {
        self.seen().await
    }
}
