//! Jobs in Redis or Valkey, shared by all processes that reach it: a single server, a server with
//! Sentinels, or a cluster.
//!
//! Each step is one script on one partition. It takes effect completely or not at all, and uses the
//! server's clock. A lost reply is harmless: an existing id is left unchanged, a settled lease is
//! reported as settled, and a repeated fetch returns the jobs of the earlier one.
//!
//! If a crash tears a step in the server's append-only file, a job may be in two lists or in its
//! old one; see `audit`.

mod audit;
mod documents;
mod durability;
mod envelope;
mod exchange;
#[cfg(test)]
mod fuzz;
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
mod settings;
mod settle;
mod upkeep;
mod wait;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{try_join, try_join_all};
use tidegate_redis::{BlockingPool, Client, Keyspace};
use tokio::runtime::Handle;

use crate::broker::admission::admit;
use crate::broker::{
    Broker, Change, CleanableState, Cursor, Document, Documents, EventCursor, EventPage, Fetch, GroupCounts, NewJob,
    Page, Promoted, QueueCounts, QueueOverview, QueueSettings, Reclaim, Reclaimed, Retention, Stored, Wake, WorkerInfo,
};
use crate::clock::Timestamp;
use crate::error::BrokerError;
use crate::id::{GroupId, JobId, WorkerId};
use crate::lease::{Ack, Heartbeat, LeaseToken, LeasedJob, Nack, Settled};
use crate::record::{JobRecord, LogLine, Progress};
use crate::state::State;
use audit::Audits;
pub use durability::{NotDurable, RedisDurability};
use gather::Carrier;
use keys::RegistryKeys;
pub use options::RedisOptions;
use pulse::Pulse;
use queue::Queues;
use scripts::Scripts;
use upkeep::Wish;
use wait::Listeners;

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
    audits: Audits,
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
            pulse: Pulse::like(&client),
            audits: Audits::new(Handle::current()),
            listeners: Listeners::new(pool, Handle::current()),
            client,
            keyspace,
            options,
        }
    }
}

#[async_trait]
impl Documents for RedisBroker {
    async fn document(&self, collection: &str, name: &str) -> Result<Option<Document>, BrokerError> {
        self.one_document(collection, name).await
    }

    async fn put_document(
        &self,
        collection: &str,
        name: &str,
        expected: Option<u64>,
        body: Option<String>,
    ) -> Result<bool, BrokerError> {
        self.write_document(collection, name, expected, body).await
    }

    async fn documents(&self, collection: &str) -> Result<Vec<(String, Document)>, BrokerError> {
        self.all_documents(collection).await
    }
}

#[async_trait]
impl Broker for RedisBroker {
    async fn now(&self) -> Result<Timestamp, BrokerError> {
        self.time().await
    }

    fn is_partitioned(&self) -> bool {
        true
    }

    async fn checkpoint(&self, queue: &str, token: &LeaseToken, checkpoint: String) -> Result<bool, BrokerError> {
        self.store_checkpoint(queue, token, checkpoint).await
    }

    async fn log(&self, queue: &str, token: &LeaseToken, lines: Vec<String>) -> Result<bool, BrokerError> {
        self.store_lines(queue, token, lines).await
    }

    async fn logs(&self, queue: &str, id: &JobId) -> Result<Vec<LogLine>, BrokerError> {
        self.log_of(queue, id).await
    }

    async fn configure(&self, queue: &str, settings: QueueSettings) -> Result<(), BrokerError> {
        self.set_up(queue, settings).await
    }

    async fn settings(&self, queue: &str) -> Result<QueueSettings, BrokerError> {
        self.set_up_as(queue).await
    }

    async fn events(&self, queue: &str, after: Option<EventCursor>, limit: usize) -> Result<EventPage, BrokerError> {
        self.happened(queue, after, limit).await
    }

    async fn group(&self, queue: &str, group: &GroupId) -> Result<Option<GroupCounts>, BrokerError> {
        self.counted(queue, group).await
    }

    async fn forget_group(&self, queue: &str, group: &GroupId) -> Result<(), BrokerError> {
        self.count_no_more(queue, group).await
    }

    async fn drain(&self, queue: &str, limit: usize) -> Result<usize, BrokerError> {
        self.cancel_all(queue, limit).await
    }

    async fn retry_dead(&self, queue: &str, limit: usize) -> Result<usize, BrokerError> {
        self.revive_dead(queue, limit).await
    }

    async fn enqueue(&self, queue: &str, jobs: Vec<NewJob>) -> Result<Vec<Stored>, BrokerError> {
        admit(self, queue, &jobs).await?;
        self.add(queue, jobs).await
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

    async fn overviews(&self, queues: &[&str]) -> Result<Vec<QueueOverview>, BrokerError> {
        try_join_all(queues.iter().map(|queue| async {
            let (counts, settings) = try_join(self.numbers(queue), self.set_up_as(queue)).await?;
            Ok(QueueOverview::new(counts, settings))
        }))
        .await
    }

    async fn running(&self, queues: &[&str], limit: usize) -> Result<Vec<JobRecord>, BrokerError> {
        let pages = queues.iter().map(|queue| self.page(queue, State::Leased, None, limit));
        Ok(try_join_all(pages).await?.into_iter().flat_map(|page| page.items).collect())
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

    async fn remove(&self, queue: &str, ids: &[JobId]) -> Result<Vec<Change>, BrokerError> {
        self.remove_some(queue, ids).await
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
