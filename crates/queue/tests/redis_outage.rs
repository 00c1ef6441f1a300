//! Redis fails during work: killed, stopped, emptied, or with lost replies.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "a test ends where it is surprised")]

mod support;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use support::redis::broker;
use support::{QUEUE, ack, ids, job, jobs};
use tidegate_queue::{
    Broker, Context, EnqueueOptions, Event, Fetch, Handler, Job, Nack, NackAction, Observer, Outcome, QueueOptions,
    QueueSettings, Reclaim, RedisBroker, RedisOptions, Settled, ShutdownReport, Worker, WorkerId,
};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::{Proxy, RedisServer};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const SOON: Duration = Duration::from_secs(20);

#[derive(Serialize, Deserialize)]
struct Note {
    id: String,
}

impl Job for Note {
    const KIND: &'static str = "test";
    const QUEUE: &'static str = QUEUE;
}

/// Counts runs and the broker errors that the worker reports.
#[derive(Default)]
struct Seen {
    runs: AtomicUsize,
    failures: AtomicUsize,
}

struct Count(Arc<Seen>);

#[async_trait]
impl Handler<Note> for Count {
    async fn run(&self, _: Note, _: &Context) -> Outcome {
        self.0.runs.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(1)).await;
        Outcome::done(())
    }
}

impl Observer for Seen {
    fn on(&self, event: &Event<'_>) {
        if let Event::BrokerFailed { .. } = event {
            self.failures.fetch_add(1, Ordering::SeqCst);
        }
    }
}

async fn connect(url: &str) -> Arc<RedisBroker> {
    Arc::new(broker(url, "test", RedisOptions::new()).await)
}

struct Running {
    seen: Arc<Seen>,
    stop: CancellationToken,
    worker: JoinHandle<ShutdownReport>,
}

impl Running {
    fn start(broker: Arc<RedisBroker>, lease: Duration) -> Self {
        let (seen, stop) = (Arc::new(Seen::default()), CancellationToken::new());
        let worker = Worker::builder(broker)
            .queue(QUEUE, QueueOptions::new().concurrency(5))
            .handler::<Note, _>(Count(seen.clone()))
            .observer(seen.clone())
            .lease(lease);
        let worker = worker.build().unwrap().run(stop.clone());
        Self { seen, stop, worker: tokio::spawn(async move { worker.await.unwrap() }) }
    }

    async fn end(self) -> ShutdownReport {
        self.stop.cancel();
        self.worker.await.unwrap()
    }
}

