//! Maintenance next to the runs of a worker: no part delays another, and the end of a part is
//! noticed.

#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub, reason = "a test ends where it is surprised")]

#[path = "upkeep/hooked.rs"]
mod hooked;
#[path = "support/steps.rs"]
mod steps;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use hooked::Hooked;
use serde::{Deserialize, Serialize};
use tidegate_queue::{
    Broker, Data, EnqueueOptions, Job, JobState, Producer, QueueOptions, ShutdownReport, Worker, WorkerBuilder,
    WorkerError,
};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

#[derive(Serialize, Deserialize)]
enum Task {
    Finish,
    Wait,
}

impl Job for Task {
    const KIND: &'static str = "task";
    const QUEUE: &'static str = "work";
}

/// Long enough for the expected event. The test fails after it.
const PATIENCE: Duration = Duration::from_secs(30);

async fn perform(task: Task, Data(begun): Data<Arc<Semaphore>>, stop: CancellationToken) {
    if let Task::Wait = task {
        begun.add_permits(1);
        stop.cancelled().await;
    }
}

fn worker(broker: Arc<Hooked>) -> WorkerBuilder {
    let worker = Worker::builder(broker).queue("work", QueueOptions::new().concurrency(2));
    worker.handler(perform).grace(Duration::ZERO)
}

async fn run(worker: Worker) -> Result<ShutdownReport, WorkerError> {
    tokio::time::timeout(PATIENCE, worker.run(CancellationToken::new())).await.expect("it ends by itself")
}

#[tokio::test]
async fn a_worker_whose_heartbeats_have_panicked_ends_with_an_error() {
    let broker = Hooked::new(|step| async move { assert_ne!(step, "announce", "as intended") }.boxed());
    let worker = worker(broker).data(Arc::new(Semaphore::new(0))).build().unwrap();
    assert!(matches!(run(worker).await, Err(WorkerError::HeartbeatEnded)));
}

#[tokio::test]
async fn a_worker_whose_loop_has_panicked_ends_and_names_its_queue() {
    let has_panicked = AtomicBool::new(false);
    let broker = Hooked::new(move |step| {
        let panics = step == "ack_and_fetch" && !has_panicked.swap(true, Ordering::Relaxed);
        async move { assert!(!panics, "as intended") }.boxed()
    });
    let worker = worker(broker).queue("other", QueueOptions::new()).data(Arc::new(Semaphore::new(0))).build().unwrap();
    let Err(WorkerError::Panicked { queue, source }) = run(worker).await else { panic!("a loop panicked") };
    assert!(["work", "other"].contains(&queue.as_str()) && source.is_panic(), "{queue}: {source}");
}

#[tokio::test]
async fn due_jobs_do_not_wait_for_trimming() {
    let trimming = Arc::new(Notify::new());
    let trimmed = trimming.clone();
    let broker = Hooked::new(move |step| {
        let trimmed = trimmed.clone();
        async move {
            if step == "prune" {
                trimmed.notify_one();
                std::future::pending::<()>().await;
            }
        }
        .boxed()
    });
    let producer = Producer::new(broker.clone());
    let (begun, stop) = (Arc::new(Semaphore::new(0)), CancellationToken::new());
    let worker = worker(broker.clone()).data(begun.clone()).build().unwrap();
    let worker = tokio::spawn(worker.run(stop.clone()));

    let many: Vec<Task> = (0..1_000).map(|_| Task::Finish).collect();
    producer.enqueue_all(&many).await.unwrap();
    tokio::time::timeout(PATIENCE, trimming.notified()).await.expect("enough jobs are trimmed");
    // All slots are occupied, so the loop does not look for jobs.
    producer.enqueue_all(&[Task::Wait, Task::Wait]).await.unwrap();
    begun.acquire_many(2).await.unwrap().forget();
    let soon = EnqueueOptions::new().delay(Duration::from_millis(1));
    let id = producer.enqueue_with(&Task::Finish, soon).await.unwrap();
    let is_ready = async || (broker.job("work", &id).await.ok()??.state == JobState::Ready).then_some(());
    tidegate_testkit::poll_until(PATIENCE, is_ready).await.expect("promoted");
    stop.cancel();
    worker.await.unwrap().unwrap();
}

/// After two leases without an announcement it would count as lost.
#[tokio::test]
async fn an_idle_worker_announces_itself_once_a_lease() {
    let announced = Arc::new(Semaphore::new(0));
    let counted = announced.clone();
    let broker = Hooked::new(move |step| {
        if step == "announce" {
            counted.add_permits(1);
        }
        std::future::ready(()).boxed()
    });
    let stop = CancellationToken::new();
    let worker = worker(broker).lease(Duration::from_millis(300)).data(Arc::new(Semaphore::new(0))).build().unwrap();
    let worker = tokio::spawn(worker.run(stop.clone()));
    // With one announcement per 15 s, the fourth would come after 45 s.
    let fourth = tokio::time::timeout(PATIENCE, announced.acquire_many(4)).await;
    fourth.expect("announced four times").unwrap().forget();
    stop.cancel();
    worker.await.unwrap().unwrap();
}
