//! Handlers as users write them: functions, extractors, error classes, layers, policies.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it is surprised")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidegate_queue::testing::TestQueue;
use tidegate_queue::{
    AttemptNumber, Backoff, BoxError, Broker, BuildError, Checkpoint, CheckpointError, Classify, Context, Data, Ending,
    EnqueueOptions, ErrorClass, Event, Failure, FailureCause, FromContext, Handler, HandlerOptions, Job, JobError,
    JobId, MissingData, Observer, Outcome, ProgressReporter, Provided, QueueOptions, RetryPolicy, State, Worker,
    WorkerBuilder,
};
use tokio_util::sync::CancellationToken;

const QUEUE: &str = "work";

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
struct Step(u32);

impl Job for Step {
    const KIND: &'static str = "step";
    const QUEUE: &'static str = QUEUE;
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
struct Other;

impl Job for Other {
    const KIND: &'static str = "other";
    const QUEUE: &'static str = QUEUE;
}

fn worker(broker: Arc<dyn Broker>) -> WorkerBuilder {
    Worker::builder(broker).queue(QUEUE, QueueOptions::new().retry(fixed(3, 1)))
}

fn fixed(attempts: u32, seconds: u64) -> RetryPolicy {
    RetryPolicy::new(attempts, Backoff::Fixed(Duration::from_secs(seconds))).unwrap()
}

/// A queue that one handler serves.
macro_rules! served {
    ($handler:expr) => {
        TestQueue::new(|broker| worker(broker).handler($handler))
    };
}

mod arguments {
    use super::*;

    /// The job's number, read from its payload: an extractor that can fail.
    #[derive(Debug, PartialEq)]
    struct Even(u32);

    #[derive(Debug, thiserror::Error)]
    #[error("{0} is odd")]
    struct Odd(u32);

    impl JobError for Odd {
        fn class(&self) -> ErrorClass {
            ErrorClass::Discard
        }
    }

    impl FromContext for Even {
        type Error = Odd;

        async fn from_context(context: &Context) -> Result<Self, Odd> {
            tokio::task::yield_now().await;
            let number: u32 = serde_json::from_str(&context.job().payload).unwrap();
            if number.is_multiple_of(2) { Ok(Self(number)) } else { Err(Odd(number)) }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "as many as there may be")]
    async fn all(
        job: Step,
        stop: CancellationToken,
        Data(name): Data<&'static str>,
        id: JobId,
        none: Option<Data<u64>>,
        AttemptNumber(attempt): AttemptNumber,
        context: Context,
        even: Result<Even, Odd>,
        progress: ProgressReporter,
    ) -> Outcome {
        progress.report(50, "half").await.unwrap();
        assert_eq!(context.id(), &id);
        assert_eq!((context.kind(), context.queue(), context.delivery()), ("step", QUEUE, 1));
        let even = even.map_err(|odd| odd.to_string());
        Outcome::done(json!([job.0, stop.is_cancelled(), name, none.is_none(), attempt, even.is_err()]))
    }

    #[tokio::test]
    async fn come_in_any_order() {
        let queue = TestQueue::new(|broker| worker(broker).data("shared").handler(all));
        let id = queue.enqueue(&Step(7)).await;
        queue.drain().await;
        let record = queue.assert_done(&id);
        assert_eq!(record.result, Some(json!([7, false, "shared", true, 1, true])));
        assert_eq!(record.progress.unwrap().percent, 50);
    }

    #[tokio::test]
    async fn refused_end_the_run_by_the_class_of_their_error() {
        async fn even(_: Step, Even(number): Even) -> Result<u32, Failure> {
            Ok(number)
        }
        let queue = served!(even);
        assert_eq!(queue.perform(&Step(2)).await, Outcome::done(2));
        assert_eq!(queue.perform(&Step(3)).await, Outcome::discard("3 is odd"));
    }

    /// Reads data without an extractor. `SAYS` decides whether `check` reports it.
    struct ByHand<const SAYS: bool>;

    impl<const SAYS: bool> FromContext for ByHand<SAYS> {
        type Error = MissingData;

        async fn from_context(context: &Context) -> Result<Self, MissingData> {
            context.data::<u64>().map(|_| Self)
        }

        fn check(provided: &Provided) -> Result<(), MissingData> {
            if SAYS { provided.get::<u64>().map(drop) } else { Ok(()) }
        }
    }

