//! Brokers on Redis, on servers of the test's own, also with a manual clock.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tidegate_queue::{
    Ack, Broker, BrokerError, Change, CleanableState, Cursor, Document, Documents, EventCursor, EventPage, Fetch,
    GroupCounts, GroupId, Heartbeat, JobId, JobRecord, JobState, LeaseToken, LeasedJob, LogLine, ManualClock, Nack,
    NewJob, Page, Progress, Promoted, QueueCounts, QueueOverview, QueueSettings, Reclaim, Reclaimed, RedisBroker,
    RedisOptions, Retention, Settled, Stored, Timestamp, Wake, WorkerId, WorkerInfo,
};
use tidegate_redis::{BlockingPool, Client, ClockPrelude, Command, Config, Keyspace, Role};

/// A broker on that server, with that prefix and the server's clock.
pub async fn broker(url: &str, prefix: &str, options: RedisOptions) -> RedisBroker {
    let config = Config::parse(url).unwrap();
    let client = Client::connect(&config, Role::Durable).await.unwrap();
    let pool = BlockingPool::new(&config, Role::Durable, 16);
    RedisBroker::connect(client, pool, Keyspace::new(prefix).unwrap(), options)
}

/// A prefix that was not used in this process before.
pub fn fresh_prefix() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A broker whose server reads a manual clock, which is written to the server before each step.
pub struct Clocked {
    broker: RedisBroker,
    clock: ManualClock,
    client: Client,
    key: String,
}

impl Clocked {
    pub async fn on(url: &str, clock: ManualClock) -> Self {
        let prefix = fresh_prefix();
        let key = format!("{prefix}:clock");
        let config = Config::parse(url).unwrap();
        let client = Client::connect(&config, Role::Durable).await.unwrap();
        let options = RedisOptions::new().clock(ClockPrelude::from_key(&key));
        Self { broker: broker(url, &prefix, options).await, clock, client, key }
    }

    async fn set(&self) -> &RedisBroker {
        let now = || Command::new("SET").key(&self.key).arg(Timestamp::now(&self.clock).unix_ms() * 1_000);
        let mut set = self.client.execute(now()).await;
        // A restarted server may not be reachable at once.
        for _ in 0..1_000 {
            match set {
                Err(error) if error.is_transient() => tokio::time::sleep(Duration::from_millis(20)).await,
                _ => break,
            }
            set = self.client.execute(now()).await;
        }
        set.unwrap();
        &self.broker
    }
}

#[async_trait]
impl Documents for Clocked {
    async fn document(&self, collection: &str, name: &str) -> Result<Option<Document>, BrokerError> {
        self.set().await.document(collection, name).await
    }

    async fn put_document(
        &self,
        collection: &str,
        name: &str,
        expected: Option<u64>,
        body: Option<String>,
    ) -> Result<bool, BrokerError> {
        self.set().await.put_document(collection, name, expected, body).await
    }

    async fn documents(&self, collection: &str) -> Result<Vec<(String, Document)>, BrokerError> {
        self.set().await.documents(collection).await
    }
}

#[async_trait]
impl Broker for Clocked {
    async fn now(&self) -> Result<Timestamp, BrokerError> {
        self.set().await.now().await
    }

    async fn checkpoint(&self, queue: &str, token: &LeaseToken, checkpoint: String) -> Result<bool, BrokerError> {
        self.set().await.checkpoint(queue, token, checkpoint).await
    }

    async fn log(&self, queue: &str, token: &LeaseToken, lines: Vec<String>) -> Result<bool, BrokerError> {
        self.set().await.log(queue, token, lines).await
    }

    async fn logs(&self, queue: &str, id: &JobId) -> Result<Vec<LogLine>, BrokerError> {
        self.set().await.logs(queue, id).await
    }

    async fn configure(&self, queue: &str, settings: QueueSettings) -> Result<(), BrokerError> {
        self.set().await.configure(queue, settings).await
    }

    async fn settings(&self, queue: &str) -> Result<QueueSettings, BrokerError> {
        self.set().await.settings(queue).await
    }

    async fn overviews(&self, queues: &[&str]) -> Result<Vec<QueueOverview>, BrokerError> {
        self.set().await.overviews(queues).await
    }

    async fn running(&self, queues: &[&str], limit: usize) -> Result<Vec<JobRecord>, BrokerError> {
        self.set().await.running(queues, limit).await
    }

