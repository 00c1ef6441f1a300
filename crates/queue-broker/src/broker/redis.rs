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
mod broker;
mod carrier;
mod documents;
mod durability;
mod durable;
mod enqueue;
mod envelope;
mod exchange;
mod failure;
mod find;
#[cfg(test)]
mod fuzz;
mod gather;
mod heartbeat_client;
mod keys;
mod listener;
mod options;
mod queue;
mod read;
mod registry;
mod reply;
mod requests;
mod scripts;
mod settings;
mod settle;
mod stored;
mod upkeep;
mod wait;

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{try_join, try_join_all};

use crate::broker::admission::admit;
use crate::broker::{
    Broker, Change, CleanableState, Cursor, Document, Documents, EventCursor, EventPage, Fetch, GroupCounts, NewJob,
    Page, Promoted, QueueCounts, QueueOverview, QueueSettings, Reclaim, Reclaimed, Retention, Stored, Wake, WorkerInfo,
};
use crate::error::BrokerError;
use crate::id::{GroupId, JobId, WorkerId};
use crate::lease::{Ack, Heartbeat, LeaseToken, LeasedJob, Nack, Settled};
use crate::record::{JobRecord, LogLine, Progress};
use crate::state::JobState;
use crate::timestamp::Timestamp;
pub use broker::RedisBroker;
pub use durability::{NotDurable, RedisDurability};
pub use options::RedisOptions;
use upkeep::JobChange;

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

    async fn list(
        &self,
        queue: &str,
        state: JobState,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<Page, BrokerError> {
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
        let pages = queues.iter().map(|queue| self.page(queue, JobState::Leased, None, limit));
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
        self.change(queue, id, JobChange::Cancel).await
    }

    async fn retry(&self, queue: &str, id: &JobId) -> Result<Change, BrokerError> {
        self.change(queue, id, JobChange::Retry).await
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
