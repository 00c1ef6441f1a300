//! Spans on their way out: a bounded queue, and the task that empties it.

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

/// Spans that wait at most; more are dropped and counted.
const WAITING: usize = 2_048;
/// Bytes that they take at most, by [`weight`]; 2,048 of the usual kind are half of it.
const WAITING_BYTES: usize = 4 << 20;
/// Spans of one message at most.
const BATCH: usize = 512;
/// Bytes of one message at most: collectors refuse what is large, and all that is in it is lost.
const BATCH_BYTES: usize = 1 << 20;
/// What one span weighs at most: its attributes, each of which is cut.
const HEAVIEST: usize = 64 << 10;
/// Bytes of a text that are kept, of a statement's or of whatever a client sent.
const LONGEST: usize = 1 << 10;
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
    /// Bytes of the spans that wait.
    waiting: AtomicUsize,
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
        let queue = Mutex::new(Some(queue));
        Self { entrance, waiting: AtomicUsize::new(0), queue, spans: Outcomes::default(), metrics: Outcomes::default() }
    }
}

impl Outlet {
    /// The other end of the queue, for whoever asks first.
    pub(super) fn take_queue(&self) -> Option<mpsc::Receiver<Item>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Puts a span behind those that wait, where there is room for it. Never waits: who ends a span is serving a request.
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

    /// Whether somebody will tell when all that waits now has gone.
    pub(super) async fn flush(&self, tell: oneshot::Sender<()>) -> bool {
        self.entrance.send(Item::Flush(tell)).await.is_ok()
    }
}

/// As many spans wait as may, or as many bytes of them.
#[derive(Debug)]
struct NoRoom;

/// At least the bytes that a span takes in a message, give or take what waits of it elsewhere.
fn weight(span: &SpanData) -> usize {
    // Ids, times, kind and status, and around each attribute its tags and lengths.
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

/// Shortens what is long, before it waits.
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

/// Puts each span that ends into the queue. The SDK's own batching would do it too, but on a thread without a runtime, and
/// it tells nobody how many it dropped.
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

/// How many the collector took the message without.
fn refused_of(answer: &[u8]) -> u64 {
    let answer = ExportTraceServiceResponse::decode(answer).unwrap_or_default();
    answer.partial_success.map_or(0, |partial| u64::try_from(partial.rejected_spans).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{Span as _, Tracer, TracerProvider};
    use opentelemetry_sdk::trace::SdkTracerProvider;

    use super::*;

    /// An outlet of whose queue nobody takes anything, after so many spans of a text so long.
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
    async fn what_waits_and_what_is_sent_is_bounded_in_bytes_however_long_the_texts_are() {
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
