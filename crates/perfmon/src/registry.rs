//! All recorders of a process.

pub(crate) mod builder;
pub(crate) mod catalog;
mod costs;
pub(crate) mod event;
pub(crate) mod in_flight;
mod meters;
pub(crate) mod overall;
pub(crate) mod overhead;
mod slots;
#[cfg(feature = "tokio")]
pub(crate) mod ticks;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::figure::totals::Totals;
use crate::health::config::HealthConfig;
use crate::histogram::layout::Layout;
use crate::histogram::snapshot::Snapshot;
use crate::outcome::call::CallOutcome;
use crate::outcome::run::RunOutcome;
use crate::outcome::status::StatusClass;
use crate::record::endpoint::{Endpoint, EndpointSnapshot, EndpointTotals};
use crate::record::kind::Kind;
use crate::record::meter::Meter;
use crate::record::operation::{Operation, OperationSnapshot, OperationTotals};
use crate::registry::catalog::{Catalog, UNMATCHED};
use crate::registry::costs::Costs;
use crate::registry::event::{Event, Observer};
use crate::request::trace_context::TraceContext;
use crate::series::Series;
use crate::series::delta::Scratch;
use crate::slow::slowest_calls::SlowestCalls;
use crate::slow::{SlowCall, SlowLog, SlowOperation};
use crate::time::clock::Clock;
use crate::time::timeline::Timeline;
use crate::time::window::Window;

const LONGEST_REQUEST_ID: usize = 128;
/// Whoever leaves sooner waited for nothing that hangs: anybody can open connections and close them at once, and as bad ones they
/// would make an outage of it.
const LEAVES_EARLY: Duration = Duration::from_millis(100);

/// How a request ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    pub(crate) outcome: CallOutcome,
    /// Whatever its status.
    pub(crate) is_refused: bool,
}

/// Endpoints, operations and their windows. Clones share one registry.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) clock: Box<dyn Clock>,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub(crate) layout: Arc<Layout>,
    pub(crate) thresholds: Vec<Duration>,
    pub(crate) slow_call: Duration,
    pub(crate) slow_kinds: [Duration; Kind::ALL.len()],
    pub(crate) health: HealthConfig,
    pub(crate) unjudged: Vec<String>,
    pub(crate) endpoints: Catalog<Endpoint>,
    pub(crate) operations: Catalog<Operation>,
    pub(crate) meters: Catalog<Meter>,
    /// How long requests waited for the layer.
    pub(crate) waits: Series,
    /// How long they waited for their bodies.
    pub(crate) body_waits: Series,
    /// How long it took to turn callers away.
    pub(crate) refusals: Series,
    /// Clients that left before anything could be said of what they waited for.
    pub(crate) left_early: AtomicU64,
    pub(crate) slow_calls: SlowestCalls,
    pub(crate) failed_calls: SlowLog<SlowCall>,
    pub(crate) slow_operations: SlowLog<SlowOperation>,
    pub(crate) timeline: Mutex<Timeline>,
    pub(crate) costs: Costs,
}

