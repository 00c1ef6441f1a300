//! The worker, on each broker with the real clock. Every test waits for an event.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it is surprised")]

#[cfg(feature = "redis")]
mod support;

use std::any::Any;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidegate_queue::{
    Backoff, Broker, BuildError, Change, Classify, Concurrency, Context, Data, EnqueueOptions, Event, Failure, Handler,
    HandlerOptions, Job, JobId, JobRecord, MemoryBroker, Observer, Outcome, Producer, QueueOptions, RetryPolicy,
    ShutdownReport, State, Timestamp, UpcastError, Worker, WorkerBuilder,
};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const QUEUE: &str = "work";

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
enum Task {
    Finish,
    FailUntil(u32),
    Panic,
    Bury,
    Hang,
    Compute(u64),
    WaitForCancel,
    TidyUp,
    Progress,
}

impl Job for Task {
    const KIND: &'static str = "task";
    const QUEUE: &'static str = QUEUE;
}

/// Runs tasks, counts runs, and signals when one has started.
#[derive(Clone)]
struct Runner {
    begun: Arc<Semaphore>,
    runs: Arc<AtomicU32>,
}

#[async_trait]
impl Handler<Task> for Runner {
    async fn run(&self, task: Task, context: &Context) -> Outcome {
        self.runs.fetch_add(1, Ordering::SeqCst);
        self.begun.add_permits(1);
        match task {
            Task::Finish => Outcome::done(context.attempt()),
            Task::FailUntil(attempt) if context.attempt() < attempt => Outcome::retry("not yet"),
            Task::FailUntil(_) => Outcome::done(context.attempt()),
            Task::Panic => panic!("boom {}", context.attempt()),
            Task::Bury => Outcome::bury("hopeless"),
            Task::Hang => std::future::pending().await,
            Task::Compute(ms) => {
                let end = tokio::time::Instant::now() + Duration::from_millis(ms);
                while tokio::time::Instant::now() < end {
                    std::hint::spin_loop();
                }
                Outcome::done("computed")
            }
            Task::WaitForCancel => {
                context.cancelled().cancelled().await;
                Outcome::retry("told to stop")
            }
            Task::TidyUp => {
                context.cancelled().cancelled().await;
                tokio::time::sleep(Duration::from_millis(1)).await;
                self.begun.add_permits(1);
                std::future::pending().await
            }
            Task::Progress => match context.progress(200, "all").await {
                Ok(()) => Outcome::done("told"),
                Err(lost) => Outcome::bury(lost),
            },
        }
    }
}

struct House {
    broker: Arc<dyn Broker>,
    producer: Producer,
    runner: Runner,
    shutdown: CancellationToken,
    _store: Option<Box<dyn Any + Send>>,
}

impl House {
    fn memory() -> Self {
        Self::over(Arc::new(MemoryBroker::new()), None)
    }

    #[cfg(feature = "sqlite")]
    async fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = tidegate_queue::SqliteOptions::new();
        let path = directory.path().join("queue.db");
        let broker = tidegate_queue::SqliteBroker::open(path, options).await.unwrap();
        Self::over(Arc::new(broker), Some(Box::new(directory)))
    }

    #[cfg(feature = "redis")]
    async fn redis() -> Self {
        let server = tidegate_testkit::redis::RedisServer::start().await;
        let broker = support::redis::broker(&server.url(), "test", tidegate_queue::RedisOptions::new()).await;
        Self::over(Arc::new(broker), Some(Box::new(server)))
    }

    fn over(broker: Arc<dyn Broker>, store: Option<Box<dyn Any + Send>>) -> Self {
        let runner = Runner { begun: Arc::new(Semaphore::new(0)), runs: Arc::default() };
        let producer = Producer::new(broker.clone());
        Self { broker, producer, runner, shutdown: CancellationToken::new(), _store: store }
    }

    fn worker(&self) -> WorkerBuilder {
        self.worker_with(options())
    }

    fn worker_with(&self, options: QueueOptions) -> WorkerBuilder {
        Worker::builder(self.broker.clone())
            .queue(QUEUE, options)
            .handler::<Task, _>(self.runner.clone())
            .lease(Duration::from_secs(2))
            .grace(Duration::from_secs(30))
    }

    fn start(&self, worker: WorkerBuilder) -> JoinHandle<ShutdownReport> {
        let (worker, shutdown) = (worker.build().unwrap(), self.shutdown.clone());
        tokio::spawn(async move { worker.run(shutdown).await.unwrap() })
    }

    async fn begun(&self, runs: u32) {
        self.runner.begun.acquire_many(runs).await.unwrap().forget();
    }

    /// Polls until the job satisfies `wanted`. The test harness limits the wait.
    async fn until(&self, id: &JobId, wanted: impl Fn(&JobRecord) -> bool) -> JobRecord {
        loop {
            let record = self.broker.job(QUEUE, id).await.unwrap().expect("kept");
            if wanted(&record) {
                return record;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn finished(&self, id: &JobId) -> JobRecord {
        self.until(id, |record| record.state.is_finished()).await
    }
}

fn options() -> QueueOptions {
    let backoff = Backoff::Fixed(Duration::from_millis(1));
    QueueOptions::new().retry(RetryPolicy::new(3, backoff).unwrap())
}

macro_rules! on_each_broker {
    ($($name:ident),* $(,)?) => {
        mod memory { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(super::House::memory()).await; }
        )* }
        #[cfg(feature = "sqlite")]
        mod sqlite { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(super::House::sqlite().await).await; }
        )* }
        #[cfg(feature = "redis")]
        mod redis { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(super::House::redis().await).await; }
        )* }
    };
}

