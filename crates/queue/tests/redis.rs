//! Guarantees of the Redis broker alone: partitions, lost replies, tombstones, pages of ready jobs.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "a test ends where it is surprised")]

mod support;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::poll;
use serde_json::json;
use support::redis::{broker, fresh_prefix};
use support::{Bench, LEASE, QUEUE, ack, ids, job, jobs, new_jobs, reclaim, retry};
use tidegate_queue::{
    Broker, BrokerError, Change, CleanableState, Documents, EnqueueOptions, Fetch, GroupCounts, GroupId, JobEventKind,
    JobId, LeasedJob, Nack, NackAction, NewJob, Priority, Producer, QueueSettings, Rate, Reclaim, RedisBroker,
    RedisDurability, RedisOptions, Retention, Settled, State, Stored, Unique, Wake, WorkerId,
};
use tidegate_redis::Client;
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::{Cluster, RedisServer, Sentinels};

const SOON: Duration = Duration::from_secs(10);

async fn fetch(broker: &RedisBroker, worker: &WorkerId, max: usize) -> Vec<LeasedJob> {
    let fetch = Fetch { worker: worker.clone(), max, lease: LEASE };
    broker.ack_and_fetch(QUEUE, Vec::new(), fetch).await.unwrap().1
}

async fn fresh(server: &RedisServer, partitions: u16) -> RedisBroker {
    broker(&server.url(), &fresh_prefix(), RedisOptions::new().partitions(partitions)).await
}

fn id(id: &str) -> JobId {
    JobId::new(id).unwrap()
}

