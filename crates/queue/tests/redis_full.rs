//! A Redis that has reached `maxmemory` with `noeviction`: enqueueing is refused with its own
//! error, and everything that frees memory continues.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "a test ends where it is surprised")]
#![allow(clippy::print_stdout, reason = "a proof shows its figures")]

mod support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use support::redis::{broker, fresh_prefix};
use support::{QUEUE, ack, job, jobs, retry};
use tidegate_queue::{
    Ack, Backoff, Broker, Change, CleanableState, Context, EnqueueError, EnqueueOptions, Event, Fetch, Handler, Job,
    JobId, JobState, LeasedJob, Nack, NackAction, NewJob, Observer, Outcome, Producer, Progress, QueueOptions,
    QueueSettings, Reclaim, RedisBroker, RedisOptions, Retention, RetryPolicy, Settled, Unique, Worker, WorkerId,
    WorkerInfo,
};
use tidegate_testkit::redis::RedisServer;
use tidegate_testkit::{poll_until, scale};
use tokio_util::sync::CancellationToken;

const LONG: Duration = Duration::from_secs(300);
const LEASE: Duration = Duration::from_millis(300);

/// A queue on its own server, which the test fills.
struct Harness {
    server: RedisServer,
    broker: RedisBroker,
    worker: WorkerId,
}

impl Harness {
    async fn new() -> Self {
        let server = RedisServer::builder().set("maxmemory-policy", "noeviction").start().await;
        let broker = broker(&server.url(), &fresh_prefix(), RedisOptions::new()).await;
        Self { server, broker, worker: WorkerId::generate() }
    }

    async fn set_limit(&self, bytes: &str) {
        assert_eq!(self.server.cli(&["CONFIG", "SET", "maxmemory", bytes]).await, "OK");
    }

    async fn fill(&self) {
        self.set_limit("1").await;
        let refused = self.broker.enqueue(QUEUE, vec![job("one-too-many", EnqueueOptions::new())]).await;
        assert!(refused.unwrap_err().is_full());
    }

    async fn enqueue(&self, options: &EnqueueOptions, ids: &[&str]) {
        let jobs = ids.iter().map(|id| job(id, options.clone())).collect();
        self.broker.enqueue(QUEUE, jobs).await.unwrap();
    }

    async fn exchange(&self, acks: Vec<Ack>, max: usize) -> (Vec<Settled>, Vec<LeasedJob>) {
        let fetch = Fetch { worker: self.worker.clone(), max, lease: LEASE };
        self.broker.ack_and_fetch(QUEUE, acks, fetch).await.unwrap()
    }

    async fn fetch(&self, max: usize) -> Vec<LeasedJob> {
        self.exchange(Vec::new(), max).await.1
    }

    async fn nack(&self, job: &LeasedJob, action: NackAction) {
        let settled = self.broker.nack(QUEUE, vec![Nack { token: job.token.clone(), action }]).await;
        assert_eq!(settled.unwrap(), [Settled::Now]);
    }

    async fn states(&self) -> [u64; 7] {
        let counts = self.broker.counts(QUEUE).await.unwrap();
        [counts.ready, counts.delayed, counts.waiting, counts.leased, counts.done, counts.dead, counts.cancelled]
    }
}