on_each_broker![
    outcomes_become_states,
    every_job_of_a_batch_is_done_by_two_workers_once,
    a_run_that_takes_too_long_fails,
    a_run_whose_time_is_up_may_tidy_up,
    a_running_job_can_be_cancelled,
    shutdown_waits_for_running_jobs,
    the_end_of_grace_releases_without_burning_an_attempt,
    a_crash_leaves_its_jobs_to_others,
    unknown_kinds_go_back_with_a_note,
    releases_run_side_by_side,
    a_live_worker_is_announced,
    concurrency_changes_while_jobs_run,
];

async fn outcomes_become_states(house: House) {
    let enqueue = async |task: Task| house.producer.enqueue(&task).await.unwrap();
    let done = enqueue(Task::Finish).await;
    let flaky = enqueue(Task::FailUntil(3)).await;
    let hopeless = enqueue(Task::FailUntil(9)).await;
    let panics = enqueue(Task::Panic).await;
    let bury = enqueue(Task::Bury).await;
    let progress = enqueue(Task::Progress).await;
    let patient = EnqueueOptions::new().max_attempts(5);
    let patient = house.producer.enqueue_with(&Task::FailUntil(5), patient).await.unwrap();
    let raw = json!({ "no": 1 });
    let malformed = house.producer.enqueue_raw(QUEUE, "task", &raw, EnqueueOptions::new());
    let malformed = malformed.await.unwrap();
    let worker = house.start(house.worker());

    assert_eq!(house.finished(&done).await.result, Some(json!(1)));
    let record = house.finished(&flaky).await;
    assert_eq!((record.state, record.result, record.attempts.len()), (State::Done, Some(json!(3)), 3));
    let record = house.finished(&hopeless).await;
    assert_eq!((record.state, record.attempts.len()), (State::Dead, 3));
    let record = house.finished(&panics).await;
    let last = record.attempts.last().unwrap().error.as_deref();
    assert_eq!((record.state, last), (State::Dead, Some("panicked: boom 3")));
    let record = house.finished(&bury).await;
    assert_eq!((record.state, record.attempts.len()), (State::Dead, 1));
    let record = house.finished(&progress).await;
    assert_eq!(record.progress.map(|p| (p.percent, p.message)), Some((100, "all".to_owned())));
    assert_eq!(house.finished(&patient).await.result, Some(json!(5)));
    assert_eq!(house.finished(&malformed).await.state, State::Dead);

    house.shutdown.cancel();
    let report = worker.await.unwrap();
    assert_eq!((report.released, report.abandoned), (0, 0));
    let counts = house.broker.counts(QUEUE).await.unwrap();
    assert_eq!((counts.completed_total, counts.failed_total), (4, 4));
    assert_eq!((counts.retried_total, counts.stale_acks_total), (2 + 2 + 2 + 4, 0));
}

