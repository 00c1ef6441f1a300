//! Requests and runs that have ended: counted, and listed where they were slow or failed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tidegate_clock::Clock;

use crate::outcome::call::CallOutcome;
use crate::outcome::run::RunOutcome;
use crate::outcome::status::StatusClass;
use crate::record::endpoint::Endpoint;
use crate::record::kind::Kind;
use crate::record::operation::Operation;
use crate::registry::Registry;
use crate::registry::event::Event;
use crate::request::trace_context::TraceContext;
use crate::slow::{SlowCall, SlowOperation};

const LONGEST_REQUEST_ID: usize = 128;
/// A client that leaves sooner did not wait for hanging work. Any client can open connections and
/// close them at once; if these counted as bad, it could cause an outage.
const LEAVES_EARLY: Duration = Duration::from_millis(100);

/// How a request ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    pub(crate) outcome: CallOutcome,
    /// Whatever its status.
    pub(crate) is_refused: bool,
}

impl Registry {
    /// Records how a request ended. Lists it if it was slow or failed, and notifies the observer if
    /// it was slow. The layer does this by itself.
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
            at_unix_ms: unix_millis(&self.inner.clock),
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

    /// Returns the requests whose clients left within 100 ms, since the start. Only this method
    /// counts them: an endpoint's `aborted` are those that waited longer.
    pub fn left_early(&self) -> u64 {
        self.inner.left_early.load(Ordering::Relaxed)
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
            at_unix_ms: unix_millis(&self.inner.clock),
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
}

/// The date of an entry in a slow list.
fn unix_millis(clock: &Clock) -> u64 {
    u64::try_from(clock.unix().as_millis()).unwrap_or(u64::MAX)
}
