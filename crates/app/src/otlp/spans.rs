//! Spans on their way out: a bounded queue, and the task that empties it.

use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use prost::Message;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::collector::{Collector, Signal};
use super::{gate, resource};

/// Spans that wait at most; more are dropped and counted. About 2 MB.
const WAITING: usize = 2_048;
/// Spans of one message at most.
const BATCH: usize = 512;
/// How long a span waits for others to go with.
const LINGER: Duration = Duration::from_secs(1);

/// What waits, in the order in which it came.
#[derive(Debug)]
pub(super) enum Item {
    /// A span that has ended.
    Ended(Box<SpanData>),
    /// To be told once all before it was sent, or could not be.
    Flush(oneshot::Sender<()>),
}

/// Where spans leave the process.
#[derive(Debug)]
pub(super) struct Outlet {
    entrance: mpsc::Sender<Item>,
    /// Until a node begins to send.
    queue: Mutex<Option<mpsc::Receiver<Item>>>,
    pub(super) spans: Outcomes,
    pub(super) metrics: Outcomes,
}

/// What became of what was to be sent.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    pub(super) sent: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) dropped: AtomicU64,
}

impl Default for Outlet {
    fn default() -> Self {
        let (entrance, queue) = mpsc::channel(WAITING);
        Self { entrance, queue: Mutex::new(Some(queue)), spans: Outcomes::default(), metrics: Outcomes::default() }
    }
}

impl Outlet {
    /// The other end of the queue, for whoever asks first.
    pub(super) fn take_queue(&self) -> Option<mpsc::Receiver<Item>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether somebody will tell when all that waits now has gone.
    pub(super) async fn flush(&self, tell: oneshot::Sender<()>) -> bool {
        self.entrance.send(Item::Flush(tell)).await.is_ok()
    }
}

/// Puts each span that ends into the queue. The SDK's own batching would do it too, but on a thread without a runtime, and
/// it tells nobody how many it dropped.
#[derive(Debug)]
pub(super) struct Processor(pub(super) Arc<Outlet>);

impl SpanProcessor for Processor {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        // Never waits: who ends a span is serving a request.
        if self.0.entrance.try_send(Item::Ended(Box::new(span))).is_err() {
            self.0.spans.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Done by [`Outlet::flush`], which waits as a task does.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Sends what comes, some together. Each message is tried once: whoever has to wait for a collector loses what comes
/// meanwhile.
pub(super) async fn send(mut queue: mpsc::Receiver<Item>, collector: Arc<Collector>, outlet: Arc<Outlet>) {
    let resource = ResourceAttributesWithSchema::from(&resource::of_this_process());
    let mut batch = Vec::new();
    while let Some(first) = queue.recv().await {
        let flush = gather(first, &mut queue, &mut batch).await;
        if !batch.is_empty() {
            post(mem::take(&mut batch), &resource, &collector, &outlet.spans).await;
        }
        if let Some(tell) = flush {
            // Whoever asked may have given up waiting.
            let _ = tell.send(());
        }
    }
}

/// Fills the batch until it is full, has waited long enough, or somebody wants it sent.
async fn gather(
    first: Item,
    queue: &mut mpsc::Receiver<Item>,
    batch: &mut Vec<SpanData>,
) -> Option<oneshot::Sender<()>> {
    let until = Instant::now() + LINGER;
    let mut next = Some(first);
    while let Some(item) = next {
        match item {
            Item::Ended(span) => batch.push(*span),
            Item::Flush(tell) => return Some(tell),
        }
        if batch.len() == BATCH {
            break;
        }
        next = timeout_at(until, queue.recv()).await.ok().flatten();
    }
    None
}

async fn post(
    mut batch: Vec<SpanData>,
    resource: &ResourceAttributesWithSchema,
    collector: &Collector,
    counts: &Outcomes,
) {
    let total = u64::try_from(batch.len()).unwrap_or(u64::MAX);
    batch.iter_mut().for_each(gate::pass);
    let request = ExportTraceServiceRequest { resource_spans: group_spans_by_resource_and_scope(batch, resource) };
    let failed = match collector.send(Signal::Traces, request.encode_to_vec()).await {
        Ok(answer) => refused_of(&answer).min(total),
        Err(()) => total,
    };
    counts.failed.fetch_add(failed, Ordering::Relaxed);
    counts.sent.fetch_add(total - failed, Ordering::Relaxed);
}

/// How many the collector took the message without.
fn refused_of(answer: &[u8]) -> u64 {
    let answer = ExportTraceServiceResponse::decode(answer).unwrap_or_default();
    answer.partial_success.map_or(0, |partial| u64::try_from(partial.rejected_spans).unwrap_or(0))
}
