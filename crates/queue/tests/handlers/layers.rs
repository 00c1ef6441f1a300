//! Tower layers around handlers.

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
async fn the_first_layer_is_the_outermost_of_all_handlers() {
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
async fn a_layer_that_times_out_retries_the_job() {
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
async fn a_layer_that_panics_retries_the_job() {
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
async fn a_layer_that_limits_counts_all_kinds() {
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
        .handler(async |_: Step, Data(running): Data<Arc<Running>>, Data(end): Data<Arc<dyn Fn() + Send + Sync>>| {
            busy(&running).await;
            end();
        })
        .handler(async |_: Other, Data(running): Data<Arc<Running>>, Data(end): Data<Arc<dyn Fn() + Send + Sync>>| {
            busy(&running).await;
            end();
        });
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
    entered: Arc<Mutex<Vec<u32>>>,
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
        self.entered.lock().unwrap().push(self.depth.load(Ordering::SeqCst));
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
    async fn log(_: Step) {
        tracing::info!("within");
        tokio::task::yield_now().await;
        tracing::info!("still within");
    }
    let spans = Spans::default();
    let queue = TestQueue::new(|broker| worker(broker).layer(SpanLayer).handler(log));
    queue.enqueue(&Step(1)).await;
    let _guard = tracing::subscriber::set_default(spans.clone());
    queue.drain().await;
    tracing::info!("outside");
    assert_eq!(*spans.entered.lock().unwrap(), [1, 1, 0]);
}
