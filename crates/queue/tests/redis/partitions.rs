//! Several partitions are one queue.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::support::redis::{broker, fresh_prefix};
use crate::support::{LEASE, QUEUE, ack, job, jobs, new_jobs, reclaim, retry};
use crate::{SOON, fetch, fresh};
use serde_json::json;
use tidegate_queue::{
    Broker, EnqueueOptions, Fetch, JobId, JobState, Nack, NackAction, NewJob, Producer, Reclaim, RedisBroker,
    RedisOptions, Retention, Settled, Stored, Wake, WorkerId,
};
use tidegate_redis::Client;
use tidegate_testkit::redis::{Cluster, RedisServer, Sentinels};

#[tokio::test]
async fn a_batch_is_in_one_partition_and_chosen_ids_are_kept() {
    let server = RedisServer::start().await;
    let broker = Arc::new(fresh(&server, 7).await);
    let producer = Producer::new(broker.clone());
    let route = |id: &JobId| id.as_str().rsplit_once('~').map(|(_, route)| route.to_owned());
    let new = |options| NewJob::new("test", &json!({}), options, 100).unwrap();
    let any = || new(EnqueueOptions::new());
    let stored = producer.enqueue_batch(QUEUE, (0..20).map(|_| any()).collect()).await.unwrap();
    assert!(stored.iter().all(|(id, stored)| stored.is_new() && route(id).is_some()));
    assert!(stored.iter().all(|(id, _)| route(id) == route(&stored[0].0)));
    let keyed = vec![any(), new(EnqueueOptions::new().ordering_key("k")), any()];
    let stored = producer.enqueue_batch(QUEUE, keyed).await.unwrap();
    assert!(stored.iter().all(|(id, _)| route(id).is_some() && route(id) == route(&stored[1].0)));

    // A chosen id is the same job, whatever the other jobs of the batch and its length.
    let longest = "i".repeat(128);
    for (nth, beside) in ["a", "b", "c"].iter().enumerate() {
        for chosen in ["order-7", &longest] {
            let batch = vec![any(), job(chosen, EnqueueOptions::new()), job(beside, EnqueueOptions::new())];
            let stored = producer.enqueue_batch(QUEUE, batch).await.unwrap();
            assert_eq!((stored[1].0.as_str(), stored[1].1.is_new()), (chosen, nth == 0));
        }
    }
    assert_eq!(broker.enqueue(QUEUE, vec![job("order-7", EnqueueOptions::new())]).await.unwrap(), [Stored::Existing]);
}

/// A job's whole life over three partitions: no job is lost between them.
#[tokio::test]
async fn partitions_are_one_queue() {
    let server = RedisServer::start().await;
    let broker = fresh(&server, 3).await;
    partitions_are_one_queue_on(&broker).await;
    // A process with other options finds the queue as it was created.
    assert_eq!(server.cli(&["KEYS", "*:{q:work:*}:meta"]).await.lines().count(), 3);
}

