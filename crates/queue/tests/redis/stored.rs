//! The stored form: its layout, pages, documents, and records of other programs.

use std::collections::HashSet;
use std::time::Duration;

use crate::support::redis::{broker, fresh_prefix};
use crate::support::{LEASE, QUEUE, ack, ids, job, jobs};
use crate::{SOON, fetch, fresh, id};
use tidegate_queue::{
    Broker, BrokerError, Documents, EnqueueOptions, Fetch, JobId, JobState, LeasedJob, Priority, QueueSettings,
    Reclaim, RedisOptions, Retention, Settled, WorkerId,
};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::RedisServer;

#[tokio::test]
async fn pages_of_any_size_show_ready_jobs_in_the_order_in_which_they_are_leased() {
    let server = RedisServer::start().await;
    for partitions in [1, 3] {
        let broker = fresh(&server, partitions).await;
        let priority = |n: u64| Priority::try_new(u8::try_from(n % 2 + 2).unwrap()).unwrap();
        let soon = |n: u64| EnqueueOptions::new().priority(priority(n)).delay(Duration::from_millis(1 + n % 3));
        let delayed = (0..40).map(|n| job(&format!("delayed-{n}"), soon(n))).collect();
        broker.enqueue(QUEUE, delayed).await.unwrap();
        let promoted = async || {
            broker.promote(QUEUE, 100).await.unwrap();
            (broker.counts(QUEUE).await.unwrap().ready == 40).then_some(())
        };
        poll_until(SOON, promoted).await.unwrap();
        let now = |n: u64| job(&format!("now-{n}"), EnqueueOptions::new().priority(priority(n)));
        broker.enqueue(QUEUE, (0..40).map(now).collect()).await.unwrap();
        for n in [3, 4, 39] {
            broker.cancel(QUEUE, &id(&format!("now-{n}"))).await.unwrap();
        }
        let mut orders = Vec::new();
        for size in [1, 7, 1_000] {
            let (mut order, mut cursor) = (Vec::new(), None);
            loop {
                let page = broker.list(QUEUE, JobState::Ready, cursor, size).await.unwrap();
                order.extend(page.items.iter().map(|record| record.id.to_string()));
                let Some(next) = page.next else { break };
                cursor = Some(next.to_string().parse().unwrap());
            }
            orders.push(order);
        }
        assert_eq!(orders[0].len(), 77);
        assert_eq!(orders[0], orders[1]);
        assert_eq!(orders[0], orders[2]);
        let leased = fetch(&broker, &WorkerId::generate(), 100).await;
        let leased = ids(&leased);
        if partitions == 1 {
            assert_eq!(orders[0], leased);
        } else {
            assert_eq!(orders[0].iter().map(String::as_str).collect::<HashSet<_>>(), leased.into_iter().collect());
        }
    }
}

#[tokio::test]
async fn a_newer_layout_is_refused_and_left_alone() {
    let server = RedisServer::start().await;
    let prefix = fresh_prefix();
    let broker = broker(&server.url(), &prefix, RedisOptions::new()).await;
    server.cli(&["HSET", &format!("{prefix}:{{q:work:0}}:meta"), "layout", "3"]).await;
    let refused = broker.enqueue(QUEUE, jobs(0..1)).await.unwrap_err();
    assert!(!refused.is_transient() && refused.to_string().contains("LAYOUT 3"), "{refused}");
    for refused in [
        broker.pause(QUEUE).await,
        broker.configure(QUEUE, QueueSettings::default()).await,
        broker.promote(QUEUE, 1).await.map(drop),
        broker.prune(QUEUE, Retention::default(), 1).await.map(drop),
        broker.drain(QUEUE, 1).await.map(drop),
        broker.cancel(QUEUE, &JobId::new("a").unwrap()).await.map(drop),
    ] {
        let refused = refused.unwrap_err();
        assert!(refused.to_string().contains("LAYOUT 3"), "{refused}");
    }
    assert_eq!(server.cli(&["EXISTS", &format!("{prefix}:{{q:work:0}}:job")]).await, "0");
}