async fn every_job_of_a_batch_is_done_by_two_workers_once(house: House) {
    let ids = house.producer.enqueue_all(&vec![Task::Finish; 300]).await.unwrap();
    let workers = [house.start(house.worker()), house.start(house.worker())];
    house.begun(300).await;
    house.shutdown.cancel();
    let mut settled = 0;
    for worker in workers {
        settled += worker.await.unwrap().settled;
    }
    assert_eq!((settled, house.runner.runs.load(Ordering::SeqCst)), (300, 300));
    for id in ids {
        assert_eq!(house.finished(&id).await.deliveries, 1);
    }
}

async fn a_run_that_takes_too_long_fails(house: House) {
    let limit = EnqueueOptions::new().timeout(Duration::from_millis(20)).max_attempts(2);
    let id = house.producer.enqueue_with(&Task::Hang, limit).await.unwrap();
    let worker = house.start(house.worker());
    let record = house.finished(&id).await;
    assert_eq!((record.state, record.attempts.len()), (State::Dead, 2));
    assert_eq!(record.attempts[0].error.as_deref(), Some("timed out after 20ms"));
    house.shutdown.cancel();
    worker.await.unwrap();
}

async fn a_run_whose_time_is_up_may_tidy_up(house: House) {
    let limit = EnqueueOptions::new().timeout(Duration::from_millis(20)).max_attempts(1);
    let id = house.producer.enqueue_with(&Task::TidyUp, limit).await.unwrap();
    let worker = house.start(house.worker());
    house.begun(2).await;
    let record = house.finished(&id).await;
    assert_eq!(record.attempts[0].error.as_deref(), Some("timed out after 20ms"));
    house.shutdown.cancel();
    worker.await.unwrap();
}

async fn a_running_job_can_be_cancelled(house: House) {
    let obeys = house.producer.enqueue(&Task::WaitForCancel).await.unwrap();
    let hangs = house.producer.enqueue(&Task::Hang).await.unwrap();
    let worker = house.start(house.worker().patience(Duration::from_millis(10)));
    house.begun(2).await;
    for id in [&obeys, &hangs] {
        assert_eq!(house.broker.cancel(QUEUE, id).await.unwrap(), Change::Requested);
        assert_eq!(house.finished(id).await.state, State::Cancelled);
    }
    house.shutdown.cancel();
    worker.await.unwrap();
}

async fn concurrency_changes_while_jobs_run(house: House) {
    let ids = house.producer.enqueue_all(&vec![Task::WaitForCancel; 6]).await.unwrap();
    let leased = async || house.broker.counts(QUEUE).await.unwrap().leased;
    let concurrency = Concurrency::new(1);
    let worker = house.start(house.worker_with(options().adjustable(concurrency.clone())));
    house.begun(1).await;
    assert_eq!(leased().await, 1);

    concurrency.set(4);
    house.begun(3).await;
    assert_eq!(leased().await, 4);

    // Runs above the limit continue, and none starts in place of the first that ends.
    concurrency.set(3);
    let mut running = Vec::new();
    for id in &ids {
        if house.broker.job(QUEUE, id).await.unwrap().expect("kept").state == State::Leased {
            running.push(id);
        }
    }
    for (id, left) in running.iter().zip([3, 3]) {
        house.broker.cancel(QUEUE, id).await.unwrap();
        house.finished(id).await;
        // After the second, another one may start.
        if *id == running[1] {
            house.begun(1).await;
        }
        assert_eq!(leased().await, left);
    }
    assert_eq!(house.runner.runs.load(Ordering::SeqCst), 5);
    concurrency.set(0);
    assert_eq!(concurrency.get(), 1);

    for id in &ids {
        house.broker.cancel(QUEUE, id).await.unwrap();
        house.finished(id).await;
    }
    house.shutdown.cancel();
    worker.await.unwrap();
}

async fn shutdown_waits_for_running_jobs(house: House) {
    let id = house.producer.enqueue(&Task::Compute(100)).await.unwrap();
    let worker = house.start(house.worker());
    house.begun(1).await;
    house.shutdown.cancel();
    assert_eq!(worker.await.unwrap(), ShutdownReport { settled: 1, released: 0, abandoned: 0 });
    assert_eq!(house.finished(&id).await.state, State::Done);
    assert!(house.broker.workers().await.unwrap().is_empty());
}