    #[test]
    fn missing_are_found_before_the_worker_starts() {
        async fn direct(_: Step, _: JobId, _: Data<u64>) {}
        async fn by_hand(_: Step, _: ByHand<true>) {}
        async fn nested(_: Step, _: Result<ByHand<true>, MissingData>) {}
        let broker = || -> Arc<dyn Broker> { Arc::new(tidegate_queue::MemoryBroker::new()) };
        let missing = Some(BuildError::MissingData { kind: "step", type_name: "u64" });
        assert_eq!(worker(broker()).handler(direct).build().err(), missing);
        assert_eq!(worker(broker()).handler(by_hand).build().err(), missing);
        assert_eq!(worker(broker()).handler(nested).build().err(), missing);
        assert_eq!(worker(broker()).handler(direct).data(1_u64).build().err(), None);
        let twice = worker(broker()).data(1_u64).data(2_u64).build().err();
        assert_eq!(twice, Some(BuildError::DuplicateData("u64")));
        let twice = worker(broker()).data(1_u64).handler(direct).handler(by_hand).build().err();
        assert_eq!(twice, Some(BuildError::DuplicateKind("step")));
    }

    #[tokio::test]
    async fn missing_that_nobody_announced_put_the_job_off() {
        async fn by_hand(_: Step, _: ByHand<false>) {}
        let queue = served!(by_hand);
        let id = queue.enqueue(&Step(1)).await;
        queue.drain().await;
        let record = queue.assert_state(&id, State::Delayed);
        assert_eq!((record.failures, record.note.as_deref()), (0, Some("the worker was given no data of type u64")));
    }
}

mod handlers {
    use super::*;

    struct Object(u32);

    #[async_trait]
    impl Handler<Step> for Object {
        async fn run(&self, job: Step, _: &Context) -> Outcome {
            Outcome::done(job.0 + self.0)
        }
    }

    #[tokio::test]
    async fn are_functions_closures_and_objects() {
        async fn function(job: Step) -> Result<u32, Failure> {
            Ok(job.0 + 1)
        }
        assert_eq!(served!(function).perform(&Step(1)).await, Outcome::done(2));
        let added = Arc::new(2);
        let closure = move |job: Step| {
            let added = added.clone();
            async move { Ok::<_, Failure>(job.0 + *added) }
        };
        assert_eq!(served!(closure).perform(&Step(1)).await, Outcome::done(3));
        assert_eq!(served!(Object(3)).perform(&Step(1)).await, Outcome::done(4));
        let named = TestQueue::new(|broker| worker(broker).handler::<Step, _>(Object(4)));
        assert_eq!(named.perform(&Step(1)).await, Outcome::done(5));
        async fn unit(_: Step) {}
        assert_eq!(served!(unit).perform(&Step(1)).await, Outcome::Done(Value::Null));
    }

    #[derive(Serialize, Deserialize)]
    struct Old {
        to: String,
    }

    impl Job for Old {
        const KIND: &'static str = "mail";
        const QUEUE: &'static str = QUEUE;
    }

    #[derive(Serialize, Deserialize)]
    struct Newest {
        to: Vec<String>,
        cc: Vec<String>,
    }

    impl Job for Newest {
        const KIND: &'static str = "mail";
        const QUEUE: &'static str = QUEUE;
        const VERSION: u32 = 3;
    }

    #[derive(Serialize, Deserialize)]
    struct Current {
        to: Vec<String>,
    }

    impl Job for Current {
        const KIND: &'static str = "mail";
        const QUEUE: &'static str = QUEUE;
        const VERSION: u32 = 2;

        fn upcast(_: u32, payload: Value) -> Result<Value, tidegate_queue::UpcastError> {
            Ok(json!({ "to": [payload["to"]] }))
        }
    }

    /// A rolling deployment; the worker has the middle version.
    #[tokio::test]
    async fn read_older_payloads_and_leave_newer_ones_to_others_through_layers_too() {
        async fn mail(job: Current) -> Result<Vec<String>, Failure> {
            Ok(job.to)
        }
        let bare = TestQueue::new(|broker| worker(broker).handler(mail));
        let layered = TestQueue::new(|broker| {
            let limit = tower::limit::ConcurrencyLimitLayer::new(1);
            let timeout = tower::timeout::TimeoutLayer::new(Duration::from_secs(5));
            worker(broker).layer(limit).layer(timeout).handler(mail)
        });
        for queue in [bare, layered] {
            let old = queue.enqueue(&Old { to: "ada".into() }).await;
            let current = queue.enqueue(&Current { to: vec!["ada".into()] }).await;
            let newest = queue.enqueue(&Newest { to: vec![], cc: vec![] }).await;
            let unknown = queue.enqueue(&Other).await;
            queue.drain().await;
            assert_eq!(queue.assert_done(&old).result, Some(json!(["ada"])));
            assert_eq!(queue.assert_done(&current).result, Some(json!(["ada"])));
            let record = queue.assert_state(&newest, State::Delayed);
            assert_eq!((record.failures, record.note.as_deref()), (0, Some("payload version 3 is newer than 2")));
            let record = queue.assert_state(&unknown, State::Delayed);
            assert_eq!((record.failures, record.note.as_deref()), (0, Some("no handler for kind other")));
        }
    }
}

mod errors {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Fault {
        #[error("try again")]
        Again(#[source] std::io::Error),
        #[error("try in a minute")]
        Later,
        #[error("not now")]
        NotNow,
        #[error("nobody wants it")]
        Pointless,
        #[error("hopeless")]
        Hopeless,
    }

