//! Tests of the log lines that a worker writes on its own.

#![allow(clippy::unwrap_used, reason = "a test ends where it is surprised")]

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate_queue::{
    Broker, Context, EnqueueOptions, Failure, Job, JobId, MemoryBroker, Producer, QueueOptions, TraceParent, WaitError,
    Worker, WorkerBuilder,
};
use tidegate_testkit::Page;
use tokio_util::sync::CancellationToken;

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[derive(Serialize, Deserialize)]
struct Charge {
    card: String,
}

impl Job for Charge {
    const KIND: &'static str = "charge";
    const QUEUE: &'static str = "billing";
}

async fn charge(_: Charge, TraceParent(trace): TraceParent, context: Context) -> Result<(), Failure> {
    tracing::info!("charging");
    assert_eq!((trace.as_deref(), context.trace_parent()), (Some(TRACE), Some(TRACE)));
    Err(Failure::bury("the card was refused"))
}

/// Returns the log of a worker that buries a charge, and the job's id. `with` adds options to the
/// worker.
async fn log_of_a_charge(with: impl FnOnce(WorkerBuilder) -> WorkerBuilder) -> (String, JobId) {
    let page = Page::default();
    let to = page.clone();
    let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || to.clone()).finish();
    let _logged = tracing::subscriber::set_default(log);
    let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
    let producer = Producer::new(broker.clone());
    let builder = Worker::builder(broker).queue("billing", QueueOptions::new()).handler(charge);
    let worker = with(builder).build().unwrap();
    let stop = CancellationToken::new();
    let worker = tokio::spawn(worker.run(stop.clone()));
    let job = Charge { card: "4929-secret".to_owned() };
    let id = producer.enqueue_with(&job, EnqueueOptions::new().trace_parent(TRACE)).await.unwrap();
    let end = producer.wait_for::<()>("billing", &id, Duration::from_secs(30)).await;
    assert!(matches!(end, Err(WaitError::Dead { .. })));
    stop.cancel();
    worker.await.unwrap().unwrap();
    (page.text(), id)
}

#[tokio::test]
async fn a_dead_job_is_logged_without_its_payload_and_its_run_is_in_a_span_with_its_trace() {
    let (text, id) = log_of_a_charge(|worker| worker).await;
    let line = |with: &str| text.lines().find(|line| line.contains(with)).unwrap_or_default().to_owned();
    let dead = line("the job is dead");
    for part in ["WARN", "billing", "charge", id.as_str(), "the card was refused"] {
        assert!(dead.contains(part), "{part} is missing in:\n{text}");
    }
    let run = line("charging");
    for part in ["job{", "billing", id.as_str(), "attempt=1", TRACE] {
        assert!(run.contains(part), "{part} is missing in:\n{text}");
    }
    assert!(!text.contains("secret"), "{text}");
}

#[tokio::test]
async fn a_run_is_in_the_span_that_the_builder_was_given() {
    let mine = |context: &Context| tracing::info_span!("mine", of = context.kind(), above = context.trace_parent());
    let (text, _) = log_of_a_charge(|worker| worker.span(mine)).await;
    let run = text.lines().find(|line| line.contains("charging")).unwrap_or_default();
    assert!(run.contains(&format!("mine{{of=\"charge\" above=\"{TRACE}\"}}")), "{text}");
    assert!(!run.contains("job{"), "one span, and not the usual one beside it: {run}");
}