async fn the_end_of_grace_releases_without_burning_an_attempt(house: House) {
    let obeys = house.producer.enqueue(&Task::WaitForCancel).await.unwrap();
    let hangs = house.producer.enqueue(&Task::Hang).await.unwrap();
    let short = house.worker().grace(Duration::ZERO).patience(Duration::from_millis(10));
    let worker = house.start(short);
    house.begun(2).await;
    house.shutdown.cancel();
    let report = worker.await.unwrap();
    assert_eq!((report.settled, report.released, report.abandoned), (0, 2, 0));
    for id in [&obeys, &hangs] {
        let record = house.until(id, |_| true).await;
        assert_eq!((record.state, record.failures), (State::Ready, 0));
        assert!(record.attempts.is_empty());
    }
}

async fn a_crash_leaves_its_jobs_to_others(house: House) {
    let id = house.producer.enqueue(&Task::Hang).await.unwrap();
    let crashed = house.start(house.worker());
    house.begun(1).await;
    crashed.abort();
    assert!(crashed.await.unwrap_err().is_cancelled());
    let second = house.start(house.worker().grace(Duration::ZERO));
    house.begun(1).await;
    let record = house.until(&id, |record| record.deliveries == 2).await;
    assert!(record.attempts[0].error.as_deref().unwrap().contains("lease expired"));
    house.shutdown.cancel();
    assert_eq!(second.await.unwrap().released, 1);
}

async fn unknown_kinds_go_back_with_a_note(house: House) {
    let raw = json!({});
    let id = house.producer.enqueue_raw(QUEUE, "future", &raw, EnqueueOptions::new());
    let id = id.await.unwrap();
    let worker = house.start(house.worker());
    let record = house.until(&id, |record| record.state == State::Delayed).await;
    assert_eq!(record.note.as_deref(), Some("no handler for kind future"));
    assert_eq!(record.failures, 0);
    house.shutdown.cancel();
    worker.await.unwrap();
}

#[derive(Serialize, Deserialize)]
struct OldMail {
    to: String,
}

impl Job for OldMail {
    const KIND: &'static str = "mail";
    const QUEUE: &'static str = QUEUE;
}

#[derive(Serialize, Deserialize)]
struct NewMail {
    to: Vec<String>,
}

impl Job for NewMail {
    const KIND: &'static str = "mail";
    const QUEUE: &'static str = QUEUE;
    const VERSION: u32 = 2;

    fn upcast(_: u32, payload: serde_json::Value) -> Result<serde_json::Value, UpcastError> {
        Ok(json!({ "to": [payload["to"]] }))
    }
}

/// A rolling deployment. The old worker leaves jobs that it can't read to the new one, without
/// using up attempts. The new worker reads the jobs of both versions.
async fn releases_run_side_by_side(house: House) {
    let old = house.producer.enqueue(&OldMail { to: "ada".into() }).await.unwrap();
    let new = house.producer.enqueue(&NewMail { to: vec!["ada".into()] }).await.unwrap();
    let begun = house.runner.begun.clone();
    let worker =
        || Worker::builder(house.broker.clone()).queue(QUEUE, options()).unknown_delay(Duration::from_millis(20));
    let gate = Arc::new(Semaphore::new(0));
    // The old worker takes the old job and holds it until both workers could have taken it.
    let hold = (begun.clone(), gate.clone());
    let old_worker = worker().data(hold).handler(
        async |mail: OldMail, Data((begun, gate)): Data<(Arc<Semaphore>, Arc<Semaphore>)>| {
            begun.add_permits(1);
            gate.acquire().await.map(SemaphorePermit::forget).or_retry()?;
            Ok::<_, Failure>(format!("old {}", mail.to))
        },
    );
    let old_worker = house.start(old_worker);
    house.begun(1).await;
    let record = house.until(&new, |record| record.state == State::Delayed).await;
    assert_eq!(record.note.as_deref(), Some("payload version 2 is newer than 1"));
    let new_worker = worker().handler(async |mail: NewMail| Ok::<_, Failure>(format!("new {}", mail.to.join(","))));
    let new_worker = house.start(new_worker);
    let record = house.finished(&new).await;
    assert_eq!((record.result, record.failures), (Some(json!("new ada")), 0));
    gate.add_permits(1);
    assert_eq!(house.finished(&old).await.result, Some(json!("old ada")));
    house.shutdown.cancel();
    old_worker.await.unwrap();
    new_worker.await.unwrap();
}