    impl JobError for Fault {
        fn class(&self) -> ErrorClass {
            match self {
                Self::Again(_) => ErrorClass::Retry,
                Self::Later => ErrorClass::RetryAfter(Duration::from_secs(60)),
                Self::NotNow => ErrorClass::Snooze(Duration::from_secs(30)),
                Self::Pointless => ErrorClass::Discard,
                Self::Hopeless => ErrorClass::Bury,
            }
        }
    }

    #[tokio::test]
    async fn become_states_by_their_class() {
        async fn fail(job: Step) -> Result<(), Fault> {
            Err(match job.0 {
                0 => Fault::Again(std::io::Error::other("disk on fire")),
                1 => Fault::Later,
                2 => Fault::NotNow,
                3 => Fault::Pointless,
                _ => Fault::Hopeless,
            })
        }
        let queue = served!(fail);
        let mut ids = Vec::new();
        for number in 0..5 {
            ids.push(queue.enqueue(&Step(number)).await);
        }
        let start = queue.job(&ids[0]).created_at;
        let ran = queue.drain().await;
        let endings: Vec<_> = ran.iter().map(|ran| ran.ending).collect();
        use Ending::{Buried, Discarded, Retried, Snoozed};
        assert_eq!(endings, [Retried, Retried, Snoozed, Discarded, Buried]);

        let again = queue.assert_retried(&ids[0], 1);
        assert_eq!(again.run_at, start.after(Duration::from_secs(1)));
        assert_eq!(again.attempts[0].error.as_deref(), Some("try again: disk on fire"));
        assert_eq!(queue.assert_retried(&ids[1], 1).run_at, start.after(Duration::from_secs(60)));
        let snoozed = queue.assert_state(&ids[2], State::Delayed);
        assert_eq!((snoozed.failures, snoozed.note.as_deref()), (0, Some("not now")));
        assert_eq!(snoozed.run_at, start.after(Duration::from_secs(30)));
        assert_eq!(queue.assert_state(&ids[3], State::Cancelled).note.as_deref(), Some("nobody wants it"));
        queue.assert_dead(&ids[4], "hopeless");

        // An error's own delay does not add attempts.
        queue.drain_through(Duration::from_secs(120)).await;
        queue.assert_dead(&ids[1], "try in a minute");
    }

    #[tokio::test]
    async fn of_any_type_are_classed_on_the_spot() {
        fn parse(text: &str) -> Result<u32, std::num::ParseIntError> {
            text.parse()
        }
        async fn any(job: Step) -> Result<u32, Failure> {
            match job.0 {
                0 => Ok(parse("x")?),
                1 => Ok(parse("x").or_bury()?),
                2 => Ok(parse("x").or_snooze(Duration::from_secs(1))?),
                3 => Ok(parse("x").or_retry_after(Duration::from_secs(1))?),
                4 => Ok(parse("x").or_discard()?),
                number => Ok(number),
            }
        }
        let text = "invalid digit found in string";
        let second = Duration::from_secs(1);
        let queue = served!(any);
        let expected = [
            Outcome::retry(text),
            Outcome::bury(text),
            Outcome::Snooze { delay: second, note: Some(text.to_owned()) },
            Outcome::retry_after(second, text),
            Outcome::discard(text),
            Outcome::done(5),
        ];
        for (number, outcome) in (0..).zip(expected) {
            assert_eq!(queue.perform(&Step(number)).await, outcome);
        }
    }