impl Registry {
    pub(crate) fn from_inner(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// The time of the registry's clock, since its origin.
    pub fn now(&self) -> Duration {
        self.inner.clock.now()
    }

    /// The recorder of a method on a route template; ask once and keep it. Uncommon methods become `_OTHER`; past
    /// the cap, or with a template longer than 256 bytes, the recorder is that of [`OTHER`](crate::OTHER).
    pub fn endpoint(&self, method: &str, route: &str) -> Arc<Endpoint> {
        let method = known_method(method);
        let make = |route: &str| {
            let is_judged = !self.inner.unjudged.iter().any(|unjudged| unjudged == route);
            Endpoint::new(method, route, is_judged, Arc::clone(&self.inner.layout), self.elapsed())
        };
        self.inner.endpoints.resolve(method, route, make)
    }

    /// The recorder of requests that matched no route.
    pub fn unmatched(&self, method: &str) -> Arc<Endpoint> {
        self.endpoint(method, UNMATCHED)
    }

    /// Records how a request ended, lists it when it was slow or failed, and reports it when it was slow. The layer
    /// does this by itself.
    pub fn finished(&self, endpoint: &Endpoint, outcome: CallOutcome, elapsed: Duration, request_id: Option<&str>) {
        self.finished_in(endpoint, outcome, elapsed, request_id, None);
    }

    /// As [`finished`](Self::finished), and names the trace that the request belongs to.
    pub fn finished_in(
        &self,
        endpoint: &Endpoint,
        outcome: CallOutcome,
        elapsed: Duration,
        request_id: Option<&str>,
        trace: Option<TraceContext>,
    ) {
        self.finished_call(endpoint, End { outcome, is_refused: false }, elapsed, || request_id, trace);
    }

    pub(crate) fn finished_call<'a>(
        &self,
        endpoint: &Endpoint,
        End { outcome, is_refused }: End,
        elapsed: Duration,
        request_id: impl FnOnce() -> Option<&'a str>,
        trace: Option<TraceContext>,
    ) {
        self.sampling(elapsed, || match outcome {
            _ if is_refused || outcome.is_refusal() => {
                endpoint.refused();
                self.inner.refusals.record(0, elapsed);
            }
            CallOutcome::Aborted if elapsed < LEAVES_EARLY => {
                self.inner.left_early.fetch_add(1, Ordering::Relaxed);
            }
            CallOutcome::Status(code) => endpoint.record(StatusClass::of(code), elapsed),
            CallOutcome::Failed => endpoint.record(StatusClass::ServerError, elapsed),
            CallOutcome::Aborted => endpoint.aborted(),
        });
        let is_slow = elapsed > self.inner.slow_call;
        let has_failed = outcome.has_failed();
        if !is_slow && !has_failed {
            return;
        }
        let call = SlowCall {
            method: endpoint.method(),
            route: endpoint.route().to_owned(),
            elapsed,
            outcome,
            at_unix_ms: self.inner.clock.unix_millis(),
            request_id: request_id().map(|id| id[..id.floor_char_boundary(LONGEST_REQUEST_ID)].to_owned()),
            trace_id: trace.map(|trace| format!("{:032x}", trace.trace_id())),
        };
        if is_slow {
            self.notify(&Event::SlowCall(&call));
        }
        if has_failed {
            self.inner.failed_calls.push(call.clone());
        }
        if is_slow {
            self.inner.slow_calls.push(call);
        }
    }

    /// Requests whose clients left within 100 ms, since the start. They are counted here alone: an endpoint's `aborted` are those that
    /// waited longer.
    pub fn left_early(&self) -> u64 {
        self.inner.left_early.load(Ordering::Relaxed)
    }

    /// Files everything recorded since the last tick into the windows. Call it about once a second, from one
    /// place, with [`now`](Self::now). A reading before the last one counts as no time passed.
    pub fn tick(&self, now: Duration) {
        let begun = self.now();
        let elapsed = self.inner.timeline.lock().unwrap_or_else(PoisonError::into_inner).advance(now);
        let mut scratch = Scratch::default();
        for endpoint in self.inner.endpoints.all() {
            endpoint.series().tick(elapsed, &mut scratch);
        }
        for operation in self.inner.operations.all() {
            operation.series.tick(elapsed, &mut scratch);
        }
        for meter in self.inner.meters.all() {
            meter.tick(elapsed, &mut scratch);
        }
        self.inner.waits.tick(elapsed, &mut scratch);
        self.inner.body_waits.tick(elapsed, &mut scratch);
        self.inner.refusals.tick(elapsed, &mut scratch);
        self.inner.costs.tick.record(self.now().saturating_sub(begun));
    }

    /// Every endpoint in a window, in the order of route and method.
    pub fn endpoints(&self, window: Window) -> Vec<EndpointSnapshot> {
        let endpoints = self.inner.endpoints.all();
        endpoints.iter().map(|endpoint| endpoint.snapshot(window, &self.inner.thresholds)).collect()
    }

    /// Every measured operation in a window, in the order of name and kind.
    pub fn operations(&self, window: Window) -> Vec<OperationSnapshot> {
        let operations = self.inner.operations.all();
        operations.iter().map(|operation| self.snapshot_of(operation, window)).collect()
    }

    pub(crate) fn snapshot_of(&self, operation: &Operation, window: Window) -> OperationSnapshot {
        operation.snapshot(window, self.slow_above(operation.kind), &self.inner.thresholds)
    }

    /// Every endpoint since the start of the process.
    pub fn totals(&self) -> Vec<EndpointTotals> {
        self.inner.endpoints.all().iter().map(|endpoint| endpoint.totals()).collect()
    }