#[tokio::test]
async fn every_way_to_enqueue_is_refused_as_full_and_changes_nothing() {
    let harness = Harness::new().await;
    harness.enqueue(&EnqueueOptions::new(), &["there"]).await;
    harness.fill().await;
    let before = harness.server.append_only_file().effects();
    let producer = Producer::new(Arc::new(broker(&harness.server.url(), "t-other", RedisOptions::new()).await));
    let later = EnqueueOptions::new().delay(Duration::from_secs(9));
    let unique = EnqueueOptions::new().unique(Unique::new("alone"));
    for refused in [
        harness.broker.enqueue(QUEUE, jobs(0..3)).await,
        harness.broker.enqueue(QUEUE, vec![job("later", later)]).await,
        harness.broker.enqueue(QUEUE, vec![job("alone", unique)]).await,
    ] {
        let error = refused.unwrap_err();
        assert!(error.is_full() && error.is_transient() && !error.may_have_run(), "{error:?}");
        assert!(error.to_string().contains("the job store is full"), "{error}");
    }
    let refused: EnqueueError = producer.enqueue(&Step { number: 1 }).await.unwrap_err();
    assert!(refused.is_full() && !refused.may_have_run(), "{refused}");
    assert_eq!(harness.server.append_only_file().effects(), before);
    harness.set_limit("0").await;
    harness.broker.enqueue(QUEUE, jobs(0..3)).await.unwrap();
}

#[tokio::test]
async fn leases_are_given_renewed_and_settled_on_a_full_server() {
    let harness = Harness::new().await;
    harness.broker.enqueue(QUEUE, jobs(0..10)).await.unwrap();
    let events = QueueSettings { events: true, ..QueueSettings::default() };
    harness.broker.configure(QUEUE, events).await.unwrap();
    let first = harness.fetch(1).await.remove(0);
    assert!(harness.broker.checkpoint(QUEUE, &first.token, "page 100".to_owned()).await.unwrap());
    let message = |message: &str| Progress { percent: 5, message: message.to_owned() };
    assert!(harness.broker.progress(QUEUE, &first.token, message("half")).await.unwrap());
    harness.fill().await;

    for (checkpoint, progress, kept) in
        [("page 200", "done", ("page 200", "done")), ("page 1000", "all of it", ("page 200", "done"))]
    {
        assert!(harness.broker.checkpoint(QUEUE, &first.token, checkpoint.to_owned()).await.unwrap());
        assert!(harness.broker.progress(QUEUE, &first.token, message(progress)).await.unwrap());
        let record = harness.broker.job(QUEUE, &first.token.id).await.unwrap().unwrap();
        assert_eq!((record.checkpoint.unwrap().as_str(), record.progress.unwrap().message.as_str()), kept);
    }
    let mut held = vec![first];
    held.extend(harness.fetch(7).await);
    assert_eq!(held.len(), 8);
    let tokens: Vec<_> = held.iter().map(|job| job.token.clone()).collect();
    let long = Duration::from_secs(60);
    assert!(harness.broker.heartbeat(QUEUE, tokens.clone(), long).await.unwrap().lost.is_empty());
    assert!(harness.broker.log(QUEUE, &tokens[0], vec!["a line".to_owned()]).await.unwrap());

    let (settled, more) = harness.exchange(vec![ack(&tokens[0]), ack(&tokens[1])], 1).await;
    assert_eq!((settled, more.len()), (vec![Settled::Now; 2], 1));
    assert_eq!(harness.exchange(vec![ack(&tokens[0])], 0).await.0, [Settled::Before]);
    let long_error = "no luck. ".repeat(400);
    harness.nack(&held[2], NackAction::Retry { delay: Duration::from_secs(60), error: long_error.clone() }).await;
    harness.nack(&held[3], NackAction::Dead { error: long_error.clone() }).await;
    harness.nack(&held[4], NackAction::Discard { reason: long_error }).await;
    harness.nack(&held[5], NackAction::Snooze { delay: Duration::from_secs(60), note: None }).await;
    harness.nack(&held[6], NackAction::Release).await;
    assert_eq!(harness.states().await, [2, 2, 0, 2, 2, 1, 1]);

    harness.set_limit("0").await;
    let record = harness.broker.job(QUEUE, &tokens[0].id).await.unwrap().unwrap();
    assert_eq!(
        (record.state, record.result),
        (JobState::Done, Some(serde_json::Value::Null)),
        "its result was dropped"
    );
    let dead = harness.broker.job(QUEUE, &tokens[3].id).await.unwrap().unwrap();
    assert!(dead.attempts[0].error.as_ref().unwrap().len() < 300, "its error was shortened");
    let counts = harness.broker.counts(QUEUE).await.unwrap();
    assert_eq!(
        (counts.completed_total, counts.dropped_total),
        (2, 5),
        "two results, a line, a checkpoint and a message"
    );
}

