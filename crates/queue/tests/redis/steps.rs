//! Ended jobs are removed and retried in short steps.

use std::time::Duration;

use crate::support::redis::{broker, fresh_prefix};
use crate::support::{LEASE, QUEUE, ack, jobs};
use crate::{calls, fetch, fresh, id};
use serde_json::json;
use tidegate_queue::{
    Broker, Change, CleanableState, EnqueueOptions, Fetch, JobId, JobState, LeasedJob, Nack, NackAction, NewJob,
    RedisOptions, Retention, Settled, WorkerId,
};
use tidegate_testkit::redis::RedisServer;

/// A log has up to a hundred lines. Short steps remove such jobs, as many as requested in total.
#[tokio::test]
async fn jobs_with_logs_are_removed_in_steps_and_all_the_same() {
    let server = RedisServer::start().await;
    let broker = fresh(&server, 1).await;
    let worker = WorkerId::generate();
    broker.enqueue(QUEUE, jobs(0..2_300)).await.unwrap();
    let leased = fetch(&broker, &worker, 2_300).await;
    assert!(broker.log(QUEUE, &leased[0].token, vec!["a line".to_owned(); 200]).await.unwrap());
    let dead = |job: &LeasedJob| {
        let action = NackAction::Dead { error: "x".to_owned() };
        Nack { token: job.token.clone(), action }
    };
    // The job with the log stays leased: the existence of logs is enough.
    broker.nack(QUEUE, leased[1..1_100].iter().map(dead).collect()).await.unwrap();
    let acks = leased[1_100..].iter().map(|job| ack(&job.token)).collect();
    let none = Fetch { worker, max: 0, lease: LEASE };
    assert!(broker.ack_and_fetch(QUEUE, acks, none).await.unwrap().0.iter().all(|settled| *settled == Settled::Now));
    server.cli(&["CONFIG", "RESETSTAT"]).await;
    let clean = async |limit| broker.clean(QUEUE, CleanableState::Dead, Duration::ZERO, limit).await.unwrap();
    assert_eq!((clean(700).await, clean(700).await, clean(700).await), (700, 399, 0));
    assert!(calls(&server, "evalsha").await >= 4, "in steps");
    let retention = Retention { done_max: 10, ..Retention::default() };
    let prune = async || broker.prune(QUEUE, retention, 1_000).await.unwrap();
    assert_eq!((prune().await, prune().await, prune().await), (1_000, 190, 0));
    assert_eq!(broker.counts(QUEUE).await.unwrap().done, 10);
}

/// Each record is rewritten.
#[tokio::test]
async fn large_dead_jobs_are_retried_in_steps_and_all_the_same() {
    let server = RedisServer::start().await;
    let broker = fresh(&server, 1).await;
    let payload = json!("x".repeat(1 << 20));
    let large = |_| NewJob::new("large", &payload, EnqueueOptions::new(), 2 << 20).unwrap();
    broker.enqueue(QUEUE, (0..12).map(large).collect()).await.unwrap();
    let dead = |job: LeasedJob| Nack { token: job.token, action: NackAction::Dead { error: "x".to_owned() } };
    let nacks = fetch(&broker, &WorkerId::generate(), 12).await.into_iter().map(dead).collect();
    broker.nack(QUEUE, nacks).await.unwrap();
    // Loads the script into the server.
    assert_eq!(broker.retry_dead(QUEUE, 1).await.unwrap(), 1);
    server.cli(&["CONFIG", "RESETSTAT"]).await;
    assert_eq!(broker.retry_dead(QUEUE, 10).await.unwrap(), 10);
    assert_eq!(calls(&server, "evalsha").await, 3, "4, 4 and 2");
    assert_eq!(broker.counts(QUEUE).await.unwrap().dead, 1);
}

/// A torn file may leave an id in the list of done jobs twice.
#[tokio::test]
async fn a_job_that_is_listed_as_done_twice_is_counted_once() {
    let server = RedisServer::start().await;
    let prefix = fresh_prefix();
    let broker = broker(&server.url(), &prefix, RedisOptions::new().partitions(1)).await;
    let worker = WorkerId::generate();
    let finish = async |all: std::ops::Range<usize>| {
        broker.enqueue(QUEUE, jobs(all)).await.unwrap();
        let acks = fetch(&broker, &worker, 2_000).await.iter().map(|job| ack(&job.token)).collect();
        let none = Fetch { worker: worker.clone(), max: 0, lease: LEASE };
        broker.ack_and_fetch(QUEUE, acks, none).await.unwrap();
    };
    let repeat_first = async || {
        let keys = server.cli(&["KEYS", "*:done"]).await;
        let done = keys.lines().next().unwrap();
        let first = server.cli(&["LINDEX", done, "0"]).await;
        server.cli(&["LPUSH", done, first.trim()]).await;
    };
    let total = async || broker.counts(QUEUE).await.unwrap().completed_total;
    finish(0..5).await;
    repeat_first().await;
    let retention = Retention { done_max: 0, ..Retention::default() };
    broker.prune(QUEUE, retention, 100).await.unwrap();
    assert_eq!(total().await, 5, "after a prune");
    // Now the workers trim the list themselves.
    finish(5..900).await;
    repeat_first().await;
    finish(900..1_200).await;
    assert!(broker.counts(QUEUE).await.unwrap().done < 1_100, "some were trimmed");
    assert_eq!(total().await, 1_200, "after a trim");
}

#[tokio::test]
async fn many_jobs_are_removed_by_id_in_steps() {
    let server = RedisServer::start().await;
    let broker = fresh(&server, 1).await;
    broker.enqueue(QUEUE, jobs(0..50)).await.unwrap();
    let worker = WorkerId::generate();
    let leased = fetch(&broker, &worker, 45).await;
    let acks = leased.iter().map(|job| ack(&job.token)).collect();
    broker.ack_and_fetch(QUEUE, acks, Fetch { worker, max: 0, lease: LEASE }).await.unwrap();
    // Loads the script into the server.
    assert_eq!(broker.remove(QUEUE, &[id("nobody")]).await.unwrap(), [Change::NotFound]);
    server.cli(&["CONFIG", "RESETSTAT"]).await;
    let all: Vec<JobId> = (0..50).map(|n| id(&format!("job-{n:06}"))).collect();
    let removed = broker.remove(QUEUE, &all).await.unwrap();
    assert_eq!(removed[..45], [Change::Applied; 45]);
    assert_eq!(removed[45..], [Change::Refused(JobState::Ready); 5]);
    assert_eq!(calls(&server, "evalsha").await, 3, "20, 20 and 10");
    assert_eq!(broker.counts(QUEUE).await.unwrap().completed_total, 45);
}
