//! Shared by the integration tests: brokers with a manual clock, and short helper functions.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

#[cfg(feature = "redis")]
pub mod redis;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tidegate_queue::{
    Ack, Broker, EnqueueOptions, Fetch, JobId, JobRecord, JobState, LeaseToken, LeasedJob, ManualClock, MemoryBroker,
    Nack, NackAction, NewJob, Reclaim, Reclaimed, Settled, Stored, Timestamp, WorkerId,
};

pub const QUEUE: &str = "work";
pub const LEASE: Duration = Duration::from_secs(30);
pub const TICK: Duration = Duration::from_secs(5);
/// Time of the clock of a new bench.
pub const START: Timestamp = Timestamp::from_unix_ms(1_700_000_000_000);

/// A broker with a clock that only the test moves.
pub struct Bench {
    pub broker: Arc<dyn Broker>,
    pub clock: ManualClock,
    pub worker: WorkerId,
    _store: Option<Box<dyn std::any::Any + Send>>,
}

impl Bench {
    pub fn memory() -> Self {
        let clock = ManualClock::at(START);
        let broker = Arc::new(MemoryBroker::with_clock(&clock));
        Self { broker, clock, worker: WorkerId::generate(), _store: None }
    }

    #[cfg(feature = "sqlite")]
    pub async fn sqlite() -> Self {
        use tidegate_queue::{Durability, SqliteBroker, SqliteOptions};

        let clock = ManualClock::at(START);
        let directory = tempfile::tempdir().unwrap();
        let options = SqliteOptions::new().clock(&clock).durability(Durability::Normal).readers(1);
        let broker = SqliteBroker::open(directory.path().join("queue.db"), options).await.unwrap();
        let worker = WorkerId::generate();
        Self { broker: Arc::new(broker), clock, worker, _store: Some(Box::new(directory)) }
    }

    #[cfg(feature = "redis")]
    pub async fn redis() -> Self {
        let server = tidegate_testkit::redis::RedisServer::start().await;
        let bench = Self::on_redis(&server.url()).await;
        Self { _store: Some(Box::new(server)), ..bench }
    }

    /// On a shared server, with its own prefix.
    #[cfg(feature = "redis")]
    pub async fn on_redis(url: &str) -> Self {
        let clock = ManualClock::at(START);
        let broker = Arc::new(redis::Clocked::on(url, clock.clone()).await);
        Self { broker, clock, worker: WorkerId::generate(), _store: None }
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::now(&self.clock)
    }

    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub async fn add(&self, id: &str, options: EnqueueOptions) -> JobId {
        let job = job(id, options);
        let id = job.id().clone();
        self.broker.enqueue(QUEUE, vec![job]).await.unwrap();
        id
    }

    pub async fn fetch(&self, max: usize) -> Vec<LeasedJob> {
        self.exchange(Vec::new(), max).await.1
    }

    pub async fn fetch_one(&self) -> LeasedJob {
        self.fetch(1).await.pop().expect("a ready job")
    }

    pub async fn exchange(&self, acks: Vec<Ack>, max: usize) -> (Vec<Settled>, Vec<LeasedJob>) {
        let fetch = Fetch { worker: self.worker.clone(), max, lease: LEASE };
        self.broker.ack_and_fetch(QUEUE, acks, fetch).await.unwrap()
    }

    pub async fn ack(&self, token: &LeaseToken) -> Settled {
        self.exchange(vec![ack(token)], 0).await.0[0]
    }

    pub async fn nack(&self, token: &LeaseToken, action: NackAction) -> Settled {
        let nack = Nack { token: token.clone(), action };
        self.broker.nack(QUEUE, vec![nack]).await.unwrap()[0]
    }

    pub async fn record(&self, id: &JobId) -> JobRecord {
        self.broker.job(QUEUE, id).await.unwrap().expect("a record")
    }

    pub async fn state(&self, id: &JobId) -> JobState {
        self.record(id).await.state
    }

    pub async fn reclaim(&self) -> Reclaimed {
        self.broker.reclaim(QUEUE, reclaim(3)).await.unwrap()
    }

    /// Lets `seconds` pass with maintenance ticks, like live workers. Returns the jobs of all
    /// rounds.
    pub async fn tick_for(&self, seconds: u64) -> Reclaimed {
        let mut last = self.reclaim().await;
        for _ in 0..seconds.div_ceil(TICK.as_secs()) {
            self.clock.advance(TICK);
            let round = self.reclaim().await;
            last.ready.extend(round.ready);
            last.dead.extend(round.dead);
            last.cancelled.extend(round.cancelled);
            last.guarded = round.guarded;
        }
        last
    }
}

pub fn reclaim(max_lost: u32) -> Reclaim {
    Reclaim { lease: LEASE, pause: TICK * 2, max_lost, limit: 1_000 }
}

pub fn job(id: &str, options: EnqueueOptions) -> NewJob {
    let options = options.id(JobId::new(id).unwrap());
    NewJob::new("test", &json!({ "id": id }), options, 1_000).unwrap()
}

pub fn jobs(ids: std::ops::Range<usize>) -> Vec<NewJob> {
    ids.map(|n| job(&format!("job-{n:06}"), EnqueueOptions::new())).collect()
}

pub fn ack(token: &LeaseToken) -> Ack {
    Ack { token: token.clone(), result: r#"{"ok":true}"#.to_owned() }
}

pub fn retry(seconds: u64) -> NackAction {
    NackAction::Retry { delay: Duration::from_secs(seconds), error: "no luck".to_owned() }
}

pub fn new_jobs(stored: &[Stored]) -> usize {
    stored.iter().filter(|stored| stored.is_new()).count()
}

pub fn ids(jobs: &[LeasedJob]) -> Vec<&str> {
    jobs.iter().map(|job| job.token.id.as_str()).collect()
}
