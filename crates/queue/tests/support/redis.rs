//! Brokers on Redis: on servers of the test's own, and on a clock that stands still.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tidegate_queue::{
    Ack, Broker, BrokerError, Change, CleanableState, Clock, Cursor, Fetch, Heartbeat, JobId, JobRecord, LeaseToken,
    LeasedJob, ManualClock, Nack, NewJob, Page, Progress, Promoted, QueueCounts, Reclaim, Reclaimed, RedisBroker,
    RedisOptions, Retention, Settled, State, Wake, WorkerId, WorkerInfo,
};
use tidegate_redis::{BlockingPool, Client, ClockPrelude, Command, Config, Keyspace, Role};

/// A broker on that server, under that prefix, by the server's clock.
pub async fn broker(url: &str, prefix: &str, options: RedisOptions) -> RedisBroker {
    let config = Config::parse(url).unwrap();
    let client = Client::connect(&config, Role::Durable).await.unwrap();
    let pool = BlockingPool::new(&config, Role::Durable, 16);
    RedisBroker::connect(client, pool, Keyspace::new(prefix).unwrap(), options)
}

/// A prefix that nobody in this process has had.
pub fn fresh_prefix() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A broker whose server reads a clock that moves only when told: before each step the clock is written to the server.
pub struct Clocked {
    broker: RedisBroker,
    clock: Arc<ManualClock>,
    client: Client,
    key: String,
}

impl Clocked {
    pub async fn on(url: &str, clock: Arc<ManualClock>) -> Self {
        let prefix = fresh_prefix();
        let key = format!("{prefix}:clock");
        let config = Config::parse(url).unwrap();
        let client = Client::connect(&config, Role::Durable).await.unwrap();
        let options = RedisOptions::new().clock(ClockPrelude::from_key(&key));
        Self { broker: broker(url, &prefix, options).await, clock, client, key }
    }

    async fn now(&self) -> &RedisBroker {
        let now = Command::new("SET").key(&self.key).arg(self.clock.now().unix_ms() * 1_000);
        self.client.execute(now).await.unwrap();
        &self.broker
    }
}

#[async_trait]
impl Broker for Clocked {
    async fn enqueue(&self, queue: &str, jobs: Vec<NewJob>) -> Result<usize, BrokerError> {
        self.now().await.enqueue(queue, jobs).await
    }

    async fn ack_and_fetch(
        &self,
        queue: &str,
        acks: Vec<Ack>,
        fetch: Fetch,
    ) -> Result<(Vec<Settled>, Vec<LeasedJob>), BrokerError> {
        self.now().await.ack_and_fetch(queue, acks, fetch).await
    }

    async fn nack(&self, queue: &str, nacks: Vec<Nack>) -> Result<Vec<Settled>, BrokerError> {
        self.now().await.nack(queue, nacks).await
    }

    async fn heartbeat(&self, queue: &str, tokens: Vec<LeaseToken>, lease: Duration) -> Result<Heartbeat, BrokerError> {
        self.now().await.heartbeat(queue, tokens, lease).await
    }

    async fn progress(&self, queue: &str, token: &LeaseToken, progress: Progress) -> Result<bool, BrokerError> {
        self.now().await.progress(queue, token, progress).await
    }

    async fn promote(&self, queue: &str, limit: usize) -> Result<Promoted, BrokerError> {
        self.now().await.promote(queue, limit).await
    }

    async fn reclaim(&self, queue: &str, request: Reclaim) -> Result<Reclaimed, BrokerError> {
        self.now().await.reclaim(queue, request).await
    }

    async fn prune(&self, queue: &str, retention: Retention, limit: usize) -> Result<usize, BrokerError> {
        self.now().await.prune(queue, retention, limit).await
    }

    async fn wait(&self, queues: &[String], timeout: Duration) -> Result<Wake, BrokerError> {
        self.now().await.wait(queues, timeout).await
    }

    async fn job(&self, queue: &str, id: &JobId) -> Result<Option<JobRecord>, BrokerError> {
        self.now().await.job(queue, id).await
    }

    async fn list(&self, queue: &str, state: State, cursor: Option<Cursor>, limit: usize) -> Result<Page, BrokerError> {
        self.now().await.list(queue, state, cursor, limit).await
    }

    async fn counts(&self, queue: &str) -> Result<QueueCounts, BrokerError> {
        self.now().await.counts(queue).await
    }

    async fn queues(&self) -> Result<Vec<String>, BrokerError> {
        self.now().await.queues().await
    }

    async fn pause(&self, queue: &str) -> Result<(), BrokerError> {
        self.now().await.pause(queue).await
    }

    async fn resume(&self, queue: &str) -> Result<(), BrokerError> {
        self.now().await.resume(queue).await
    }

    async fn cancel(&self, queue: &str, id: &JobId) -> Result<Change, BrokerError> {
        self.now().await.cancel(queue, id).await
    }

    async fn retry(&self, queue: &str, id: &JobId) -> Result<Change, BrokerError> {
        self.now().await.retry(queue, id).await
    }

    async fn clean(
        &self,
        queue: &str,
        state: CleanableState,
        older_than: Duration,
        limit: usize,
    ) -> Result<usize, BrokerError> {
        self.now().await.clean(queue, state, older_than, limit).await
    }

    async fn announce(&self, worker: WorkerInfo) -> Result<(), BrokerError> {
        self.now().await.announce(worker).await
    }

    async fn withdraw(&self, worker: &WorkerId) -> Result<(), BrokerError> {
        self.now().await.withdraw(worker).await
    }

    async fn workers(&self) -> Result<Vec<WorkerInfo>, BrokerError> {
        self.now().await.workers().await
    }
}
