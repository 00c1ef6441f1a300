//! Jobs in Redis or Valkey, shared by all processes that reach it: a single server, behind Sentinels, or a cluster.
//!
//! Each step is one script on one partition, so it happens wholly or not at all, and by the server's clock. A lost reply
//! does no harm: a known id stays as it is, a settled lease says so, and a fetch hands over what an earlier one gave.
//!
//! A step whose effects a crash tore in the server's append-only file leaves a job in two places
//! or in the old one; see `audit`.

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

use crate::broker::{
    Broker, Change, CleanableState, Cursor, Document, Documents, EventCursor, EventPage, Fetch, GroupCounts, NewJob,
    Page, Promoted, QueueCounts, QueueOverview, QueueSettings, Reclaim, Reclaimed, Retention, Stored, Wake,
};
use crate::clock::Timestamp;
use crate::error::BrokerError;
use crate::group::admit;
use crate::id::{GroupId, JobId, WorkerId};
use crate::lease::{Ack, Heartbeat, LeaseToken, LeasedJob, Nack, Settled};
use crate::record::{JobRecord, LogLine, Progress};
use crate::state::State;
use crate::worker::WorkerInfo;
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

/// Durable jobs in Redis. See [`RedisOptions`] for what can be chosen.
///
/// Cost: a step is one round trip. In batches of 50 the server spends about 5 µs to lease, settle and later forget a job of 200
/// bytes, in batches of 1,000 under 3 µs to take it in. Concurrent enqueues of a process share steps. A waiting job takes its
/// payload and about 155 bytes of the server's memory.
///
/// As durable as the server: an acknowledged job survives `kill -9` of it with an append-only file, a power cut only with
/// `appendfsync always`, and a failover where the replica had received it. [`RedisDurability`] lets enqueues wait for more.
/// Each restart and failover is followed by an audit, which puts jobs into the line that have lost
/// their place.
///
/// A server that has reached `maxmemory` refuses enqueues with [`BrokerError::Full`] and runs
/// everything else. Dead jobs are kept, so work may add to the server: once it has added 5 %, a fetch
/// that would lease ready jobs is refused with the same error, until there is memory. Results, lines of logs, events and long errors are then dropped or shortened,
/// and counted in [`QueueCounts::dropped_total`].
///
/// With several partitions order, and "all or none" for a batch, hold within each; jobs whose ids end in one `~` route, as
/// those of one ordering or unique key do, lie in one. [`Retention`]'s numbers, and what [`QueueSettings`] allow, are
/// shared out among them, to each at least one job. A failing one fails the calls that concern it, though others may have done
/// their part.
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
    /// A broker on that server. Sends nothing yet. `pool` should hold a connection for each partition of each queue that
    /// this process waits for; with fewer, workers find new jobs up to a second late.
    ///
    /// # Panics
    /// Outside a Tokio runtime: it waits for jobs on the one in which it was made.
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
