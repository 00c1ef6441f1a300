//! The bounded queue of ended spans, and the task that sends them.

use std::borrow::Cow;
use std::mem;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use prost::Message;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::collector::{Collector, Signal};
use super::gate;

/// Maximum number of waiting spans. Further ones are dropped and counted.
const WAITING: usize = 2_048;
/// Maximum bytes of waiting spans, as measured by [`weight`]. 2,048 usual spans take half of it.
const WAITING_BYTES: usize = 4 << 20;
/// Maximum number of spans in one message.
const BATCH: usize = 512;
/// Maximum bytes of one message: collectors refuse larger ones, and all spans in it are lost.
const BATCH_BYTES: usize = 1 << 20;
/// Maximum weight of one span: its attributes, each of which is truncated.
const HEAVIEST: usize = 64 << 10;
/// Maximum bytes of a text, for example of a statement or of a client's input.
const LONGEST: usize = 1 << 10;
/// How long a span waits for others to share its message.
const LINGER: Duration = Duration::from_secs(1);

/// An item of the queue, in order of arrival.
#[derive(Debug)]
pub(super) enum Item {
    /// A span that has ended.
    Ended(Box<SpanData>),
    /// Notified after all earlier items were sent or have failed.
    Flush(oneshot::Sender<()>),
}

/// The queue of spans that leave the process.
#[derive(Debug)]
pub(super) struct Outlet {
    entrance: mpsc::Sender<Item>,
    /// Bytes of the waiting spans.
    waiting: AtomicUsize,
    /// The receiving end, until a node takes it.
    queue: Mutex<Option<mpsc::Receiver<Item>>>,
    pub(super) spans: Outcomes,
    pub(super) metrics: Outcomes,
}

/// Outcomes of exported items.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    pub(super) sent: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) dropped: AtomicU64,
}

impl Default for Outlet {
    fn default() -> Self {
        let (entrance, queue) = mpsc::channel(WAITING);
        let queue = Mutex::new(Some(queue));
        Self { entrance, waiting: AtomicUsize::new(0), queue, spans: Outcomes::default(), metrics: Outcomes::default() }
    }
}

impl Outlet {
    /// Returns the receiving end of the queue to the first caller.
    pub(super) fn take_queue(&self) -> Option<mpsc::Receiver<Item>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Adds a span to the queue if there is room. Never waits, since the caller is serving a
    /// request.
    fn put(&self, span: SpanData) -> Result<(), NoRoom> {
        let bytes = weight(&span);
        let before = self.waiting.fetch_add(bytes, Ordering::Relaxed);
        let is_put = before + bytes <= WAITING_BYTES && self.entrance.try_send(Item::Ended(Box::new(span))).is_ok();
        if is_put {
            return Ok(());
        }
        self.waiting.fetch_sub(bytes, Ordering::Relaxed);
        Err(NoRoom)
    }

    /// Requests a notification after all items that wait now are sent. Returns whether it will
    /// come.
    pub(super) async fn flush(&self, tell: oneshot::Sender<()>) -> bool {
        self.entrance.send(Item::Flush(tell)).await.is_ok()
    }
}

/// The limit on waiting spans or their bytes is reached.
#[derive(Debug)]
struct NoRoom;

/// Returns an upper estimate of a span's bytes in a message, and approximately its memory.
fn weight(span: &SpanData) -> usize {
    // Ids, times, kind and status. `EACH` is for the tags and lengths of an attribute.
    const FIXED: usize = 192;
    const EACH: usize = 24;
    let texts = span.attributes.iter().map(|KeyValue { key, value, .. }| {
        EACH + key.as_str().len()
            + match value {
                Value::String(text) => text.as_str().len(),
                _ => EACH,
            }
    });
    FIXED + span.name.len() + texts.sum::<usize>()
}

/// Truncates long texts before the span waits.
fn cut(span: &mut SpanData) {
    if span.name.len() > LONGEST {
        span.name = Cow::Owned(beginning(&span.name).to_owned());
    }
    for attribute in &mut span.attributes {
        if let Value::String(text) = &mut attribute.value
            && text.as_str().len() > LONGEST
        {
            *text = beginning(text.as_str()).to_owned().into();
        }
    }
}

fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST)]
}

/// Puts each ended span into the queue. The SDK's own batching does so too, but on a thread without
/// a runtime, and it does not report how many spans it dropped.
#[derive(Debug)]
pub(super) struct Processor(pub(super) Arc<Outlet>);