    /// `?` on errors of other crates, none of which implements `JobError`.
    #[tokio::test]
    async fn of_other_crates_are_retried() {
        async fn fail(job: Step) -> Result<(), Failure> {
            match job.0 {
                0 => Err(sqlx::Error::PoolTimedOut)?,
                1 => Err(anyhow::anyhow!("the server is down").context("can't load"))?,
                _ => drop(tidegate_testkit::http_client().build()?.get("no address").build()?),
            }
            Ok(())
        }
        let queue = served!(fail);
        let mut ids = Vec::new();
        for number in 0..3 {
            ids.push(queue.enqueue(&Step(number)).await);
        }
        queue.drain().await;
        let errors = ids.iter().map(|id| queue.assert_retried(id, 1).attempts[0].error.clone().unwrap());
        let errors: Vec<_> = errors.collect();
        assert_eq!(errors[0], sqlx::Error::PoolTimedOut.to_string());
        assert_eq!(errors[1], "can't load: the server is down");
        assert!(errors[2].starts_with("builder error"), "{}", errors[2]);
    }

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Observer for Heard {
        fn on(&self, event: &Event<'_>) {
            let name = match event {
                Event::Unknown { kind, .. } => format!("unknown {kind}"),
                Event::Finished { outcome, .. } => outcome.as_str().to_owned(),
                _ => return,
            };
            self.0.lock().unwrap().push(name);
        }
    }

    /// Regression test: a note used to mark a job of an unknown kind.
    #[tokio::test]
    async fn a_snooze_with_a_note_is_not_an_unknown_kind() {
        async fn snooze(_: Step) -> Result<(), Failure> {
            Err("busy").or_snooze(Duration::from_secs(1))
        }
        let heard = Arc::new(Heard::default());
        let queue = TestQueue::new(|broker| worker(broker).observer(heard.clone()).handler(snooze));
        queue.enqueue(&Step(0)).await;
        queue.enqueue(&Other).await;
        queue.drain().await;
        assert_eq!(*heard.0.lock().unwrap(), ["snoozed", "unknown other", "snoozed"]);
    }
}

mod layers {
    use super::*;
    use std::task::Poll;
    use tidegate_queue::HandlerService;
    use tower::{Layer, Service};
    use tracing::Instrument;

    /// Records requests and responses.
    #[derive(Clone)]
    struct Note<S> {
        name: &'static str,
        story: Arc<Mutex<Vec<String>>>,
        inner: S,
    }

    impl<S: Service<Context, Response = Outcome>> Service<Context> for Note<S> {
        type Response = Outcome;
        type Error = S::Error;
        type Future = S::Future;

        fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Result<(), S::Error>> {
            self.inner.poll_ready(cx)
        }

        fn call(&mut self, context: Context) -> S::Future {
            self.story.lock().unwrap().push(format!("{} {}", self.name, context.kind()));
            self.inner.call(context)
        }
    }

    #[tokio::test]
    async fn are_around_all_handlers_the_first_outermost() {
        let story = Arc::new(Mutex::new(Vec::new()));
        let note = |name| {
            let story = story.clone();
            tower::layer::layer_fn(move |inner: HandlerService| Note { name, story: story.clone(), inner })
        };
        let queue = TestQueue::new(|broker| {
            let worker = worker(broker).handler(async |_: Step| ()).layer(note("outer"));
            worker.layer(note("inner")).handler(async |_: Other| ())
        });
        assert_eq!(queue.perform(&Step(1)).await, Outcome::Done(Value::Null));
        assert_eq!(queue.perform(&Other).await, Outcome::Done(Value::Null));
        assert_eq!(*story.lock().unwrap(), ["outer step", "inner step", "outer other", "inner other"]);
    }

    #[tokio::test(start_paused = true)]
    async fn that_time_out_make_the_job_run_again() {
        let queue = TestQueue::new(|broker| {
            let limit = tower::timeout::TimeoutLayer::new(Duration::from_secs(5));
            worker(broker).layer(limit).handler(async |_: Step| std::future::pending::<()>().await)
        });
        let id = queue.enqueue(&Step(1)).await;
        queue.drain().await;
        let record = queue.assert_retried(&id, 1);
        assert_eq!(record.attempts[0].error.as_deref(), Some("request timed out"));
    }

    /// An error of a layer may have a class like one of a handler.
    #[tokio::test]
    async fn may_refuse_for_good() {
        let refuse = tower::layer::layer_fn(|_: HandlerService| {
            tower::service_fn(async |_: Context| Err::<Outcome, BoxError>(Failure::bury("not allowed").into_error()))
        });
        let queue = TestQueue::new(|broker| worker(broker).layer(refuse).handler(async |_: Step| ()));
        assert_eq!(queue.perform(&Step(1)).await, Outcome::bury("not allowed"));
    }