    /// Every measured operation since the start of the process.
    pub fn operation_totals(&self) -> Vec<OperationTotals> {
        self.inner.operations.all().iter().map(|operation| operation.totals()).collect()
    }

    /// How long requests waited from their [`ReceivedAt`](crate::ReceivedAt) until the layer was called, in a window.
    pub fn http_wait(&self, window: Window) -> Snapshot {
        self.inner.waits.window(window).latency
    }

    /// The same since the start of the process.
    pub fn http_wait_totals(&self) -> Totals {
        self.inner.waits.total().latency()
    }

    /// How long requests with a [`BodyWait`](crate::BodyWait) waited for their clients, each in all, in a window. It is no part of
    /// their duration.
    pub fn http_body_wait(&self, window: Window) -> Snapshot {
        self.inner.body_waits.window(window).latency
    }

    /// The same since the start of the process.
    pub fn http_body_wait_totals(&self) -> Totals {
        self.inner.body_waits.total().latency()
    }

    /// How long it took to [turn callers away](CallOutcome::is_refusal), whatever they asked for, in a window. It is part of no
    /// endpoint's latency.
    pub fn http_refusals(&self, window: Window) -> Snapshot {
        self.inner.refusals.window(window).latency
    }

    /// The same since the start of the process.
    pub fn http_refusal_totals(&self) -> Totals {
        self.inner.refusals.total().latency()
    }

    /// Calls that failed, whether slow or fast, newest first.
    pub fn failed_calls(&self, limit: usize) -> Vec<SlowCall> {
        self.inner.failed_calls.newest(limit)
    }

    /// The slowest calls of the last hour, and older ones while there is room; newest first.
    pub fn slow_calls(&self, limit: usize) -> Vec<SlowCall> {
        self.inner.slow_calls.newest(limit)
    }

    /// The latest slow operations, newest first.
    pub fn slow_operations(&self, limit: usize) -> Vec<SlowOperation> {
        self.inner.slow_operations.newest(limit)
    }

    /// How often an endpoint was asked for and `__other__` was given, because of the cap or an overlong template.
    pub fn dropped_endpoints(&self) -> u64 {
        self.inner.endpoints.dropped()
    }

    /// The same for operations.
    pub fn dropped_operations(&self) -> u64 {
        self.inner.operations.dropped()
    }

    /// The limits behind [`readings`](Self::readings).
    pub fn health_config(&self) -> &HealthConfig {
        &self.inner.health
    }

    pub(crate) fn operation(&self, kind: Kind, name: &str) -> Arc<Operation> {
        let make = |name: &str| Operation::new(kind, name, Arc::clone(&self.inner.layout), self.elapsed());
        self.inner.operations.resolve(kind.name(), name, make)
    }

    pub(crate) fn slow_above(&self, kind: Kind) -> Duration {
        self.inner.slow_kinds[kind as usize]
    }

    pub(crate) fn report_slow(&self, operation: &Operation, outcome: RunOutcome, elapsed: Duration) {
        let threshold = self.slow_above(operation.kind);
        if elapsed <= threshold {
            return;
        }
        let slow = SlowOperation {
            kind: operation.kind,
            operation: operation.name.clone(),
            outcome,
            elapsed,
            threshold,
            at_unix_ms: self.inner.clock.unix_millis(),
        };
        self.notify(&Event::SlowOperation(&slow));
        self.inner.slow_operations.push(slow);
    }

    #[cfg(feature = "tower")]
    pub(crate) fn waited(&self, wait: Duration) {
        self.inner.waits.record(0, wait);
    }

    #[cfg(feature = "tower")]
    pub(crate) fn waited_for_body(&self, wait: Duration) {
        self.inner.body_waits.record(0, wait);
    }

    /// The endpoints that health and budgets go by.
    pub(crate) fn judged(&self) -> impl Iterator<Item = Arc<Endpoint>> {
        self.inner.endpoints.all().into_iter().filter(|endpoint| endpoint.is_judged())
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.inner.timeline.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    pub(crate) fn notify(&self, event: &Event<'_>) {
        if let Some(observer) = &self.inner.observer {
            observer.on(event);
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("dropped_endpoints", &self.dropped_endpoints()).finish_non_exhaustive()
    }
}

/// Methods are chosen by clients, so only the common ones make series.
fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("_OTHER")
}