async fn a_live_worker_is_announced(house: House) {
    house.producer.enqueue(&Task::Hang).await.unwrap();
    let worker = house.start(house.worker().grace(Duration::ZERO));
    loop {
        let workers = house.broker.workers().await.unwrap();
        if workers.iter().any(|worker| worker.queues == [QUEUE] && worker.running == 1) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    house.shutdown.cancel();
    worker.await.unwrap();
}

/// One runtime thread, and handlers that each block it for longer than a lease. The leases concern
/// the running handler, those that wait for the thread, and those whose end is not settled yet.
/// Only a heartbeat on its own thread, for every lease from fetch to settlement, keeps the jobs
/// from a second worker.
#[cfg(feature = "sqlite")]
#[test]
fn handlers_that_compute_keep_their_leases() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let house = runtime.block_on(House::sqlite());
    let rival = house.worker();
    let rival = rival.build().unwrap();
    let rival_stop = CancellationToken::new();
    let stop = rival_stop.clone();
    let ids = runtime.block_on(house.producer.enqueue_all(&vec![Task::Compute(2_500); 3])).unwrap();
    runtime.block_on(async {
        let worker = house.start(house.worker());
        house.begun(1).await;
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(rival.run(stop)).unwrap()
        });
        for id in &ids {
            let record = house.finished(id).await;
            assert_eq!((record.state, record.deliveries), (State::Done, 1));
        }
        house.shutdown.cancel();
        rival_stop.cancel();
        let report = worker.await.unwrap();
        assert_eq!((report.settled, report.abandoned), (3, 0));
        thread.join().unwrap();
    });
    assert_eq!(house.runner.runs.load(Ordering::SeqCst), 3);
}