    /// A panic of a layer, immediate or later, counts as a panic of the run.
    #[tokio::test]
    async fn that_panic_make_the_job_run_again() {
        async fn late(_: Context) -> Result<Outcome, BoxError> {
            tokio::task::yield_now().await;
            panic!("late")
        }
        let early = tower::layer::layer_fn(|_: HandlerService| {
            tower::service_fn(|_: Context| -> std::future::Ready<Result<Outcome, BoxError>> { panic!("early") })
        });
        let early = TestQueue::new(|broker| worker(broker).layer(early).handler(async |_: Step| ()));
        let late = tower::layer::layer_fn(|_: HandlerService| tower::service_fn(late));
        let late = TestQueue::new(|broker| worker(broker).layer(late).handler(async |_: Step| ()));
        for (queue, text) in [(early, "panicked: early"), (late, "panicked: late")] {
            let id = queue.enqueue(&Step(1)).await;
            queue.drain().await;
            assert_eq!(queue.assert_retried(&id, 1).attempts[0].error.as_deref(), Some(text));
        }
    }

    /// One limit for two kinds, while the worker has ten slots.
    #[tokio::test]
    async fn that_limit_do_so_over_all_kinds() {
        #[derive(Default)]
        struct Running {
            now: AtomicU32,
            most: AtomicU32,
        }
        async fn busy(running: &Running) {
            let now = running.now.fetch_add(1, Ordering::SeqCst) + 1;
            running.most.fetch_max(now, Ordering::SeqCst);
            for _ in 0..5 {
                tokio::task::yield_now().await;
            }
            running.now.fetch_sub(1, Ordering::SeqCst);
        }
        let running = Arc::new(Running::default());
        let broker: Arc<dyn Broker> = Arc::new(tidegate_queue::MemoryBroker::new());
        let producer = tidegate_queue::Producer::new(broker.clone());
        producer.enqueue_all(&vec![Step(1); 20]).await.unwrap();
        producer.enqueue_all(&vec![Other; 20]).await.unwrap();
        let stop = CancellationToken::new();
        let left = Arc::new(AtomicU32::new(40));
        let count = {
            let (stop, left) = (stop.clone(), left.clone());
            move || {
                if left.fetch_sub(1, Ordering::SeqCst) == 1 {
                    stop.cancel();
                }
            }
        };
        let worker = worker(broker)
            .data(running.clone())
            .data(Arc::new(count) as Arc<dyn Fn() + Send + Sync>)
            .layer(tower::limit::ConcurrencyLimitLayer::new(2))
            .handler(
                async |_: Step, Data(running): Data<Arc<Running>>, Data(end): Data<Arc<dyn Fn() + Send + Sync>>| {
                    busy(&running).await;
                    end();
                },
            )
            .handler(
                async |_: Other, Data(running): Data<Arc<Running>>, Data(end): Data<Arc<dyn Fn() + Send + Sync>>| {
                    busy(&running).await;
                    end();
                },
            );
        let report = worker.build().unwrap().run(stop).await.unwrap();
        assert_eq!((report.settled, running.most.load(Ordering::SeqCst)), (40, 2));
    }

    /// Runs a handler in a span.
    #[derive(Clone)]
    struct Spanned<S>(S);

    struct SpanLayer;

    impl<S> Layer<S> for SpanLayer {
        type Service = Spanned<S>;

        fn layer(&self, inner: S) -> Spanned<S> {
            Spanned(inner)
        }
    }

    impl<S: Service<Context>> Service<Context> for Spanned<S> {
        type Response = S::Response;
        type Error = S::Error;
        type Future = tracing::instrument::Instrumented<S::Future>;

        fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Result<(), S::Error>> {
            self.0.poll_ready(cx)
        }

        fn call(&mut self, context: Context) -> Self::Future {
            let span = tracing::info_span!("job", kind = context.kind(), id = %context.id());
            self.0.call(context).instrument(span)
        }
    }

    /// Records the number of spans around each event.
    #[derive(Clone, Default)]
    struct Spans {
        depth: Arc<AtomicU32>,
        heard: Arc<Mutex<Vec<u32>>>,
    }

    impl tracing::Subscriber for Spans {
        fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
            metadata.target().starts_with("handlers")
        }

        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }

        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

        fn event(&self, _: &tracing::Event<'_>) {
            self.heard.lock().unwrap().push(self.depth.load(Ordering::SeqCst));
        }

        fn enter(&self, _: &tracing::span::Id) {
            self.depth.fetch_add(1, Ordering::SeqCst);
        }

        fn exit(&self, _: &tracing::span::Id) {
            self.depth.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn may_put_runs_into_spans() {
        async fn tell(_: Step) {
            tracing::info!("within");
            tokio::task::yield_now().await;
            tracing::info!("still within");
        }
        let spans = Spans::default();
        let queue = TestQueue::new(|broker| worker(broker).layer(SpanLayer).handler(tell));
        queue.enqueue(&Step(1)).await;
        let _guard = tracing::subscriber::set_default(spans.clone());
        queue.drain().await;
        tracing::info!("outside");
        assert_eq!(*spans.heard.lock().unwrap(), [1, 1, 0]);
    }
}

mod policies {
    use super::*;

