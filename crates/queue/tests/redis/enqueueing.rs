//! Enqueues that share a step, and their confirmations.

use std::sync::Arc;
use std::time::Duration;

use crate::support::redis::broker;
use crate::support::{QUEUE, job, jobs};
use crate::{SOON, fresh};
use futures_util::future::join_all;
use serde_json::json;
use tidegate_queue::{Broker, EnqueueOptions, NewJob, RedisDurability, RedisOptions, Stored};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::RedisServer;

/// Callers that arrive while a step is in progress share the next step. Each gets its own answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_enqueues_share_steps_and_each_gets_its_own_answer() {
    let server = RedisServer::start().await;
    let broker = Arc::new(fresh(&server, 1).await);
    broker.enqueue(QUEUE, Vec::new()).await.unwrap();
    server.cli(&["CONFIG", "RESETSTAT"]).await;
    let callers = (0..400).map(|n: usize| {
        let broker = broker.clone();
        // Every id occurs twice, from two callers. One caller in ten is cancelled at once.
        tokio::spawn(async move {
            let enqueue = broker.enqueue(QUEUE, jobs(n / 2..n / 2 + 1));
            if n % 20 == 19 { tokio::time::timeout(Duration::ZERO, enqueue).await.ok() } else { Some(enqueue.await) }
        })
    });
    let callers: Vec<_> = callers.collect();
    let (mut new, mut known) = (0, 0);
    for caller in callers {
        match caller.await.unwrap() {
            Some(stored) => match stored.unwrap().as_slice() {
                [Stored::New] => new += 1,
                [Stored::Existing] => known += 1,
                other => unreachable!("{other:?}"),
            },
            None => known += 1,
        }
    }
    assert!(new <= 200 && new + known == 400, "{new} {known}");
    let all = async || (broker.counts(QUEUE).await.unwrap().ready == 200).then_some(());
    poll_until(SOON, all).await.unwrap();
    let stats = server.cli(&["INFO", "commandstats"]).await;
    let line = stats.lines().find(|line| line.starts_with("cmdstat_evalsha:")).unwrap();
    let calls: u64 = line.split_once("calls=").unwrap().1.split(',').next().unwrap().parse().unwrap();
    assert!(calls < 200, "{calls}");
}

#[tokio::test]
async fn an_enqueue_may_wait_for_replicas() {
    let server = RedisServer::start().await;
    let durable = |count| {
        let durability = RedisDurability::Replicas { count, timeout: Duration::from_millis(300) };
        RedisOptions::new().durability(durability)
    };
    let alone = broker(&server.url(), "t", durable(1)).await;
    let refused = alone.enqueue(QUEUE, jobs(0..1)).await.unwrap_err();
    assert!(refused.is_transient() && refused.to_string().contains("0 of 1 replicas"), "{refused}");
    let _replica = RedisServer::builder().replica_of(&server).start().await;
    // The jobs exist by now; the confirmation of their replication is what counts.
    let stored = async || alone.enqueue(QUEUE, jobs(0..1)).await.ok();
    assert_eq!(poll_until(SOON, stored).await.unwrap(), [Stored::Existing]);
    assert_eq!(alone.enqueue(QUEUE, jobs(1..3)).await.unwrap(), [Stored::New, Stored::New]);

    let fsync = RedisDurability::Fsync { replicas: 0, timeout: Duration::from_secs(5) };
    let fsync = broker(&server.url(), "t", RedisOptions::new().durability(fsync)).await;
    let version = server.cli(&["INFO", "server"]).await;
    let version = version.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap().to_owned();
    if version.starts_with("7.0") {
        let refused = fsync.enqueue(QUEUE, jobs(9..10)).await.unwrap_err();
        assert!(!refused.is_transient() && refused.to_string().contains("7.2"), "{refused}");
    }
}

/// Runtimes share a broker, and one of them ends while its callers' jobs wait.
#[tokio::test(flavor = "multi_thread")]
async fn an_ended_runtime_holds_up_no_other_enqueue() {
    let server = RedisServer::start().await;
    let broker = Arc::new(fresh(&server, 1).await);
    for round in 0..20 {
        let other = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        for nth in 0..50 {
            let (broker, id) = (broker.clone(), format!("{round}-{nth}"));
            other.spawn(async move { broker.enqueue(QUEUE, vec![job(&id, EnqueueOptions::new())]).await });
        }
        let last = format!("last-{round}");
        broker.enqueue(QUEUE, vec![job(&last, EnqueueOptions::new())]).await.unwrap();
        other.shutdown_background();
        let last = format!("after-{round}");
        let enqueue = broker.enqueue(QUEUE, vec![job(&last, EnqueueOptions::new())]);
        tokio::time::timeout(SOON, enqueue).await.expect("no client blocks it").unwrap();
    }
}

/// A shared step is limited by bytes too: one step must not occupy the server for long.
#[tokio::test]
async fn large_payloads_do_not_go_in_one_step() {
    let server = RedisServer::start().await;
    let broker = fresh(&server, 1).await;
    let payload = json!("x".repeat(1 << 20));
    let large = |_| NewJob::new("large", &payload, EnqueueOptions::new(), 2 << 20).unwrap();
    let enqueues = (0..42).map(large).map(|job| broker.enqueue(QUEUE, vec![job]));
    for stored in join_all(enqueues).await {
        assert_eq!(stored.unwrap(), [Stored::New]);
    }
    let stats = server.cli(&["INFO", "commandstats"]).await;
    let calls =
        stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls=")?.split(',').next()?.parse().ok());
    // The first two are sent alone, the others in groups of three: the payload's quotes count.
    assert!(calls >= Some(15_u32), "{stats}");
}