impl SpanProcessor for Processor {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, mut span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        cut(&mut span);
        if self.0.put(span).is_err() {
            self.0.spans.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// [`Outlet::flush`] does it, which waits asynchronously.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Sends items in batches. Each message is tried once: a retry would delay the queue and lose later
/// spans.
pub(super) async fn send(
    mut queue: mpsc::Receiver<Item>,
    collector: Arc<Collector>,
    outlet: Arc<Outlet>,
    resource: Resource,
) {
    let resource = ResourceAttributesWithSchema::from(&resource);
    let mut batch = Vec::new();
    while let Some(first) = queue.recv().await {
        let flush = gather(first, &mut queue, &mut batch, &outlet).await;
        if !batch.is_empty() {
            post(mem::take(&mut batch), &resource, &collector, &outlet.spans).await;
        }
        if let Some(tell) = flush {
            // The caller may have stopped waiting.
            let _ = tell.send(());
        }
    }
}

/// Fills the batch until it is full, has waited long enough, or a flush was requested.
async fn gather(
    first: Item,
    queue: &mut mpsc::Receiver<Item>,
    batch: &mut Vec<SpanData>,
    outlet: &Outlet,
) -> Option<oneshot::Sender<()>> {
    let until = Instant::now() + LINGER;
    let (mut next, mut bytes) = (Some(first), 0);
    while let Some(item) = next {
        match item {
            Item::Ended(span) => {
                let own = weight(&span);
                outlet.waiting.fetch_sub(own, Ordering::Relaxed);
                bytes += own;
                batch.push(*span);
            }
            Item::Flush(tell) => return Some(tell),
        }
        if batch.len() == BATCH || bytes > BATCH_BYTES - HEAVIEST {
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

/// Returns how many spans of a message the collector rejected.
fn refused_of(answer: &[u8]) -> u64 {
    let answer = ExportTraceServiceResponse::decode(answer).unwrap_or_default();
    answer.partial_success.map_or(0, |partial| u64::try_from(partial.rejected_spans).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{Span as _, Tracer, TracerProvider};
    use opentelemetry_sdk::trace::SdkTracerProvider;

    use super::*;

    /// Makes an outlet whose queue is never read, after `spans` spans with texts of `text` bytes.
    fn crowded(spans: usize, text: usize) -> Arc<Outlet> {
        let outlet = Arc::<Outlet>::default();
        let provider = SdkTracerProvider::builder().with_span_processor(Processor(Arc::clone(&outlet))).build();
        let (tracer, text) = (provider.tracer("test"), "ä".repeat(text / 2));
        for _ in 0..spans {
            let mut span = tracer.start("a span");
            for key in ["path", "method", "id", "route", "a", "b", "c", "d"] {
                span.set_attribute(KeyValue::new(key, text.clone()));
            }
            span.end();
        }
        outlet
    }

    fn message(batch: Vec<SpanData>) -> usize {
        let resource = ResourceAttributesWithSchema::from(&Resource::builder().build());
        let resource_spans = group_spans_by_resource_and_scope(batch, &resource);
        ExportTraceServiceRequest { resource_spans }.encoded_len()
    }

    #[tokio::test(start_paused = true)]
    async fn pending_and_sent_bytes_are_bounded_for_any_length_of_texts() {
        let outlet = crowded(2_100, 60_000);
        let waiting = outlet.waiting.load(Ordering::Relaxed);
        assert!(waiting <= WAITING_BYTES && waiting > WAITING_BYTES - HEAVIEST, "{waiting}");
        let mut queue = outlet.take_queue().unwrap();
        let (mut sent, mut messages) = (0, Vec::new());
        while let Ok(first) = queue.try_recv() {
            let mut batch = Vec::new();
            assert!(gather(first, &mut queue, &mut batch, &outlet).await.is_none());
            assert!(batch.iter().all(|span| weight(span) <= HEAVIEST), "{}", weight(&batch[0]));
            sent += batch.len() as u64;
            messages.push(message(batch));
        }
        assert!(messages.len() > 3 && messages.iter().all(|bytes| *bytes <= BATCH_BYTES), "{messages:?}");
        assert_eq!(sent + outlet.spans.dropped.load(Ordering::Relaxed), 2_100);
        assert_eq!(outlet.waiting.load(Ordering::Relaxed), 0, "what has gone gives its room back");
    }

    #[test]
    fn of_the_usual_ones_their_number_is_the_bound() {
        let outlet = crowded(WAITING + 10, 40);
        assert_eq!(outlet.spans.dropped.load(Ordering::Relaxed), 10);
    }
}