async fn partitions_are_one_queue_on(broker: &RedisBroker) {
    let worker = WorkerId::generate();
    assert_eq!(new_jobs(&broker.enqueue(QUEUE, jobs(0..60)).await.unwrap()), 60);
    assert_eq!(new_jobs(&broker.enqueue(QUEUE, jobs(0..61)).await.unwrap()), 1);
    assert_eq!(broker.queues().await.unwrap(), [QUEUE]);
    let leased = fetch(broker, &worker, 50).await;
    assert_eq!(leased.iter().map(|job| &job.token).collect::<HashSet<_>>().len(), 50);

    let tokens = |range: std::ops::Range<usize>| leased[range].iter().map(|job| job.token.clone());
    let acks = leased[..20].iter().map(|job| ack(&job.token)).collect();
    let fetch_more = Fetch { worker: worker.clone(), max: 100, lease: LEASE };
    let (settled, more) = broker.ack_and_fetch(QUEUE, acks, fetch_more).await.unwrap();
    assert_eq!((settled, more.len()), (vec![Settled::Now; 20], 11));
    let dead = |token| Nack { token, action: NackAction::Dead { error: "x".to_owned() } };
    assert_eq!(broker.nack(QUEUE, tokens(15..30).map(dead).collect()).await.unwrap()[..5], [Settled::Before; 5]);
    let later = |token| Nack { token, action: retry(3_600) };
    assert_eq!(broker.nack(QUEUE, tokens(30..40).map(later).collect()).await.unwrap(), [Settled::Now; 10]);
    let beat = broker.heartbeat(QUEUE, tokens(35..45).collect(), LEASE).await.unwrap();
    assert_eq!(beat.lost, tokens(35..40).collect::<Vec<_>>());
    let counts = broker.counts(QUEUE).await.unwrap();
    assert_eq!((counts.ready, counts.delayed, counts.leased), (0, 10, 21));
    assert_eq!((counts.done, counts.dead, counts.retried_total), (20, 10, 10));

    for (state, count) in [(JobState::Delayed, 10), (JobState::Leased, 21), (JobState::Done, 20), (JobState::Dead, 10)]
    {
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let page = broker.list(QUEUE, state, cursor, 3).await.unwrap();
            assert!(page.items.iter().all(|record| record.state == state));
            seen.extend(page.items.into_iter().map(|record| record.id));
            let Some(next) = page.next else { break };
            cursor = Some(next);
        }
        assert_eq!((seen.len(), seen.iter().collect::<HashSet<_>>().len()), (count, count), "{state}");
    }
    let retention = Retention { done_max: 3, dead_max: 0, ..Retention::default() };
    broker.prune(QUEUE, retention, 100).await.unwrap();
    let counts = broker.counts(QUEUE).await.unwrap();
    assert!(counts.done <= 3 && counts.dead == 0, "{counts:?}");
    let any_gap = Reclaim { pause: Duration::ZERO, ..reclaim(3) };
    assert!(broker.reclaim(QUEUE, any_gap).await.unwrap().guarded);
    broker.pause(QUEUE).await.unwrap();
    broker.enqueue(QUEUE, jobs(100..110)).await.unwrap();
    assert!(fetch(broker, &worker, 10).await.is_empty());
    broker.resume(QUEUE).await.unwrap();
    assert_eq!(fetch(broker, &worker, 100).await.len(), 10);
}

#[tokio::test]
async fn a_queue_keeps_the_partitions_that_it_was_made_with() {
    let server = RedisServer::start().await;
    let prefix = fresh_prefix();
    let made = broker(&server.url(), &prefix, RedisOptions::new().partitions(3)).await;
    let other = broker(&server.url(), &prefix, RedisOptions::new()).await;
    assert_eq!(other.counts(QUEUE).await.unwrap(), Default::default());
    made.enqueue(QUEUE, jobs(0..30)).await.unwrap();
    assert_eq!(new_jobs(&other.enqueue(QUEUE, jobs(0..30)).await.unwrap()), 0);
    assert_eq!(fetch(&other, &WorkerId::generate(), 100).await.len(), 30);
}

#[tokio::test]
async fn behind_sentinels() {
    let servers = Sentinels::start().await;
    let broker = broker(&servers.url(), "t", RedisOptions::new()).await;
    partitions_are_one_queue_on(&broker).await;
    an_idle_waiter_is_woken_by_every_partition(broker).await;
}

#[tokio::test]
async fn partitions_of_a_cluster_are_on_several_shards() {
    let cluster = Cluster::start().await;
    let broker = broker(&cluster.url(), "t", RedisOptions::new().partitions(3)).await;
    let mut shards = HashSet::new();
    for partition in 0..3 {
        shards.insert(cluster.primary_of(Client::slot_of(&format!("t:{{q:work:{partition}}}:meta"))).await);
    }
    assert!(shards.len() > 1, "{shards:?}");
    partitions_are_one_queue_on(&broker).await;
    an_idle_waiter_is_woken_by_every_partition(broker).await;
}

async fn an_idle_waiter_is_woken_by_every_partition(broker: RedisBroker) {
    let broker = Arc::new(broker);
    let worker = WorkerId::generate();
    for n in 0..12 {
        let waiting = broker.clone();
        let waiter = tokio::spawn(async move { waiting.wait(&["idle".to_owned()], SOON * 6).await });
        broker.enqueue("idle", jobs(n..n + 1)).await.unwrap();
        assert_eq!(waiter.await.unwrap().unwrap(), Wake::Ready);
        let fetch = Fetch { worker: worker.clone(), max: 1, lease: LEASE };
        assert_eq!(broker.ack_and_fetch("idle", Vec::new(), fetch).await.unwrap().1.len(), 1);
    }
}
