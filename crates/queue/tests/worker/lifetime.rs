//! A worker is announced, changes its concurrency, and ends.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::harness::{Harness, QUEUE, Task, options};
use tidegate_queue::{Concurrency, JobState, ShutdownReport};

on_each_broker![
    a_live_worker_is_announced,
    concurrency_changes_while_jobs_run,
    shutdown_waits_for_running_jobs,
    the_end_of_grace_releases_without_burning_an_attempt,
    a_crash_leaves_its_jobs_to_others,
];

async fn a_live_worker_is_announced(harness: Harness) {
    harness.producer.enqueue(&Task::Hang).await.unwrap();
    let worker = harness.start(harness.worker().grace(Duration::ZERO));
    loop {
        let workers = harness.broker.workers().await.unwrap();
        if workers.iter().any(|worker| worker.queues == [QUEUE] && worker.running == 1) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    harness.shutdown.cancel();
    worker.await.unwrap();
}

async fn concurrency_changes_while_jobs_run(harness: Harness) {
    let ids = harness.producer.enqueue_all(&vec![Task::WaitForCancel; 6]).await.unwrap();
    let leased = async || harness.broker.counts(QUEUE).await.unwrap().leased;
    let concurrency = Concurrency::new(1);
    let worker = harness.start(harness.worker_with(options().adjustable(concurrency.clone())));
    harness.begun(1).await;
    assert_eq!(leased().await, 1);

    concurrency.set(4);
    harness.begun(3).await;
    assert_eq!(leased().await, 4);

    // Runs above the limit continue, and none starts in place of the first that ends.
    concurrency.set(3);
    let mut running = Vec::new();
    for id in &ids {
        if harness.broker.job(QUEUE, id).await.unwrap().expect("kept").state == JobState::Leased {
            running.push(id);
        }
    }
    for (id, left) in running.iter().zip([3, 3]) {
        harness.broker.cancel(QUEUE, id).await.unwrap();
        harness.finished(id).await;
        // After the second, another one may start.
        if *id == running[1] {
            harness.begun(1).await;
        }
        assert_eq!(leased().await, left);
    }
    assert_eq!(harness.runner.runs.load(Ordering::SeqCst), 5);
    concurrency.set(0);
    assert_eq!(concurrency.get(), 1);

    for id in &ids {
        harness.broker.cancel(QUEUE, id).await.unwrap();
        harness.finished(id).await;
    }
    harness.shutdown.cancel();
    worker.await.unwrap();
}

async fn shutdown_waits_for_running_jobs(harness: Harness) {
    let id = harness.producer.enqueue(&Task::Compute(100)).await.unwrap();
    let worker = harness.start(harness.worker());
    harness.begun(1).await;
    harness.shutdown.cancel();
    assert_eq!(worker.await.unwrap(), ShutdownReport { settled: 1, released: 0, abandoned: 0 });
    assert_eq!(harness.finished(&id).await.state, JobState::Done);
    assert!(harness.broker.workers().await.unwrap().is_empty());
}

async fn the_end_of_grace_releases_without_burning_an_attempt(harness: Harness) {
    let obeys = harness.producer.enqueue(&Task::WaitForCancel).await.unwrap();
    let hangs = harness.producer.enqueue(&Task::Hang).await.unwrap();
    let short = harness.worker().grace(Duration::ZERO).stop_timeout(Duration::from_millis(10));
    let worker = harness.start(short);
    harness.begun(2).await;
    harness.shutdown.cancel();
    let report = worker.await.unwrap();
    assert_eq!((report.settled, report.released, report.abandoned), (0, 2, 0));
    for id in [&obeys, &hangs] {
        let record = harness.until(id, |_| true).await;
        assert_eq!((record.state, record.failures), (JobState::Ready, 0));
        assert!(record.attempts.is_empty());
    }
}

async fn a_crash_leaves_its_jobs_to_others(harness: Harness) {
    let id = harness.producer.enqueue(&Task::Hang).await.unwrap();
    let crashed = harness.start(harness.worker());
    harness.begun(1).await;
    crashed.abort();
    assert!(crashed.await.unwrap_err().is_cancelled());
    let second = harness.start(harness.worker().grace(Duration::ZERO));
    harness.begun(1).await;
    let record = harness.until(&id, |record| record.deliveries == 2).await;
    assert!(record.attempts[0].error.as_deref().unwrap().contains("lease expired"));
    harness.shutdown.cancel();
    assert_eq!(second.await.unwrap().released, 1);
}