/// As of the workers that start on a full server: each loads its scripts.
#[tokio::test]
async fn the_memory_of_scripts_keeps_no_job_back_on_a_full_server() {
    let harness = Harness::new().await;
    harness.broker.enqueue(QUEUE, jobs(0..2)).await.unwrap();
    harness.fill().await;
    assert_eq!(harness.fetch(1).await.len(), 1, "the memory in use is noted");
    // A megabyte: four times what work may add to a small server.
    for number in 0..64 {
        let script = format!("return '{number}{}'", "x".repeat(16 << 10));
        harness.server.cli(&["SCRIPT", "LOAD", &script]).await;
    }
    assert_eq!(harness.fetch(1).await.len(), 1);
}

#[tokio::test]
async fn maintenance_goes_on_on_a_full_server() {
    let harness = Harness::new().await;
    harness.enqueue(&EnqueueOptions::new(), &["done", "lost"]).await;
    harness.enqueue(&EnqueueOptions::new().delay(Duration::from_millis(1)), &["due"]).await;
    let held = harness.fetch(2).await;
    harness.exchange(vec![ack(&held[0].token)], 0).await;
    harness.fill().await;

    let promoted = async || (harness.broker.promote(QUEUE, 9).await.unwrap().moved == 1).then_some(());
    poll_until(LONG, promoted).await.unwrap();
    let request = Reclaim { lease: LEASE, pause: Duration::from_secs(60), max_lost: 3, limit: 9 };
    let reclaimed = async || (harness.broker.reclaim(QUEUE, request).await.unwrap().ready.len() == 1).then_some(());
    poll_until(LONG, reclaimed).await.unwrap();
    let retention = Retention { done_max: 0, ..Retention::default() };
    assert_eq!(harness.broker.prune(QUEUE, retention, 9).await.unwrap(), 1);
    let now = harness.broker.now().await.unwrap();
    let info = WorkerInfo::of_this_process(harness.worker.clone(), vec![QUEUE.to_owned()], now);
    harness.broker.announce(info).await.unwrap();
    assert_eq!(harness.broker.workers().await.unwrap().len(), 1);
    harness.broker.wait(&[QUEUE.to_owned()], Duration::ZERO).await.unwrap();
    harness.broker.withdraw(&harness.worker).await.unwrap();
    assert_eq!(harness.states().await, [2, 0, 0, 0, 0, 0, 0]);
}

#[tokio::test]
async fn operators_can_do_all_that_frees_a_full_server() {
    let harness = Harness::new().await;
    harness.enqueue(&EnqueueOptions::new(), &["a", "b", "c", "d", "e", "f"]).await;
    harness.enqueue(&EnqueueOptions::new().ordering_key("line"), &["x", "y"]).await;
    let held = harness.fetch(2).await;
    harness.nack(&held[0], NackAction::Dead { error: "no".to_owned() }).await;
    harness.nack(&held[1], retry(60)).await;
    harness.fill().await;

    harness.broker.pause(QUEUE).await.unwrap();
    assert!(harness.fetch(1).await.is_empty());
    harness.broker.resume(QUEUE).await.unwrap();
    harness.broker.configure(QUEUE, QueueSettings { max_running: Some(9), ..QueueSettings::default() }).await.unwrap();
    let id = |id: &str| JobId::new(id).unwrap();
    assert_eq!(harness.broker.cancel(QUEUE, &id("d")).await.unwrap(), Change::Applied);
    assert_eq!(harness.broker.retry(QUEUE, &held[1].token.id).await.unwrap(), Change::Applied);
    assert_eq!(harness.broker.retry_dead(QUEUE, 9).await.unwrap(), 1);
    assert_eq!(harness.states().await, [6, 0, 1, 0, 0, 0, 1]);
    assert_eq!(harness.broker.drain(QUEUE, 99).await.unwrap(), 7);
    let cleaned = harness.broker.clean(QUEUE, CleanableState::Cancelled, Duration::ZERO, 99).await.unwrap();
    assert_eq!((cleaned, harness.states().await), (8, [0; 7]));
}

