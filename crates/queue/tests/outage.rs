//! Worker and producer during faults: a store that refuses for some time, and input that no queue
//! accepts.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test ends where it is surprised")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::ConnectOptions;
use tidegate_queue::{
    Broker, Context, EnqueueError, EnqueueOptions, Event, Handler, Job, JobState, MemoryBroker, Observer, Outcome,
    Producer, QueueOptions, ShutdownReport, SqliteBroker, SqliteOptions, Worker,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

#[derive(Serialize, Deserialize)]
struct Wait;

impl Job for Wait {
    const KIND: &'static str = "wait";
    const QUEUE: &'static str = "work";
}

#[derive(Clone, Default)]
struct Gate {
    begun: Arc<Notify>,
    open: Arc<Notify>,
    failed: Arc<Notify>,
}

#[async_trait]
impl Handler<Wait> for Gate {
    async fn run(&self, _: Wait, _: &Context) -> Outcome {
        self.begun.notify_one();
        self.open.notified().await;
        Outcome::done("through")
    }
}

impl Observer for Gate {
    fn on(&self, event: &Event<'_>) {
        if let Event::BrokerFailed { .. } = event {
            self.failed.notify_one();
        }
    }
}

#[tokio::test]
async fn an_ack_that_failed_is_sent_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queue.db");
    let options = SqliteOptions::new().busy_timeout(Duration::from_millis(10));
    let broker: Arc<dyn Broker> = Arc::new(SqliteBroker::open(&path, options).await.unwrap());
    let id = Producer::new(broker.clone()).enqueue(&Wait).await.unwrap();
    let (gate, stop) = (Gate::default(), CancellationToken::new());
    let worker = Worker::builder(broker.clone())
        .queue("work", QueueOptions::new())
        .handler::<Wait, _>(gate.clone())
        .observer(Arc::new(gate.clone()))
        .build()
        .unwrap();
    let worker = tokio::spawn(worker.run(stop.clone()));
    gate.begun.notified().await;

    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut other = options.busy_timeout(Duration::from_secs(30)).connect().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    gate.open.notify_one();
    gate.failed.notified().await;
    stop.cancel();
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();

    let report = worker.await.unwrap().unwrap();
    assert_eq!(report, ShutdownReport { settled: 1, released: 0, abandoned: 0 });
    let record = broker.job("work", &id).await.unwrap().unwrap();
    assert_eq!((record.state, record.deliveries), (JobState::Done, 1));
}

#[tokio::test]
async fn bad_input_is_a_typed_error_and_stores_nothing() {
    let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
    let producer = Producer::new(broker.clone()).with_payload_limit(100);
    let small = json!("x");
    let raw = async |queue: &str, kind: &str, payload| {
        producer.enqueue_raw(queue, kind, payload, EnqueueOptions::new()).await.unwrap_err()
    };
    let long = "q".repeat(10_240);
    for queue in ["", "a b", "a\0b", "{q}", &long] {
        assert!(matches!(raw(queue, "kind", &small).await, EnqueueError::QueueName(_)), "{queue}");
    }
    assert!(matches!(raw("work", "bad kind", &small).await, EnqueueError::Kind(_)));
    let large = json!("x".repeat(99));
    let refused = raw("work", "kind", &large).await;
    let expected = EnqueueError::PayloadTooLarge { bytes: 101, limit: 100 };
    assert_eq!(refused.to_string(), expected.to_string());
    assert!(broker.queues().await.unwrap().is_empty());
    let largest = json!("x".repeat(98));
    producer.enqueue_raw("work", "kind", &largest, EnqueueOptions::new()).await.unwrap();
}
