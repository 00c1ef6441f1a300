//! A fetch whose reply was lost: the next one returns its jobs.

use crate::support::{LEASE, QUEUE, ack, ids, jobs};
use crate::{SOON, calls, fetch, fresh};
use futures_util::poll;
use tidegate_queue::{Broker, Fetch, RedisBroker, Settled, WorkerId};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::RedisServer;

#[tokio::test]
async fn the_next_fetch_hands_over_the_jobs_of_a_lost_reply() {
    let server = RedisServer::start().await;
    let broker = fresh(&server, 1).await;
    let (worker, other) = (WorkerId::generate(), WorkerId::generate());
    broker.enqueue(QUEUE, jobs(0..8)).await.unwrap();
    let first = fetch(&broker, &worker, 1).await;

    // The script runs, but its reply is lost.
    let acks = vec![ack(&first[0].token)];
    let wanted = Fetch { worker: worker.clone(), max: 3, lease: LEASE };
    let mut dropped = Box::pin(broker.ack_and_fetch(QUEUE, acks.clone(), wanted));
    assert!(poll!(&mut dropped).is_pending());
    let ran = async || (broker.counts(QUEUE).await.unwrap().done == 1).then_some(());
    poll_until(SOON, ran).await.unwrap();
    drop(dropped);

    assert_eq!(ids(&fetch(&broker, &other, 1).await), ["job-000004"]);
    let wanted = Fetch { worker: worker.clone(), max: 4, lease: LEASE };
    let (settled, again) = broker.ack_and_fetch(QUEUE, acks, wanted).await.unwrap();
    assert_eq!(settled, [Settled::Before]);
    assert_eq!(ids(&again), ["job-000001", "job-000002", "job-000003", "job-000005"]);
    assert!(again.iter().all(|job| job.token.delivery == 1));
    // Once received they are not returned again: the next fetch returns other jobs.
    assert_eq!(ids(&fetch(&broker, &worker, 9).await), ["job-000006", "job-000007"]);
    assert_eq!(broker.counts(QUEUE).await.unwrap().leased, 7);
}

/// Loads the script into the server, so that a request sent with the first poll runs.
async fn knows_the_script(broker: &RedisBroker, worker: &WorkerId) {
    assert!(fetch(broker, worker, 1).await.is_empty());
}

/// A fetch whose script runs, but whose reply is lost.
async fn fetch_and_drop(broker: &RedisBroker, worker: &WorkerId, max: usize) {
    let before = broker.counts(QUEUE).await.unwrap().leased;
    let wanted = Fetch { worker: worker.clone(), max, lease: LEASE };
    let mut dropped = Box::pin(broker.ack_and_fetch(QUEUE, Vec::new(), wanted));
    assert!(poll!(&mut dropped).is_pending());
    let ran = async || (broker.counts(QUEUE).await.unwrap().leased > before).then_some(());
    poll_until(SOON, ran).await.unwrap();
}

/// The search for the jobs of a lost reply reads all leases. It must not run needlessly.
#[tokio::test]
async fn a_lost_reply_costs_no_fetch_behind_its_own_while_there_is_a_backlog() {
    let server = RedisServer::start().await;
    let broker = fresh(&server, 1).await;
    let worker = WorkerId::generate();
    knows_the_script(&broker, &worker).await;
    broker.enqueue(QUEUE, jobs(0..200)).await.unwrap();
    fetch_and_drop(&broker, &worker, 6).await;
    server.cli(&["CONFIG", "RESETSTAT"]).await;
    // More jobs than one fetch takes, and every fetch is full.
    assert_eq!(ids(&fetch(&broker, &worker, 4).await), ["job-000000", "job-000001", "job-000002", "job-000003"]);
    assert_eq!(ids(&fetch(&broker, &worker, 3).await), ["job-000004", "job-000005", "job-000006"]);
    assert_eq!(calls(&server, "hscan").await, 2);
    for _ in 0..10 {
        assert_eq!(fetch(&broker, &worker, 3).await.len(), 3);
    }
    assert_eq!(calls(&server, "hscan").await, 2);
}

/// The lost fetch may arrive on another connection after the fetch that asks for it.
#[tokio::test]
async fn a_lost_fetch_that_runs_after_the_one_that_names_it_is_handed_over() {
    let server = RedisServer::start().await;
    let broker = fresh(&server, 1).await;
    let worker = WorkerId::generate();
    knows_the_script(&broker, &worker).await;
    broker.enqueue(QUEUE, jobs(0..3)).await.unwrap();
    fetch_and_drop(&broker, &worker, 1).await;
    assert_eq!(ids(&fetch(&broker, &worker, 1).await), ["job-000000"]);
    // Simulates the lost request of this worker (the second of all) running late.
    let front = server.cli(&["KEYS", "*:{q:work:0}:meta"]).await.trim().strip_suffix("meta").unwrap().to_owned();
    let key = |part: &str| format!("{front}{part}");
    let late = server.cli(&["LPOP", &key("ready:2")]).await;
    let now: u64 = server.cli(&["TIME"]).await.lines().next().unwrap().trim().parse().unwrap();
    let entry = format!("1 {worker}-2-{now}000-30000");
    server.cli(&["HSET", &key("lease"), late.trim(), &entry]).await;
    assert_eq!(ids(&fetch(&broker, &worker, 1).await), ["job-000002"]);
    let handed_over = async || {
        let jobs = fetch(&broker, &worker, 1).await;
        (ids(&jobs) == ["job-000001"]).then_some(())
    };
    poll_until(SOON, handed_over).await.unwrap();
}

#[tokio::test]
async fn a_lost_reply_is_handed_over_after_a_pause_of_the_queue() {
    let server = RedisServer::start().await;
    let broker = fresh(&server, 1).await;
    let worker = WorkerId::generate();
    knows_the_script(&broker, &worker).await;
    broker.enqueue(QUEUE, jobs(0..4)).await.unwrap();
    fetch_and_drop(&broker, &worker, 2).await;
    broker.pause(QUEUE).await.unwrap();
    server.cli(&["CONFIG", "RESETSTAT"]).await;
    assert!(fetch(&broker, &worker, 4).await.is_empty());
    assert_eq!(calls(&server, "hscan").await, 0);
    broker.resume(QUEUE).await.unwrap();
    let expected = ["job-000000", "job-000001", "job-000002", "job-000003"];
    assert_eq!(ids(&fetch(&broker, &worker, 4).await), expected);
}