#[derive(Serialize, Deserialize)]
struct Step {
    number: u32,
}

impl Job for Step {
    const KIND: &'static str = "step";
    const QUEUE: &'static str = QUEUE;
}

/// Counts the runs of each job. Every tenth fails at first, every hundredth is buried.
#[derive(Clone, Default)]
struct Count(Arc<Mutex<HashMap<u32, Vec<u32>>>>);

#[async_trait::async_trait]
impl Handler<Step> for Count {
    async fn run(&self, Step { number }: Step, context: &Context) -> Outcome {
        let mut runs = self.0.lock().unwrap();
        let runs = runs.entry(number).or_default();
        runs.push(context.delivery());
        match number {
            n if n % 100 == 0 => Outcome::bury("hopeless"),
            n if n % 10 == 0 && runs.len() == 1 => Outcome::retry("no luck ".repeat(100)),
            _ => Outcome::done("a result ".repeat(20)),
        }
    }
}

/// Buries each job, and counts the refusals of a full store.
#[derive(Clone, Default)]
struct Bury {
    runs: Arc<Mutex<HashMap<u32, u32>>>,
    refusals: Arc<AtomicU32>,
}

#[async_trait::async_trait]
impl Handler<Step> for Bury {
    async fn run(&self, Step { number }: Step, _: &Context) -> Outcome {
        *self.runs.lock().unwrap().entry(number).or_default() += 1;
        Outcome::bury("no luck ".repeat(100))
    }
}

