//! Ready jobs that were cancelled or replaced.

use std::time::Duration;

use crate::support::{LEASE, QUEUE, ids, job, jobs, new_jobs};
use crate::{fetch, fresh, front, id};
use serde_json::json;
use tidegate_queue::{
    Broker, Change, CleanableState, EnqueueOptions, JobState, NewJob, Priority, Unique, Wake, WorkerId,
};
use tidegate_testkit::redis::RedisServer;

/// Otherwise each replacement would leave an element in the list while the queue is paused.
#[tokio::test]
async fn a_job_that_is_replaced_again_and_again_leaves_one_tombstone() {
    let server = RedisServer::start().await;
    let broker = fresh(&server, 1).await;
    broker.enqueue(QUEUE, jobs(0..1)).await.unwrap();
    for n in 0..50 {
        let unique = EnqueueOptions::new().unique(Unique::new("k").debounce());
        broker.enqueue(QUEUE, vec![job(&format!("replacing-{n}"), unique)]).await.unwrap();
    }
    broker.enqueue(QUEUE, jobs(1..2)).await.unwrap();
    let front = front(&server).await;
    assert_eq!(server.cli(&["LLEN", &format!("{front}ready:2")]).await.trim(), "3");
    assert_eq!(server.cli(&["HLEN", &format!("{front}tomb")]).await.trim(), "1");
    assert_eq!(broker.counts(QUEUE).await.unwrap().ready, 3);
    let leased = fetch(&broker, &WorkerId::generate(), 9).await;
    let order: Vec<_> = ids(&leased).into_iter().map(|id| id.split('~').next().unwrap()).collect();
    assert_eq!(order, ["job-000000", "replacing-49", "job-000001"]);
}

#[tokio::test]
async fn a_cancelled_job_in_the_middle_of_a_long_list_is_skipped() {
    let server = RedisServer::start().await;
    let broker = fresh(&server, 1).await;
    broker.enqueue(QUEUE, jobs(0..3_000)).await.unwrap();
    for n in 1..2_999 {
        let change = broker.cancel(QUEUE, &id(&format!("job-{n:06}"))).await.unwrap();
        assert_eq!(change, Change::Applied);
    }
    let counts = broker.counts(QUEUE).await.unwrap();
    assert_eq!((counts.ready, counts.cancelled), (2, 2_998));
    // One job is retried, and the id of another is reused. Their tombstones must not affect them.
    assert_eq!(broker.retry(QUEUE, &id("job-000007")).await.unwrap(), Change::Applied);
    while broker.clean(QUEUE, CleanableState::Cancelled, Duration::ZERO, 1_000).await.unwrap() > 0 {}
    let lowest = EnqueueOptions::new().priority(Priority::HIGHEST);
    assert_eq!(new_jobs(&broker.enqueue(QUEUE, vec![job("job-000008", lowest)]).await.unwrap()), 1);
    let list = broker.list(QUEUE, JobState::Ready, None, 10).await.unwrap();
    let listed: Vec<_> = list.items.iter().map(|record| record.id.as_str()).collect();
    let expected = ["job-000008", "job-000000", "job-002999", "job-000007"];
    assert_eq!(listed, expected);

    let worker = WorkerId::generate();
    let mut leased = Vec::new();
    // One fetch skips at most a thousand tombstones.
    for _ in 0..4 {
        leased.extend(fetch(&broker, &worker, 10).await);
    }
    assert_eq!(ids(&leased), expected);
    let counts = broker.counts(QUEUE).await.unwrap();
    assert_eq!((counts.ready, counts.oldest_ready_age), (0, None));
}

#[tokio::test]
async fn large_jobs_beside_a_cancelled_one_are_given_and_drained_some_at_a_time() {
    let server = RedisServer::start().await;
    let (broker, worker) = (fresh(&server, 1).await, WorkerId::generate());
    let payload = json!("x".repeat(1_000_000));
    let large = |name: String| NewJob::new("test", &payload, EnqueueOptions::new().id(id(&name)), 1 << 20).unwrap();
    broker.enqueue(QUEUE, (0..12).map(|n| large(format!("large-{n:02}"))).collect()).await.unwrap();
    // It is not the first one: its entry stays, so each job is checked separately.
    assert_eq!(broker.cancel(QUEUE, &id("large-01")).await.unwrap(), Change::Applied);

    let mut given = fetch(&broker, &worker, 11).await;
    assert_eq!(given.len(), 5, "no more than 4 MiB and the job that exceeds them");
    assert_eq!(broker.wait(&[QUEUE.to_owned()], LEASE).await.unwrap(), Wake::Ready);
    while given.len() < 11 {
        let more = fetch(&broker, &worker, 11 - given.len()).await;
        assert!(!more.is_empty(), "{} of 11", given.len());
        given.extend(more);
    }
    let expected: Vec<_> = (0..12).filter(|n| *n != 1).map(|n| format!("large-{n:02}")).collect();
    assert_eq!(ids(&given), expected);

    broker.enqueue(QUEUE, (0..12).map(|n| large(format!("again-{n:02}"))).collect()).await.unwrap();
    assert_eq!(broker.drain(QUEUE, 99).await.unwrap(), 12);
}