    async fn fail(job: Step) -> Result<(), String> {
        assert_ne!(job.0, 9, "nine");
        Err(format!("failed {}", job.0))
    }

    #[tokio::test]
    async fn of_a_job_go_before_those_of_its_handler_and_those_before_the_queues() {
        async fn other(_: Other) -> Result<(), String> {
            Err("failed".into())
        }
        let queue = TestQueue::new(|broker| {
            let own = HandlerOptions::new().retry(fixed(5, 10));
            worker(broker).handler_with(fail, own).handler(other)
        });
        let start = queue.clock();
        let start = tidegate_queue::Clock::now(start);
        let by_queue = queue.enqueue(&Other).await;
        let by_handler = queue.enqueue(&Step(1)).await;
        let by_job = queue.enqueue_with(&Step(1), EnqueueOptions::new().max_attempts(2)).await;
        queue.drain_to_the_end().await;
        let died = |id| {
            let record = queue.assert_dead(id, "failed");
            (record.attempts.len(), record.finished_at.unwrap().since(start).as_secs())
        };
        assert_eq!(died(&by_queue), (3, 2));
        assert_eq!(died(&by_handler), (5, 40));
        assert_eq!(died(&by_job), (2, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn of_ones_own_see_the_failure_and_may_end_the_job() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let policy = {
            let seen = seen.clone();
            Backoff::custom(move |failed| {
                let error = failed.error.lines().next().unwrap_or_default().to_owned();
                seen.lock().unwrap().push((failed.attempt, failed.cause, error));
                (failed.cause == FailureCause::Reported).then(|| Duration::from_secs(1) * failed.attempt)
            })
        };
        async fn task(job: Step) -> Result<(), String> {
            if job.0 == 0 { std::future::pending().await } else { fail(job).await }
        }
        let queue = TestQueue::new(|broker| {
            let options = QueueOptions::new().retry(RetryPolicy::new(4, policy).unwrap());
            let hour = HandlerOptions::new().timeout(Duration::from_secs(3600));
            Worker::builder(broker).queue(QUEUE, options).handler_with(task, hour)
        });
        let panics = queue.enqueue(&Step(9)).await;
        let hangs = queue.enqueue(&Step(0)).await;
        let fails = queue.enqueue(&Step(1)).await;
        queue.drain_to_the_end().await;
        assert_eq!(queue.assert_dead(&panics, "panicked: ").attempts.len(), 1);
        assert_eq!(queue.assert_dead(&hangs, "timed out after 3600s").attempts.len(), 1);
        let record = queue.assert_dead(&fails, "failed 1");
        assert_eq!(record.finished_at.unwrap().since(record.created_at), Duration::from_secs(1 + 2 + 3));
        let seen = seen.lock().unwrap();
        assert_eq!((seen[0].0, seen[0].1), (1, FailureCause::Panicked));
        assert_eq!(seen[1], (1, FailureCause::TimedOut, "timed out after 3600s".to_owned()));
        assert_eq!(seen[4], (3, FailureCause::Reported, "failed 1".to_owned()));
        assert_eq!(seen.len(), 5, "the last attempt is not asked about");
    }

    /// 20 attempts whose delay doubles from 2 s to a day: months, without real waiting.
    #[tokio::test]
    async fn over_months_are_tested_at_once() {
        let day = Duration::from_secs(24 * 3600);
        let patient = Backoff::Exponential { base: Duration::from_secs(2), cap: day, jitter: 0.5 };
        let patient = HandlerOptions::new().retry(RetryPolicy::new(200, patient).unwrap());
        let queue = TestQueue::new(|broker| worker(broker).handler_with(fail, patient));
        let id = queue.enqueue(&Step(1)).await;
        let ran = queue.drain_to_the_end().await;
        let record = queue.assert_dead(&id, "failed 1");
        assert_eq!(ran.len(), 200);
        assert!(record.finished_at.unwrap().since(record.created_at) > day * 90);
    }
}

mod state {
    use super::*;

    #[tokio::test]
    async fn checkpoints_and_logs_outlive_a_run() {
        async fn count(
            job: Step,
            mut checkpoint: Checkpoint<u32>,
            context: Context,
            progress: ProgressReporter,
        ) -> Result<u32, Failure> {
            let mut done = checkpoint.take().unwrap_or(0);
            while done < job.0 {
                done += 1;
                checkpoint.save(&done).await?;
                context.log(format!("step {done}")).await?;
                progress.advance(done.into(), job.0.into()).await?;
                if done == 3 && context.attempt() == 1 {
                    return Err(Failure::retry("interrupted"));
                }
            }
            Ok(done)
        }
        let queue = served!(count);
        let id = queue.enqueue(&Step(5)).await;
        queue.drain().await;
        assert_eq!(queue.assert_retried(&id, 1).progress.unwrap().message, "3 of 5");
        queue.drain_through(Duration::from_secs(1)).await;
        assert_eq!(queue.assert_done(&id).result, Some(json!(5)));
        let logs = queue.broker().logs(QUEUE, &id).await.unwrap();
        let lines: Vec<_> = logs.iter().map(|line| (line.delivery, line.text.as_str())).collect();
        assert_eq!(lines, [(1, "step 1"), (1, "step 2"), (1, "step 3"), (2, "step 4"), (2, "step 5")]);
    }

    #[tokio::test]
    async fn a_checkpoint_that_cannot_be_read_or_kept_buries() {
        async fn write(job: Step, checkpoint: Checkpoint<String>) -> Result<(), CheckpointError> {
            checkpoint.save(&"x".repeat(if job.0 == 0 { 3 } else { 100_000 })).await
        }
        let queue = served!(write);
        let Outcome::Bury { error } = queue.perform(&Step(1)).await else { panic!("too large") };
        assert!(error.starts_with("the checkpoint was not stored: "), "{error}");
        assert_eq!(queue.perform(&Step(0)).await, Outcome::Done(Value::Null));

        async fn changed(_: Step, context: Context, read: Result<Checkpoint<u32>, CheckpointError>) -> Outcome {
            match read {
                Err(error @ CheckpointError::Decode(_)) => Outcome::bury(error),
                Err(error) => Outcome::retry(error),
                Ok(_) => {
                    let text = Checkpoint::<String>::from_context(&context).await.unwrap();
                    text.save(&"seven".to_owned()).await.unwrap();
                    Outcome::retry("written")
                }
            }
        }
        let queue = served!(changed);
        let id = queue.enqueue(&Step(0)).await;
        queue.drain_to_the_end().await;
        queue.assert_dead(&id, "the stored checkpoint does not fit its type");
    }

    #[tokio::test]
    async fn progress_by_rows_is_written_by_percents() {
        async fn rows(job: Step, context: Context, progress: ProgressReporter) -> Result<(), Failure> {
            for row in 1..=job.0 {
                progress.advance(row.into(), job.0.into()).await?;
            }
            assert_eq!(context.attempt(), 1);
            Ok(())
        }
        let queue = served!(rows);
        let settings = tidegate_queue::QueueSettings { events: true, ..Default::default() };
        queue.broker().configure(QUEUE, settings).await.unwrap();
        let start = queue.broker().events(QUEUE, None, 0).await.unwrap().cursor;
        let id = queue.enqueue(&Step(10_000)).await;
        queue.drain().await;
        queue.assert_done(&id);
        let page = queue.broker().events(QUEUE, Some(start), 1_000).await.unwrap();
        assert_eq!(page.events.len(), 101 + 3);
    }
}

mod helpers {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn message(assert: impl FnOnce()) -> String {
        let panic = catch_unwind(AssertUnwindSafe(assert)).unwrap_err();
        panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
            .unwrap()
    }

    #[tokio::test]
    async fn run_what_jobs_enqueue_and_leave_what_is_delayed() {
        async fn next(job: Step, Data(producer): Data<tidegate_queue::Producer>) -> Result<(), Failure> {
            if job.0 > 0 {
                producer.enqueue(&Step(job.0 - 1)).await?;
            }
            let later = EnqueueOptions::new().delay(Duration::from_secs(60));
            producer.enqueue_with(&Other, later).await?;
            Ok(())
        }
        let queue = TestQueue::new(|broker| {
            let producer = tidegate_queue::Producer::new(broker.clone());
            worker(broker).data(producer).handler(next)
        });
        queue.enqueue(&Step(2)).await;
        queue.assert_enqueued_count::<Step>(1);
        let ran = queue.drain().await;
        assert_eq!(
            ran.iter().map(|ran| (ran.kind.as_str(), ran.ending)).collect::<Vec<_>>(),
            [("step", Ending::Done); 3]
        );
        queue.assert_enqueued_count::<Step>(0);
        queue.assert_enqueued_count::<Other>(3);
        assert_eq!(queue.assert_enqueued::<Other>(|_| true).state, State::Delayed);
        let before = tidegate_queue::Clock::now(queue.clock());
        let ran = queue.drain_through(Duration::from_secs(61)).await;
        assert_eq!(ran.len(), 3);
        assert_eq!(ran[0].at, before.after(Duration::from_secs(60)));
        assert_eq!(tidegate_queue::Clock::now(queue.clock()), before.after(Duration::from_secs(61)));
    }

    #[tokio::test]
    async fn perform_leaves_no_trace() {
        let queue = served!(async |job: Step, context: Context| {
            context.progress(10, "begun").await.map_err(Failure::retry)?;
            if job.0 == 0 { Err(Failure::retry("zero")) } else { Ok(job.0) }
        });
        assert_eq!(queue.perform(&Step(1)).await, Outcome::done(1));
        assert_eq!(queue.perform(&Step(0)).await, Outcome::retry("zero"));
        queue.assert_enqueued_count::<Step>(0);
        assert!(queue.drain().await.is_empty());
    }

    #[tokio::test]
    async fn explain_what_is_not_as_expected() {
        async fn fail(job: Step) -> Result<(), Failure> {
            Err(Failure::bury(format!("no {}", job.0)))
        }
        let queue = served!(fail);
        let none = message(|| drop(queue.assert_enqueued::<Step>(|_| true)));
        assert_eq!(none, r#"no job of kind "step" is enqueued; there is none"#);
        let id = queue.enqueue(&Step(7)).await;
        let expected = format!("no job of kind \"step\" is as expected; enqueued are:\n  {id}: step in work, ready: 7");
        assert_eq!(message(|| drop(queue.assert_enqueued::<Step>(|job| job.0 == 8))), expected);
        let expected = format!("no job of kind \"other\" is enqueued; enqueued are:\n  {id}: step in work, ready: 7");
        assert_eq!(message(|| drop(queue.assert_enqueued::<Other>(|_| true))), expected);
        let expected = format!(
            "expected 2 of kind \"step\" to be enqueued, found 1; enqueued are:\n  {id}: step in work, ready: 7"
        );
        assert_eq!(message(|| queue.assert_enqueued_count::<Step>(2)), expected);
        let expected = format!("expected nothing to be enqueued; enqueued are:\n  {id}: step in work, ready: 7");
        assert_eq!(message(|| queue.assert_nothing_enqueued()), expected);
        queue.drain().await;
        queue.assert_nothing_enqueued();
        let at = queue.job(&id).created_at;
        let story = format!("  step in work, enqueued {at}, due {at}\n  run 1 at {at}: no 7");
        assert_eq!(message(|| drop(queue.assert_done(&id))), format!("job {id} is dead, not done\n{story}"));
        let expected = format!("job {id} is dead, but not of \"yes\"\n{story}");
        assert_eq!(message(|| drop(queue.assert_dead(&id, "yes"))), expected);
        let expected = format!("job {id} should be about to run again after 1 failures, but is dead after 1\n{story}");
        assert_eq!(message(|| drop(queue.assert_retried(&id, 1))), expected);
        let stranger = JobId::new("stranger").unwrap();
        let expected = format!("there is no job stranger; there are:\n  {id}: step in work, dead: 7");
        assert_eq!(message(|| drop(queue.job(&stranger))), expected);
    }

    #[tokio::test]
    #[should_panic(expected = "more than 1000 runs, the last of kind step: endless?")]
    async fn end_what_would_go_on_for_ever() {
        let queue = served!(async |_: Step| Outcome::snooze(Duration::from_secs(1))).with_most_runs(1_000);
        queue.enqueue(&Step(1)).await;
        queue.drain_to_the_end().await;
    }

    #[tokio::test]
    async fn know_that_a_pause_is_not_ended_by_time() {
        let queue = served!(async |_: Step| ());
        let id = queue.enqueue_with(&Step(1), EnqueueOptions::new().delay(Duration::from_secs(5))).await;
        queue.broker().pause(QUEUE).await.unwrap();
        assert_eq!(queue.drain_to_the_end().await, []);
        queue.assert_state(&id, State::Ready);
        queue.broker().resume(QUEUE).await.unwrap();
        assert_eq!(queue.drain().await.len(), 1);
    }

    #[tokio::test]
    async fn know_that_a_rate_needs_time() {
        let queue = served!(async |_: Step| ());
        let rate = tidegate_queue::Rate::new(2, Duration::from_secs(2)).unwrap();
        let settings = tidegate_queue::QueueSettings { rate: Some(rate), ..Default::default() };
        queue.broker().configure(QUEUE, settings).await.unwrap();
        for number in 0..5 {
            queue.enqueue(&Step(number)).await;
        }
        assert_eq!(queue.drain().await.len(), 2);
        assert_eq!(queue.drain_through(Duration::from_secs(1)).await.len(), 1);
        assert_eq!(queue.drain_to_the_end().await.len(), 2);
    }
}