#[tokio::test]
async fn what_a_fetch_gave_whose_reply_was_lost_is_handed_over_by_the_next() {
    let server = RedisServer::start().await;
    let broker = fresh(&server, 1).await;
    let (worker, other) = (WorkerId::generate(), WorkerId::generate());
    broker.enqueue(QUEUE, jobs(0..8)).await.unwrap();
    let first = fetch(&broker, &worker, 1).await;

    // The script runs, but its reply is lost.
    let acks = vec![ack(&first[0].token)];
    let wanted = Fetch { worker: worker.clone(), max: 3, lease: LEASE };
    let mut unheard = Box::pin(broker.ack_and_fetch(QUEUE, acks.clone(), wanted));
    assert!(poll!(&mut unheard).is_pending());
    let ran = async || (broker.counts(QUEUE).await.unwrap().done == 1).then_some(());
    poll_until(SOON, ran).await.unwrap();
    drop(unheard);

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

/// How often the server ran a command since its statistics were reset.
async fn calls(server: &RedisServer, command: &str) -> u64 {
    let stats = server.cli(&["INFO", "commandstats"]).await;
    let front = format!("cmdstat_{command}:calls=");
    stats
        .lines()
        .find_map(|line| line.strip_prefix(&front))
        .map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

/// Loads the script into the server, so that a request sent with the first poll runs.
async fn knows_the_script(broker: &RedisBroker, worker: &WorkerId) {
    assert!(fetch(broker, worker, 1).await.is_empty());
}

/// A fetch whose script runs, but whose reply is lost.
async fn fetch_unheard(broker: &RedisBroker, worker: &WorkerId, max: usize) {
    let before = broker.counts(QUEUE).await.unwrap().leased;
    let wanted = Fetch { worker: worker.clone(), max, lease: LEASE };
    let mut unheard = Box::pin(broker.ack_and_fetch(QUEUE, Vec::new(), wanted));
    assert!(poll!(&mut unheard).is_pending());
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
    fetch_unheard(&broker, &worker, 6).await;
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
async fn a_fetch_that_runs_behind_the_one_that_asks_for_it_is_handed_over_too() {
    let server = RedisServer::start().await;
    let broker = fresh(&server, 1).await;
    let worker = WorkerId::generate();
    knows_the_script(&broker, &worker).await;
    broker.enqueue(QUEUE, jobs(0..3)).await.unwrap();
    fetch_unheard(&broker, &worker, 1).await;
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
    fetch_unheard(&broker, &worker, 2).await;
    broker.pause(QUEUE).await.unwrap();
    server.cli(&["CONFIG", "RESETSTAT"]).await;
    assert!(fetch(&broker, &worker, 4).await.is_empty());
    assert_eq!(calls(&server, "hscan").await, 0);
    broker.resume(QUEUE).await.unwrap();
    let expected = ["job-000000", "job-000001", "job-000002", "job-000003"];
    assert_eq!(ids(&fetch(&broker, &worker, 4).await), expected);
}

/// More leases than one step checks: each is checked once, then not before the next one expires.
#[tokio::test]
async fn many_leases_are_looked_at_in_steps_and_then_left_alone() {
    const MANY: usize = 21_500;
    let server = RedisServer::start().await;
    let bench = Bench::on_redis(&server.url()).await;
    for first in (0..MANY).step_by(5_000) {
        bench.broker.enqueue(QUEUE, jobs(first..(first + 5_000).min(MANY))).await.unwrap();
    }
    let mut tokens = Vec::new();
    while tokens.len() < MANY {
        tokens.extend(bench.fetch(5_000).await.into_iter().map(|job| job.token));
    }
    bench.tick_for(20).await;
    for tokens in tokens.chunks(5_000) {
        assert!(bench.broker.heartbeat(QUEUE, tokens.to_vec(), LEASE).await.unwrap().lost.is_empty());
    }
    bench.advance(9);
    assert_eq!(bench.reclaim().await.next_in, Some(Duration::from_secs(1)));
    bench.advance(1);
    assert_eq!(bench.reclaim().await.next_in, Some(Duration::ZERO), "there are more to look at");
    // A lease that starts meanwhile and expires before all others.
    let short = bench.add("short", EnqueueOptions::new()).await;
    let fetch = Fetch { worker: bench.worker.clone(), max: 1, lease: Duration::from_secs(8) };
    assert_eq!(bench.broker.ack_and_fetch(QUEUE, Vec::new(), fetch).await.unwrap().1.len(), 1);
    bench.advance(1);
    let round = bench.reclaim().await;
    assert_eq!((round.ready, round.next_in), (Vec::new(), Some(Duration::from_secs(7))));
    server.cli(&["CONFIG", "RESETSTAT"]).await;
    for seconds in (0..7).rev() {
        bench.advance(1);
        if seconds > 0 {
            assert_eq!(bench.reclaim().await.next_in, Some(Duration::from_secs(seconds)));
        }
    }
    assert_eq!(calls(&server, "hscan").await, 0);
    let mut taken = bench.reclaim().await;
    taken.ready.extend(bench.reclaim().await.ready);
    assert_eq!(taken.ready, [short]);
    assert_eq!(bench.reclaim().await.next_in, Some(Duration::from_secs(12)));
}

/// Cursors of another server are not valid: continuing with an old one would miss leases.
#[tokio::test]
async fn a_look_at_leases_does_not_go_on_with_the_cursor_of_another_server() {
    let server = RedisServer::start().await;
    let bench = Bench::on_redis(&server.url()).await;
    let front = |keys: String| keys.trim().strip_suffix("meta").unwrap().to_owned();
    bench.broker.enqueue(QUEUE, jobs(0..3)).await.unwrap();
    assert_eq!(bench.fetch(3).await.len(), 3);
    bench.tick_for(5).await;
    let meta = format!("{}meta", front(server.cli(&["KEYS", "*:{q:work:0}:meta"]).await));
    // As an interrupted check leaves it.
    let never = "253402300799999";
    server.cli(&["HSET", &meta, "scan", "7", "soonest", never, "expiry", never, "server", "0abc"]).await;
    assert!(bench.reclaim().await.guarded);
    assert_eq!(server.cli(&["HEXISTS", &meta, "scan"]).await.trim(), "0");
    assert_eq!(bench.tick_for(30).await.ready.len(), 3);
}

/// The common prefix of the keys of the first partition.
async fn front(server: &RedisServer) -> String {
    server.cli(&["KEYS", "*:{q:work:0}:meta"]).await.trim().strip_suffix("meta").unwrap().to_owned()
}

/// A caller is cancelled while its connection still listens: another caller must get its token.
#[tokio::test]
async fn a_token_of_a_due_time_that_nobody_can_use_is_given_back() {
    let server = RedisServer::start().await;
    let broker = fresh(&server, 1).await;
    broker.enqueue(QUEUE, jobs(0..1)).await.unwrap();
    assert_eq!(fetch(&broker, &WorkerId::generate(), 1).await.len(), 1);
    let wake = format!("{}wake", front(&server).await);
    server.cli(&["DEL", &wake]).await;
    let queues = [QUEUE.to_owned()];
    let listens = async || server.cli(&["INFO", "clients"]).await.contains("blocked_clients:1").then_some(());
    tokio::select! {
        woken = broker.wait(&queues, SOON * 6) => unreachable!("{woken:?}"),
        listens = poll_until(SOON, listens) => listens.unwrap(),
    }
    let later = EnqueueOptions::new().delay(Duration::from_secs(3_600));
    broker.enqueue(QUEUE, vec![job("later", later)]).await.unwrap();
    let given_back = async || (server.cli(&["LRANGE", &wake, "0", "-1"]).await.trim() == "d").then_some(());
    poll_until(SOON, given_back).await.unwrap();
}

/// Idle workers keep the time of the next token: the worker that took the last token is busy.
#[tokio::test]
async fn a_fetch_that_takes_the_last_tokens_and_leaves_jobs_calls_for_who_waits() {
    let server = RedisServer::start().await;
    let broker = fresh(&server, 1).await;
    let worker = WorkerId::generate();
    let rate = Rate::new(3, Duration::from_secs(3_600)).ok();
    broker.configure(QUEUE, QueueSettings { rate, ..QueueSettings::default() }).await.unwrap();
    broker.enqueue(QUEUE, jobs(0..9)).await.unwrap();
    let wake = format!("{}wake", front(&server).await);
    let tokens = async || server.cli(&["LRANGE", &wake, "0", "-1"]).await.trim().to_owned();
    // First by the path of plain jobs, then by that of returned jobs.
    let first = fetch(&broker, &worker, 1).await;
    server.cli(&["DEL", &wake]).await;
    assert_eq!(fetch(&broker, &worker, 2).await.len(), 2);
    assert_eq!(tokens().await, "d");
    let rate = Rate::new(9, Duration::from_secs(3_600)).ok();
    broker.configure(QUEUE, QueueSettings::default()).await.unwrap();
    broker.configure(QUEUE, QueueSettings { rate, ..QueueSettings::default() }).await.unwrap();
    let release = Nack { token: first[0].token.clone(), action: NackAction::Release };
    assert_eq!(broker.nack(QUEUE, vec![release]).await.unwrap(), [Settled::Now]);
    broker.enqueue(QUEUE, jobs(10..19)).await.unwrap();
    server.cli(&["DEL", &wake]).await;
    assert_eq!(fetch(&broker, &worker, 9).await.len(), 9);
    assert_eq!(tokens().await, "d");
}

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

/// Until then a caller listens to the partitions that this process would create.
#[tokio::test]
async fn who_waits_for_a_queue_hears_of_all_partitions_that_another_process_makes() {
    let server = RedisServer::start().await;
    let prefix = fresh_prefix();
    let waiting = broker(&server.url(), &prefix, RedisOptions::new()).await;
    let making = broker(&server.url(), &prefix, RedisOptions::new().partitions(4)).await;
    let queues = [QUEUE.to_owned()];
    let make = async {
        let listens = async || server.cli(&["INFO", "clients"]).await.contains("blocked_clients:1").then_some(());
        poll_until(SOON, listens).await.unwrap();
        making.enqueue(QUEUE, jobs(0..1)).await.unwrap();
    };
    let wait = tokio::time::timeout(SOON, waiting.wait(&queues, SOON * 6));
    let (woken, ()) = tokio::join!(wait, make);
    assert_eq!(woken.unwrap().unwrap(), Wake::Ready);
    assert_eq!(server.cli(&["KEYS", "*:{q:work:0}:ready:2"]).await.trim(), "", "it lies in another one");
}

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
    let list = broker.list(QUEUE, State::Ready, None, 10).await.unwrap();
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

#[tokio::test]
async fn a_batch_lies_in_one_partition_and_chosen_ids_stay_what_they_are() {
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
    assert_eq!(broker.enqueue(QUEUE, vec![job("order-7", EnqueueOptions::new())]).await.unwrap(), [Stored::Known]);
}

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
                let page = broker.list(QUEUE, State::Ready, cursor, size).await.unwrap();
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

    for (state, count) in [(State::Delayed, 10), (State::Leased, 21), (State::Done, 20), (State::Dead, 10)] {
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
async fn behind_sentinels() {
    let servers = Sentinels::start().await;
    let broker = broker(&servers.url(), "t", RedisOptions::new()).await;
    partitions_are_one_queue_on(&broker).await;
    an_idle_waiter_hears_of_every_partition(broker).await;
}

#[tokio::test]
async fn in_a_cluster_partitions_lie_on_several_shards() {
    let cluster = Cluster::start().await;
    let broker = broker(&cluster.url(), "t", RedisOptions::new().partitions(3)).await;
    let mut shards = HashSet::new();
    for partition in 0..3 {
        shards.insert(cluster.primary_of(Client::slot_of(&format!("t:{{q:work:{partition}}}:meta"))).await);
    }
    assert!(shards.len() > 1, "{shards:?}");
    partitions_are_one_queue_on(&broker).await;
    an_idle_waiter_hears_of_every_partition(broker).await;
}

async fn an_idle_waiter_hears_of_every_partition(broker: RedisBroker) {
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
                [Stored::Known] => known += 1,
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
    assert_eq!(poll_until(SOON, stored).await.unwrap(), [Stored::Known]);
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

/// One shard is unreachable: the answers of the others count, and its own are sent again.
#[tokio::test]
async fn a_shard_that_is_away_loses_no_other_ones_answers() {
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
        tokio::time::timeout(SOON, enqueue).await.expect("nobody holds it up").unwrap();
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

/// A process took a token and crashed: the jobs must not wait until the next one is enqueued.
#[tokio::test]
async fn a_lost_token_is_replaced_by_upkeep() {
    let server = RedisServer::start().await;
    let prefix = fresh_prefix();
    let broker = broker(&server.url(), &prefix, RedisOptions::new()).await;
    let wake = format!("{prefix}:{{q:work:0}}:wake");
    broker.enqueue(QUEUE, jobs(0..1)).await.unwrap();
    assert_eq!(server.cli(&["LPOP", &wake]).await.trim(), "r");
    broker.reclaim(QUEUE, reclaim(3)).await.unwrap();
    assert_eq!(server.cli(&["LPOP", &wake]).await.trim(), "r");
    fetch(&broker, &WorkerId::generate(), 1).await;
    let soon = EnqueueOptions::new().delay(Duration::from_millis(50));
    broker.enqueue(QUEUE, vec![job("soon", soon)]).await.unwrap();
    assert_eq!(server.cli(&["LPOP", &wake]).await.trim(), "d");
    let token = async || {
        broker.reclaim(QUEUE, reclaim(3)).await.unwrap();
        (server.cli(&["LPOP", &wake]).await.trim() == "d").then_some(())
    };
    poll_until(SOON, token).await.unwrap();
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
    assert_eq!(broker.list(QUEUE, State::Dead, None, 20).await.unwrap().items.len(), 6);
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
    assert_eq!(removed[45..], [Change::Refused(State::Ready); 5]);
    assert_eq!(calls(&server, "evalsha").await, 3, "20, 20 and 10");
    assert_eq!(broker.counts(QUEUE).await.unwrap().completed_total, 45);
}
