//! Keys, groups, settings and failures of a queue with several partitions.

use std::time::Duration;

use crate::support::redis::broker;
use crate::support::{LEASE, QUEUE, ack, job, jobs};
use crate::{SOON, fetch, fresh};
use tidegate_queue::{
    Broker, EnqueueOptions, Fetch, GroupCounts, GroupId, JobEventKind, Nack, NackAction, QueueSettings, Rate,
    RedisOptions, Settled, Stored, Unique, Wake, WorkerId,
};
use tidegate_redis::Client;
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::{Cluster, RedisServer};

/// Linked jobs are in one partition, wherever they were enqueued.
#[tokio::test]
async fn keys_and_groups_hold_over_partitions() {
    let server = RedisServer::start().await;
    let broker = fresh(&server, 3).await;
    let group = GroupId::new("g").unwrap();
    let ordered = |n: usize| job(&format!("o{n}"), EnqueueOptions::new().ordering_key("k").group(group.clone()));
    broker.enqueue(QUEUE, (0..6).map(ordered).collect()).await.unwrap();
    let counts = broker.counts(QUEUE).await.unwrap();
    assert_eq!((counts.ready, counts.waiting), (1, 5));
    let unique =
        |n: usize| job(&format!("u{n}"), EnqueueOptions::new().unique(Unique::new("once")).group(group.clone()));
    assert!(broker.enqueue(QUEUE, vec![unique(0)]).await.unwrap()[0].is_new());
    let refused = broker.enqueue(QUEUE, vec![unique(1)]).await.unwrap();
    assert!(matches!(&refused[..], [Stored::Duplicate(id)] if id.as_str().starts_with("u0~")), "{refused:?}");

    let worker = WorkerId::generate();
    let mut order = Vec::new();
    loop {
        let leased = fetch(&broker, &worker, 10).await;
        if leased.is_empty() {
            break;
        }
        order.extend(leased.iter().map(|job| job.token.id.as_str().split('~').next().unwrap().to_owned()));
        let acks = leased.iter().map(|job| ack(&job.token)).collect();
        let none = Fetch { worker: worker.clone(), max: 0, lease: LEASE };
        broker.ack_and_fetch(QUEUE, acks, none).await.unwrap();
    }
    order.retain(|id| id != "u0");
    assert_eq!(order, ["o0", "o1", "o2", "o3", "o4", "o5"]);
    let expected = GroupCounts { total: 7, done: 7, dead: 0, cancelled: 0 };
    assert_eq!(broker.group(QUEUE, &group).await.unwrap(), Some(expected));
    assert!(broker.enqueue(QUEUE, vec![unique(2)]).await.unwrap()[0].is_new());
    broker.forget_group(QUEUE, &group).await.unwrap();
    assert_eq!(broker.group(QUEUE, &group).await.unwrap(), None);
}

#[tokio::test]
async fn settings_are_shared_out_among_partitions() {
    let server = RedisServer::start().await;
    let broker = fresh(&server, 3).await;
    broker.enqueue(QUEUE, jobs(0..60)).await.unwrap();
    let settings = QueueSettings { max_running: Some(7), rate: None, events: true };
    broker.configure(QUEUE, settings.clone()).await.unwrap();
    assert_eq!(broker.settings(QUEUE).await.unwrap(), settings);
    let begin = broker.events(QUEUE, None, 100).await.unwrap().cursor;
    let worker = WorkerId::generate();
    let leased = fetch(&broker, &worker, 60).await;
    assert_eq!(leased.len(), 7);
    let queues = [QUEUE.to_owned()];
    assert_eq!(broker.wait(&queues, Duration::from_millis(50)).await.unwrap(), Wake::Timeout);
    let (woken, settled) = tokio::join!(broker.wait(&queues, SOON), async {
        let none = Fetch { worker: worker.clone(), max: 0, lease: LEASE };
        broker.ack_and_fetch(QUEUE, vec![ack(&leased[0].token)], none).await.unwrap().0
    });
    assert_eq!((woken.unwrap(), settled), (Wake::Ready, vec![Settled::Now]));
    assert_eq!(fetch(&broker, &worker, 60).await.len(), 1);

    // All events, in pages of any size.
    let (mut seen, mut cursor) = (Vec::new(), begin);
    loop {
        let page = broker.events(QUEUE, Some(cursor), 2).await.unwrap();
        cursor = page.cursor;
        if page.events.is_empty() {
            break;
        }
        seen.extend(page.events);
    }
    assert_eq!(seen.iter().filter(|event| event.what == JobEventKind::Started).count(), 8);
    assert_eq!(seen.iter().filter(|event| event.what == JobEventKind::Done).count(), 1);
    assert_eq!(seen.len(), 9);

    let rate = Rate::new(6, Duration::from_secs(3_600)).unwrap();
    broker.configure(QUEUE, QueueSettings { rate: Some(rate), ..QueueSettings::default() }).await.unwrap();
    assert_eq!(fetch(&broker, &worker, 60).await.len(), 6);
    assert_eq!(fetch(&broker, &worker, 60).await.len(), 0);
}

/// One shard is unreachable: the answers of the others count, and its own are sent again.
#[tokio::test]
async fn an_unreachable_shard_loses_no_answers_of_others() {
    let mut cluster = Cluster::start().await;
    let broker = broker(&cluster.url(), "t", RedisOptions::new().partitions(3)).await;
    broker.enqueue(QUEUE, jobs(0..60)).await.unwrap();
    let worker = WorkerId::generate();
    let leased = fetch(&broker, &worker, 60).await;
    assert_eq!(leased.len(), 60);
    let away = cluster.primary_of(Client::slot_of("t:{q:work:0}:meta")).await;
    cluster.nodes()[away].hang().await;
    let acks: Vec<_> = leased.iter().map(|job| ack(&job.token)).collect();
    let none = || Fetch { worker: worker.clone(), max: 0, lease: LEASE };
    let (settled, _) = broker.ack_and_fetch(QUEUE, acks.clone(), none()).await.unwrap();
    let count = |wanted| settled.iter().filter(|answer| **answer == wanted).count();
    assert!(count(Settled::Unanswered) > 0 && count(Settled::Now) > 0, "{settled:?}");
    assert_eq!(count(Settled::Unanswered) + count(Settled::Now), 60);
    let nacks = leased.iter().map(|job| Nack { token: job.token.clone(), action: NackAction::Release }).collect();
    let given_back = broker.nack(QUEUE, nacks).await.unwrap();
    assert!(given_back.contains(&Settled::Unanswered) && given_back.contains(&Settled::Before));
    assert_eq!(broker.wait(&[QUEUE.to_owned()], Duration::from_millis(50)).await.unwrap(), Wake::Timeout);
    cluster.nodes()[away].resume();
    let all = async || {
        let (settled, _) = broker.ack_and_fetch(QUEUE, acks.clone(), none()).await.ok()?;
        (!settled.contains(&Settled::Unanswered)).then_some(())
    };
    poll_until(SOON * 2, all).await.unwrap();
}

#[tokio::test]
async fn a_batch_that_one_partition_refused_may_have_run() {
    let server = RedisServer::start().await;
    let broker = fresh(&server, 2).await;
    broker.enqueue(QUEUE, jobs(0..10)).await.unwrap();
    let keys = server.cli(&["KEYS", "*:job"]).await;
    let one = keys.lines().next().unwrap();
    server.cli(&["SET", one, "not a hash"]).await;
    let error = broker.enqueue(QUEUE, jobs(10..30)).await.unwrap_err();
    assert!(error.may_have_run() && !error.is_full(), "{error:?}");
}