async fn until_done(broker: &RedisBroker, count: u64) {
    let done = async || (broker.counts(QUEUE).await.ok()?.done >= count).then_some(());
    poll_until(SOON, done).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_go_on_through_twenty_restarts_and_no_acknowledged_job_is_lost() {
    let mut server = RedisServer::start().await;
    let broker = connect(&server.url()).await;
    broker.enqueue(QUEUE, jobs(0..1)).await.unwrap();
    let running = Running::start(connect(&server.url()).await, Duration::from_secs(1));
    let acknowledged: Arc<Mutex<Vec<String>>> = Arc::default();
    let enough = Arc::new(AtomicBool::new(false));
    let producer = tokio::spawn({
        let (broker, acknowledged, enough) = (broker.clone(), acknowledged.clone(), enough.clone());
        async move {
            for n in 0.. {
                if enough.load(Ordering::SeqCst) {
                    return;
                }
                let id = format!("job-{n:06}");
                // The id makes it safe to repeat the request.
                while broker.enqueue(QUEUE, vec![job(&id, EnqueueOptions::new())]).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                acknowledged.lock().unwrap().push(id);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    });
    for _ in 0..20 {
        server.kill9();
        server.restart().await;
        let done = async || Some(broker.counts(QUEUE).await.ok()?.done);
        let before = poll_until(SOON, done).await.unwrap();
        until_done(&broker, before + 1).await;
    }
    enough.store(true, Ordering::SeqCst);
    producer.await.unwrap();
    let acknowledged = std::mem::take(&mut *acknowledged.lock().unwrap());
    let count = acknowledged.len() as u64;
    until_done(&broker, count).await;
    let counts = broker.counts(QUEUE).await.unwrap();
    assert_eq!((counts.ready, counts.leased, counts.dead), (0, 0, 0));
    assert_eq!((counts.done, counts.completed_total), (count, count));
    assert_eq!(acknowledged.iter().collect::<HashSet<_>>().len() as u64, count);
    assert!(running.seen.runs.load(Ordering::SeqCst) as u64 >= count);
    running.end().await;
}

/// Workers that are alive send heartbeats and run maintenance as usual. Only Redis stops, for
/// longer than a lease.
#[tokio::test]
async fn a_pause_of_redis_longer_than_a_lease_reclaims_nothing_from_live_workers() {
    let mut server = RedisServer::start().await;
    let (lease, tick) = (Duration::from_millis(1_500), Duration::from_millis(250));
    let broker = connect(&server.url()).await;
    broker.enqueue(QUEUE, jobs(0..100)).await.unwrap();
    let fetch = Fetch { worker: WorkerId::generate(), max: 100, lease };
    let (_, leased) = broker.ack_and_fetch(QUEUE, Vec::new(), fetch).await.unwrap();
    let tokens: Vec<_> = leased.into_iter().map(|job| job.token).collect();
    let reclaim = Reclaim { lease, pause: tick * 2, max_lost: 3, limit: 200 };
    // Maintenance is called first each time, so that on resume the server reads it before the
    // heartbeats.
    let upkeep = connect(&server.url()).await;
    let round = async || {
        let reclaimed = upkeep.reclaim(QUEUE, reclaim).await;
        let beat = broker.heartbeat(QUEUE, tokens.clone(), lease).await;
        tokio::time::sleep(tick).await;
        (reclaimed, beat)
    };
    let settled = async || round().await.0.is_ok_and(|reclaimed| !reclaimed.guarded).then_some(());
    poll_until(SOON, settled).await.unwrap();
    server.hang().await;
    tokio::time::sleep(lease * 2).await;
    server.resume();
    let settled = async || {
        let (reclaimed, beat) = round().await;
        assert!(beat.is_err() || beat.is_ok_and(|beat| beat.lost.is_empty()));
        reclaimed.is_ok_and(|reclaimed| !reclaimed.guarded).then_some(())
    };
    poll_until(SOON, settled).await.unwrap();
    let counts = broker.counts(QUEUE).await.unwrap();
    assert_eq!((counts.leased, counts.reclaimed_total), (100, 0));
}

/// Connecting takes several round trips, longer than one heartbeat waits.
#[tokio::test]
async fn heartbeats_succeed_if_connecting_takes_longer_than_their_timeout() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(&server).await;
    let broker = connect(&proxy.url()).await;
    broker.enqueue(QUEUE, jobs(0..1)).await.unwrap();
    let lease = Duration::from_secs(60);
    let fetch = Fetch { worker: WorkerId::generate(), max: 1, lease };
    let (_, leased) = broker.ack_and_fetch(QUEUE, Vec::new(), fetch).await.unwrap();
    let tokens: Vec<_> = leased.into_iter().map(|job| job.token).collect();
    let delay = Duration::from_millis(200);
    proxy.delay(delay);
    let beat = async || {
        let beat = broker.heartbeat(QUEUE, tokens.clone(), lease);
        tokio::time::timeout(delay * 3 / 2, beat).await.ok()?.ok()
    };
    assert!(poll_until(SOON, beat).await.expect("a heartbeat is answered").lost.is_empty());
}

/// A handler that runs until it is released. Counts its starts.
struct Hold {
    begun: Arc<AtomicUsize>,
    go: CancellationToken,
}

#[async_trait]
impl Handler<Note> for Hold {
    async fn run(&self, _: Note, context: &Context) -> Outcome {
        self.begun.fetch_add(1, Ordering::SeqCst);
        tokio::select! {
            () = self.go.cancelled() => Outcome::done(()),
            () = context.cancelled().cancelled() => Outcome::retry("cancelled"),
        }
    }
}

/// Runs continue through a pause of Redis that is longer than their lease. No other worker gets the
/// jobs, and they are done once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_go_on_through_a_pause_of_redis_longer_than_their_lease() {
    let mut server = RedisServer::start().await;
    let broker = connect(&server.url()).await;
    broker.enqueue(QUEUE, jobs(0..10)).await.unwrap();
    let (begun, go, stop) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new(), CancellationToken::new());
    let lease = Duration::from_secs(2);
    let mut workers = Vec::new();
    for _ in 0..2 {
        let worker = Worker::builder(connect(&server.url()).await)
            .queue(QUEUE, QueueOptions::new().concurrency(5))
            .handler::<Note, _>(Hold { begun: begun.clone(), go: go.clone() })
            .lease(lease);
        workers.push(tokio::spawn(worker.build().unwrap().run(stop.clone())));
    }
    let all_begun = async || (begun.load(Ordering::SeqCst) == 10).then_some(());
    poll_until(SOON, all_begun).await.unwrap();

    server.hang().await;
    tokio::time::sleep(lease * 2).await;
    server.resume();
    go.cancel();
    until_done(&broker, 10).await;
    let counts = broker.counts(QUEUE).await.unwrap();
    assert_eq!((counts.completed_total, counts.reclaimed_total, counts.stale_acks_total), (10, 0, 0));
    assert_eq!(begun.load(Ordering::SeqCst), 10);
    stop.cancel();
    for worker in workers {
        worker.await.unwrap().unwrap();
    }
}