#[tokio::test]
async fn documents_are_changed_by_compare_and_set() {
    let server = RedisServer::start().await;
    let broker = fresh(&server, 1).await;
    let put = |expected, body: Option<&str>| broker.put_document("c", "a", expected, body.map(str::to_owned));
    assert!(put(None, Some("one")).await.unwrap());
    assert!(!put(None, Some("two")).await.unwrap());
    let first = broker.document("c", "a").await.unwrap().unwrap();
    assert_eq!(first.body, "one");
    assert!(put(Some(first.revision), None).await.unwrap());
    assert!(put(None, Some("three\n {}")).await.unwrap());
    let second = broker.document("c", "a").await.unwrap().unwrap();
    assert!(second.revision > first.revision);
    assert!(!put(Some(first.revision), Some("late")).await.unwrap());
    assert_eq!(broker.documents("c").await.unwrap(), [("a".to_owned(), second)]);
    assert!(broker.documents("d").await.unwrap().is_empty());
    let too_large = put(None, Some(&"x".repeat(65_537))).await;
    assert!(matches!(too_large, Err(BrokerError::TooLarge { what: "document", .. })));
}

/// A rolling deployment: processes with older scripts work on the same queue, with the same layout.
#[tokio::test]
async fn two_versions_of_the_scripts_run_side_by_side() {
    let server = RedisServer::start().await;
    let prefix = fresh_prefix();
    // Another clock changes the text, and so the digest, of every script.
    server.cli(&["SET", "clock", "1700000000000000"]).await;
    let now = tidegate_redis::ClockPrelude::from_key("clock");
    let old = broker(&server.url(), &prefix, RedisOptions::new().clock(now)).await;
    let new = broker(&server.url(), &prefix, RedisOptions::new()).await;
    let (worker, other) = (WorkerId::generate(), WorkerId::generate());
    old.enqueue(QUEUE, jobs(0..10)).await.unwrap();
    new.enqueue(QUEUE, jobs(5..20)).await.unwrap();
    let (by_old, by_new) = (fetch(&old, &worker, 10).await, fetch(&new, &other, 20).await);
    assert_eq!((by_old.len(), by_new.len()), (10, 10));
    // Each settles the leases of the other.
    let none = || Fetch { worker: worker.clone(), max: 0, lease: LEASE };
    let acks = |leased: &[LeasedJob]| leased.iter().map(|job| ack(&job.token)).collect::<Vec<_>>();
    assert_eq!(new.ack_and_fetch(QUEUE, acks(&by_old), none()).await.unwrap().0, [Settled::Now; 10]);
    assert_eq!(old.ack_and_fetch(QUEUE, acks(&by_new), none()).await.unwrap().0, [Settled::Now; 10]);
    assert_eq!(old.ack_and_fetch(QUEUE, acks(&by_old), none()).await.unwrap().0, [Settled::Before; 10]);
    assert_eq!(new.counts(QUEUE).await.unwrap().completed_total, 20);
}

/// Another program wrote a record: its job becomes dead, and other jobs are unaffected.
#[tokio::test]
async fn a_record_that_cannot_be_read_stops_nothing() {
    let server = RedisServer::start().await;
    let broker = fresh(&server, 1).await;
    broker.enqueue(QUEUE, jobs(0..10)).await.unwrap();
    let keys = server.cli(&["KEYS", "*:{q:work:0}:job"]).await;
    server.cli(&["HSET", keys.trim(), "job-000003", "garbage"]).await;
    server.cli(&["HSET", keys.trim(), "job-000005", "lgarbage"]).await;
    let bytes = "return redis.call('HSET', KEYS[1], 'job-000006', '\\255\\254', 'job-000008', '|2 no')";
    server.cli(&["EVAL", bytes, "1", keys.trim()]).await;
    let (worker, lease) = (WorkerId::generate(), Duration::from_millis(100));
    let take = async |max| {
        let fetch = Fetch { worker: worker.clone(), max, lease };
        broker.ack_and_fetch(QUEUE, Vec::new(), fetch).await.unwrap().1
    };
    let first = take(8).await;
    assert_eq!(ids(&first), ["job-000000", "job-000001", "job-000002", "job-000004", "job-000007"]);
    assert_eq!(take(9).await.len(), 1);
    let reclaim = Reclaim { lease, pause: SOON, max_lost: 1, limit: 100 };
    let dead = async || {
        broker.reclaim(QUEUE, reclaim).await.unwrap();
        (broker.counts(QUEUE).await.unwrap().dead == 10).then_some(())
    };
    poll_until(SOON, dead).await.unwrap();
    let counts = broker.counts(QUEUE).await.unwrap();
    assert_eq!((counts.leased, counts.dead), (0, 10));
    assert_eq!(broker.list(QUEUE, JobState::Dead, None, 20).await.unwrap().items.len(), 6);
}