/// The same on Redis, where every connection but that of the heartbeats is on the blocked thread.
#[cfg(feature = "redis")]
#[test]
fn handlers_that_compute_keep_their_leases_on_redis() {
    let single = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let servers = single();
    let server = servers.block_on(tidegate_testkit::redis::RedisServer::start());
    let url = server.url();
    let broker = async move || support::redis::broker(&url, "test", tidegate_queue::RedisOptions::new()).await;
    let runtime = single();
    let house = House::over(Arc::new(runtime.block_on(broker())), None);
    // The code that enqueues and observes has its own thread: a blocked one reads no reply in time.
    let bystander = House::over(Arc::new(servers.block_on(broker())), None);
    let stop = house.shutdown.clone();
    let runner = house.runner.clone();
    let rival = std::thread::spawn(move || {
        single().block_on(async {
            let rival = House { runner, ..House::over(Arc::new(broker().await), None) };
            let worker = rival.start(rival.worker_with(options().concurrency(1)));
            stop.cancelled().await;
            rival.shutdown.cancel();
            worker.await.unwrap()
        })
    });
    // Enqueued first, so that one exchange leases them: a blocked thread reads later leases late.
    let ids = servers.block_on(bystander.producer.enqueue_all(&vec![Task::Compute(2_500); 3])).unwrap();
    let inside = runtime.enter();
    let worker = house.start(house.worker());
    drop(inside);
    for id in ids {
        let record = servers.block_on(bystander.finished(&id));
        assert_eq!((record.state, record.deliveries), (State::Done, 1), "{record:?}");
    }
    house.shutdown.cancel();
    assert_eq!(runtime.block_on(worker).unwrap().abandoned, 0);
    rival.join().unwrap();
    assert_eq!(house.runner.runs.load(Ordering::SeqCst), 3);
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Observer for Heard {
    fn on(&self, event: &Event<'_>) {
        let line = match event {
            Event::Started { kind, .. } => format!("started {kind}"),
            Event::Finished { outcome, .. } => format!("finished {}", outcome.as_str()),
            Event::Retried { error, .. } => format!("retried {error}"),
            Event::Buried { error, .. } => format!("buried {error}"),
            other => format!("{other:?}"),
        };
        self.0.lock().unwrap().push(line);
    }
}

#[tokio::test]
async fn events_tell_the_story() {
    let house = House::memory();
    let heard = Arc::new(Heard::default());
    let twice = EnqueueOptions::new().max_attempts(2);
    let id = house.producer.enqueue_with(&Task::FailUntil(9), twice).await.unwrap();
    let worker = house.start(house.worker().observer(heard.clone()));
    house.finished(&id).await;
    house.shutdown.cancel();
    worker.await.unwrap();
    let story = heard.0.lock().unwrap().clone();
    let expected =
        ["started task", "retried not yet", "finished retried", "started task", "buried not yet", "finished buried"];
    assert_eq!(story, expected);
}

/// An observer that panics at each event.
struct Brittle;

impl Observer for Brittle {
    fn on(&self, event: &Event<'_>) {
        panic!("an observer that panics at {event:?}");
    }
}

#[tokio::test]
async fn a_job_that_expired_is_told_of_and_no_run() {
    let house = House::memory();
    let heard = Arc::new(Heard::default());
    let late = EnqueueOptions::new().not_after(Timestamp::from_unix_ms(1));
    let id = house.producer.enqueue_with(&Task::Finish, late).await.unwrap();
    let worker = house.start(house.worker().observer(heard.clone()));
    house.finished(&id).await;
    house.shutdown.cancel();
    worker.await.unwrap();
    let story = heard.0.lock().unwrap().clone();
    assert!(story.len() == 1 && story[0].starts_with("Expired"), "{story:?}");
}

#[tokio::test]
async fn a_raw_job_has_the_version_it_is_given() {
    let house = House::memory();
    let version = async |options| {
        let id = house.producer.enqueue_raw(QUEUE, "task", &json!(1), options).await.unwrap();
        house.until(&id, |_| true).await.version
    };
    assert_eq!(version(EnqueueOptions::new()).await, 1);
    assert_eq!(version(EnqueueOptions::new().version(3)).await, 3);
}

#[tokio::test]
async fn a_producer_outlives_an_observer_that_panics() {
    let house = House::memory();
    let producer = house.producer.clone().with_observer(Arc::new(Brittle));
    let id = producer.enqueue(&Task::Finish).await.unwrap();
    assert_eq!(house.until(&id, |_| true).await.state, State::Ready);
}

#[tokio::test]
async fn an_observer_that_panics_stops_nothing() {
    let house = House::memory();
    let ids = house.producer.enqueue_all(&[Task::FailUntil(2), Task::Bury]).await.unwrap();
    let worker = house.start(house.worker().observer(Arc::new(Brittle)));
    for id in &ids {
        house.finished(id).await;
    }
    house.shutdown.cancel();
    assert_eq!(worker.await.unwrap(), ShutdownReport { settled: 3, released: 0, abandoned: 0 });
}

#[test]
fn a_worker_is_checked_before_it_starts() {
    let house = House::memory();
    let build = |worker: WorkerBuilder| worker.build().err();
    let bare = || Worker::builder(house.broker.clone());
    assert_eq!(build(bare()), Some(BuildError::NoQueue));
    assert_eq!(build(bare().queue(QUEUE, options())), Some(BuildError::NoHandler));
    assert!(matches!(build(bare().queue("a b", options())), Some(BuildError::QueueName { .. })));
    let twice = house.worker().queue(QUEUE, options());
    assert_eq!(build(twice), Some(BuildError::DuplicateQueue(QUEUE.to_owned())));
    let twice = house.worker().handler::<Task, _>(house.runner.clone());
    assert_eq!(build(twice), Some(BuildError::DuplicateKind("task")));
    let short = house.worker().lease(Duration::from_millis(99));
    assert_eq!(build(short), Some(BuildError::LeaseTooShort));
}

#[test]
fn a_handler_whose_queue_is_not_served_is_refused() {
    let house = House::memory();
    let other = || Worker::builder(house.broker.clone()).queue("other", options());
    let refused = other().handler::<Task, _>(house.runner.clone()).build().err().unwrap();
    assert_eq!(refused, BuildError::QueueNotServed { kind: "task", queue: QUEUE });
    assert!(refused.to_string().contains("\"task\" takes jobs of queue \"work\""), "{refused}");
    let any_queue = HandlerOptions::new().any_queue();
    assert!(other().handler_with::<Task, _>(house.runner.clone(), any_queue).build().is_ok());
    assert!(other().queue(QUEUE, options()).handler::<Task, _>(house.runner.clone()).build().is_ok());
}