impl Observer for Bury {
    fn on(&self, event: &Event<'_>) {
        if let Event::BrokerFailed { error, .. } = event
            && error.is_full()
        {
            self.refusals.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn used_memory(server: &RedisServer) -> u64 {
    let info = server.cli(&["INFO", "memory"]).await;
    info.lines().find_map(|line| line.trim().strip_prefix("used_memory:")).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_all_die_on_a_full_server_wait_until_there_is_memory() {
    let megabytes = scale(24, 60);
    let server = RedisServer::builder()
        .set("maxmemory", &format!("{megabytes}mb"))
        .set("maxmemory-policy", "noeviction")
        .start()
        .await;
    let broker: Arc<dyn Broker> = Arc::new(broker(&server.url(), "t", RedisOptions::new()).await);
    let new = |number: u32| {
        let payload = json!({ "number": number, "padding": "x".repeat(900) });
        let id = JobId::new(format!("job-{number:06}")).unwrap();
        NewJob::new("step", &payload, EnqueueOptions::new().id(id), 2_000).unwrap()
    };
    let mut stored = 0;
    loop {
        match broker.enqueue(QUEUE, (stored..stored + 50).map(new).collect()).await {
            Ok(_) => stored += 50,
            Err(error) if error.is_full() => break,
            Err(error) => assert!(error.is_transient(), "{error:?}"),
        }
    }
    let bury = Bury::default();
    let worker = Worker::builder(broker.clone()).queue(QUEUE, QueueOptions::new().concurrency(50));
    let worker = worker.handler::<Step, _>(bury.clone()).observer(Arc::new(bury.clone())).build().unwrap();
    let stop = CancellationToken::new();
    let worker = tokio::spawn(worker.run(stop.clone()));

    let limit = (megabytes as u64) << 20;
    let mut most = 0;
    let is_refused = async || {
        most = most.max(used_memory(&server).await);
        assert!(most <= limit * 110 / 100, "{most} bytes are used of {limit}");
        (bury.refusals.load(Ordering::Relaxed) >= 3).then_some(())
    };
    poll_until(LONG, is_refused).await.unwrap();
    let counts = broker.counts(QUEUE).await.unwrap();
    assert!(counts.ready > 0 && counts.dead > 0, "{counts:?}");
    assert_eq!(counts.ready + counts.leased + counts.dead, u64::from(stored), "none is lost");
    println!("{stored} jobs in {megabytes} MB: {} dead, {} % of maxmemory", counts.dead, most * 100 / limit);

    let is_empty = async || {
        broker.clean(QUEUE, CleanableState::Dead, Duration::ZERO, 10_000).await.unwrap();
        let counts = broker.counts(QUEUE).await.unwrap();
        (counts.ready + counts.leased + counts.dead == 0).then_some(())
    };
    poll_until(LONG, is_empty).await.unwrap();
    let runs = bury.runs.lock().unwrap().clone();
    assert!(runs.len() == stored as usize && runs.values().all(|runs| *runs == 1), "{} jobs ran", runs.len());
    let takes_jobs = async || broker.enqueue(QUEUE, vec![new(1)]).await.ok();
    poll_until(LONG, takes_jobs).await.unwrap();
    stop.cancel();
    worker.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_filled_by_enqueueing_is_worked_off_and_takes_jobs_again() {
    let megabytes = scale(6, 30);
    let server = RedisServer::builder()
        .set("maxmemory", &format!("{megabytes}mb"))
        .set("maxmemory-policy", "noeviction")
        .start()
        .await;
    let broker: Arc<dyn Broker> = Arc::new(broker(&server.url(), "t", RedisOptions::new()).await);
    let padding = "x".repeat(900);
    let new = |number: u32| {
        let payload = json!({ "number": number, "padding": padding });
        NewJob::new("step", &payload, EnqueueOptions::new(), 2_000).unwrap()
    };
    let mut stored = 0;
    loop {
        match broker.enqueue(QUEUE, (stored..stored + 50).map(new).collect()).await {
            Ok(_) => stored += 50,
            Err(error) => {
                assert!(error.is_full(), "{error:?}");
                break;
            }
        }
    }
    assert_eq!(broker.counts(QUEUE).await.unwrap().ready, u64::from(stored));

    let count = Count::default();
    let retention = Retention { done_max: 100, dead_max: 100, ..Retention::default() };
    let again = RetryPolicy::new(3, Backoff::Fixed(Duration::from_millis(1))).unwrap();
    let options = QueueOptions::new().concurrency(50).retention(retention).retry(again);
    let worker = Worker::builder(broker.clone()).queue(QUEUE, options).handler::<Step, _>(count.clone());
    let stop = CancellationToken::new();
    let worker = tokio::spawn(worker.build().unwrap().run(stop.clone()));
    let is_empty = async || {
        let counts = broker.counts(QUEUE).await.ok()?;
        (counts.ready + counts.leased + counts.delayed == 0).then_some(counts)
    };
    let counts = poll_until(LONG, is_empty).await.unwrap();
    let buried = u64::from(stored.div_ceil(100));
    assert_eq!((counts.completed_total, counts.failed_total), (u64::from(stored) - buried, buried));
    assert_eq!((counts.reclaimed_total, counts.stale_acks_total), (0, 0));
    {
        let runs = count.0.lock().unwrap();
        assert_eq!(runs.len(), stored as usize);
        for (number, runs) in runs.iter() {
            let expected = if number % 10 == 0 && number % 100 != 0 { 2 } else { 1 };
            assert_eq!(runs.len(), expected, "job {number} ran under the leases {runs:?}");
        }
    }
    let takes_jobs = async || broker.enqueue(QUEUE, vec![new(1)]).await.ok();
    poll_until(LONG, takes_jobs).await.unwrap();
    println!("{stored} jobs in {megabytes} MB; {} results dropped while the server was full", counts.dropped_total);
    stop.cancel();
    worker.await.unwrap().unwrap();
}