/// The same if the server ended during the pause: its successor is another server.
#[tokio::test]
async fn a_restarted_redis_reclaims_nothing_for_one_lease() {
    let mut server = RedisServer::start().await;
    let lease = Duration::from_millis(400);
    let broker = connect(&server.url()).await;
    broker.enqueue(QUEUE, jobs(0..1)).await.unwrap();
    // No gap counts as a pause here; only the identity of the server shows the restart.
    let reclaim = Reclaim { lease, pause: Duration::from_secs(3_600), max_lost: 3, limit: 200 };
    let reclaimed = async || broker.reclaim(QUEUE, reclaim).await.ok();
    let unguarded = async || reclaimed().await.filter(|reclaimed| !reclaimed.guarded);
    poll_until(SOON, unguarded).await.unwrap();
    let fetch = Fetch { worker: WorkerId::generate(), max: 1, lease };
    broker.ack_and_fetch(QUEUE, Vec::new(), fetch).await.unwrap();
    server.kill9();
    server.restart().await;
    assert!(poll_until(SOON, reclaimed).await.unwrap().guarded);
    assert_eq!(poll_until(SOON, unguarded).await.unwrap().ready.len(), 1);
}

/// The reply to each step is lost once and the step is repeated. Nothing happens twice, and no job
/// is stranded.
#[tokio::test]
async fn a_lost_reply_repeats_nothing_and_strands_nothing() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(&server).await;
    let direct = connect(&server.url()).await;
    let lossy = connect(&proxy.url()).await;
    direct.enqueue(QUEUE, Vec::new()).await.unwrap();
    let worker = WorkerId::generate();
    let mut acks = Vec::new();
    for n in 0..20 {
        proxy.drop_next_reply();
        let enqueued = async || lossy.enqueue(QUEUE, jobs(n..n + 1)).await.ok();
        poll_until(SOON, enqueued).await.unwrap();

        proxy.drop_next_reply();
        let exchanged = async || {
            let fetch = Fetch { worker: worker.clone(), max: 1, lease: Duration::from_secs(600) };
            let (settled, leased) = lossy.ack_and_fetch(QUEUE, acks.clone(), fetch).await.ok()?;
            assert!(settled.iter().all(|answer| matches!(answer, Settled::Now | Settled::Before)));
            Some(leased)
        };
        let leased = poll_until(SOON, exchanged).await.unwrap();
        assert_eq!((ids(&leased), leased[0].token.delivery), (vec![format!("job-{n:06}").as_str()], 1));
        acks = vec![ack(&leased[0].token)];

        proxy.drop_next_reply();
        let tokens = vec![leased[0].token.clone()];
        let beaten = async || lossy.heartbeat(QUEUE, tokens.clone(), Duration::from_secs(600)).await.ok();
        assert!(poll_until(SOON, beaten).await.unwrap().lost.is_empty());
        if n % 4 == 3 {
            proxy.drop_next_reply();
            let token = leased[0].token.clone();
            let nacks = || vec![Nack { token: token.clone(), action: NackAction::Dead { error: "x".to_owned() } }];
            let settled = async || lossy.nack(QUEUE, nacks()).await.ok();
            assert_ne!(poll_until(SOON, settled).await.unwrap(), [Settled::Superseded]);
            acks.clear();
        }
    }
    let counts = direct.counts(QUEUE).await.unwrap();
    assert_eq!((counts.ready, counts.leased, counts.done, counts.dead), (0, 0, 15, 5));
    assert_eq!((counts.completed_total, counts.failed_total, counts.stale_acks_total), (15, 5, 0));
    assert_eq!(proxy.dropped(), 20 * 3 + 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgotten_scripts_are_not_noticed() {
    let server = RedisServer::start().await;
    let broker = connect(&server.url()).await;
    let running = Running::start(broker.clone(), Duration::from_secs(30));
    for round in 0..20_usize {
        server.cli(&["SCRIPT", "FLUSH"]).await;
        broker.enqueue(QUEUE, jobs(round * 10..round * 10 + 10)).await.unwrap();
    }
    until_done(&broker, 200).await;
    assert_eq!(running.seen.failures.load(Ordering::SeqCst), 0);
    assert_eq!(running.end().await.settled, 200);
}

/// The registry is lost with all other data, and can't be written when the queue is created again.
#[tokio::test]
async fn a_queue_that_could_not_be_registered_is_registered_by_the_next_operation() {
    const NAMES: &str = "test:{queues}:names";
    let server = RedisServer::start().await;
    let operate = async |broker: &RedisBroker, what| match what {
        "enqueue" => broker.enqueue(QUEUE, jobs(0..1)).await.map(drop),
        "pause" => broker.pause(QUEUE).await,
        _ => broker.configure(QUEUE, QueueSettings::default()).await,
    };
    for failing in ["enqueue", "pause", "configure"] {
        for next in ["enqueue", "pause", "configure"] {
            let broker = connect(&server.url()).await;
            operate(&broker, "enqueue").await.unwrap();
            assert_eq!(server.cli(&["FLUSHALL"]).await, "OK");
            assert_eq!(server.cli(&["SET", NAMES, "no hash"]).await, "OK");
            assert!(operate(&broker, failing).await.is_err(), "{failing}");
            assert_eq!(server.cli(&["DEL", NAMES]).await, "1");
            operate(&broker, next).await.unwrap();
            assert_eq!(broker.queues().await.unwrap(), [QUEUE], "{failing}, then {next}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_go_on_after_everything_was_deleted() {
    let server = RedisServer::start().await;
    let broker = connect(&server.url()).await;
    let running = Running::start(broker.clone(), Duration::from_secs(30));
    broker.enqueue(QUEUE, jobs(0..500)).await.unwrap();
    until_done(&broker, 20).await;
    server.cli(&["FLUSHALL"]).await;
    broker.enqueue(QUEUE, jobs(1_000..1_010)).await.unwrap();
    until_done(&broker, 10).await;
    let counts = broker.counts(QUEUE).await.unwrap();
    assert_eq!((counts.ready, counts.leased, counts.completed_total), (0, 0, 10));
    assert_eq!(broker.queues().await.unwrap(), [QUEUE]);
    assert_eq!(running.seen.failures.load(Ordering::SeqCst), 0);
    running.end().await;
}