    async fn events(&self, queue: &str, after: Option<EventCursor>, limit: usize) -> Result<EventPage, BrokerError> {
        self.set().await.events(queue, after, limit).await
    }

    async fn group(&self, queue: &str, group: &GroupId) -> Result<Option<GroupCounts>, BrokerError> {
        self.set().await.group(queue, group).await
    }

    async fn forget_group(&self, queue: &str, group: &GroupId) -> Result<(), BrokerError> {
        self.set().await.forget_group(queue, group).await
    }

    async fn remove(&self, queue: &str, ids: &[JobId]) -> Result<Vec<Change>, BrokerError> {
        self.set().await.remove(queue, ids).await
    }

    async fn drain(&self, queue: &str, limit: usize) -> Result<usize, BrokerError> {
        self.set().await.drain(queue, limit).await
    }

    async fn retry_dead(&self, queue: &str, limit: usize) -> Result<usize, BrokerError> {
        self.set().await.retry_dead(queue, limit).await
    }

    async fn enqueue(&self, queue: &str, jobs: Vec<NewJob>) -> Result<Vec<Stored>, BrokerError> {
        self.set().await.enqueue(queue, jobs).await
    }

    async fn ack_and_fetch(
        &self,
        queue: &str,
        acks: Vec<Ack>,
        fetch: Fetch,
    ) -> Result<(Vec<Settled>, Vec<LeasedJob>), BrokerError> {
        self.set().await.ack_and_fetch(queue, acks, fetch).await
    }

    async fn nack(&self, queue: &str, nacks: Vec<Nack>) -> Result<Vec<Settled>, BrokerError> {
        self.set().await.nack(queue, nacks).await
    }

    async fn heartbeat(&self, queue: &str, tokens: Vec<LeaseToken>, lease: Duration) -> Result<Heartbeat, BrokerError> {
        self.set().await.heartbeat(queue, tokens, lease).await
    }

    async fn progress(&self, queue: &str, token: &LeaseToken, progress: Progress) -> Result<bool, BrokerError> {
        self.set().await.progress(queue, token, progress).await
    }

    async fn promote(&self, queue: &str, limit: usize) -> Result<Promoted, BrokerError> {
        self.set().await.promote(queue, limit).await
    }

    async fn reclaim(&self, queue: &str, request: Reclaim) -> Result<Reclaimed, BrokerError> {
        self.set().await.reclaim(queue, request).await
    }

    async fn prune(&self, queue: &str, retention: Retention, limit: usize) -> Result<usize, BrokerError> {
        self.set().await.prune(queue, retention, limit).await
    }

    async fn wait(&self, queues: &[String], timeout: Duration) -> Result<Wake, BrokerError> {
        self.set().await.wait(queues, timeout).await
    }

    async fn job(&self, queue: &str, id: &JobId) -> Result<Option<JobRecord>, BrokerError> {
        self.set().await.job(queue, id).await
    }

    async fn list(
        &self,
        queue: &str,
        state: JobState,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<Page, BrokerError> {
        self.set().await.list(queue, state, cursor, limit).await
    }

    async fn counts(&self, queue: &str) -> Result<QueueCounts, BrokerError> {
        self.set().await.counts(queue).await
    }

    async fn queues(&self) -> Result<Vec<String>, BrokerError> {
        self.set().await.queues().await
    }

    async fn pause(&self, queue: &str) -> Result<(), BrokerError> {
        self.set().await.pause(queue).await
    }

    async fn resume(&self, queue: &str) -> Result<(), BrokerError> {
        self.set().await.resume(queue).await
    }

    async fn cancel(&self, queue: &str, id: &JobId) -> Result<Change, BrokerError> {
        self.set().await.cancel(queue, id).await
    }

    async fn retry(&self, queue: &str, id: &JobId) -> Result<Change, BrokerError> {
        self.set().await.retry(queue, id).await
    }

    async fn clean(
        &self,
        queue: &str,
        state: CleanableState,
        older_than: Duration,
        limit: usize,
    ) -> Result<usize, BrokerError> {
        self.set().await.clean(queue, state, older_than, limit).await
    }

    async fn announce(&self, worker: WorkerInfo) -> Result<(), BrokerError> {
        self.set().await.announce(worker).await
    }

    async fn withdraw(&self, worker: &WorkerId) -> Result<(), BrokerError> {
        self.set().await.withdraw(worker).await
    }

    async fn workers(&self) -> Result<Vec<WorkerInfo>, BrokerError> {
        self.set().await.workers().await
    }
}
