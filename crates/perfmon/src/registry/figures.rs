//! What the recorders of a registry have counted.

use crate::figure::totals::Totals;
use crate::histogram::snapshot::Snapshot;
use crate::record::endpoint::{EndpointSnapshot, EndpointTotals};
use crate::record::operation::{Operation, OperationSnapshot, OperationTotals};
use crate::registry::Registry;
use crate::time::window::Window;

impl Registry {
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

    /// Returns how long requests waited from their [`ReceivedAt`](crate::ReceivedAt) until the
    /// layer was called, in a window.
    pub fn http_wait(&self, window: Window) -> Snapshot {
        self.inner.waits.window(window).latency
    }

    /// The same since the start of the process.
    pub fn http_wait_totals(&self) -> Totals {
        self.inner.waits.total().latency()
    }

    /// Returns how long each request with a [`BodyWait`](crate::BodyWait) waited for its client in
    /// total, in a window. It is not part of their duration.
    pub fn http_body_wait(&self, window: Window) -> Snapshot {
        self.inner.body_waits.window(window).latency
    }

    /// The same since the start of the process.
    pub fn http_body_wait_totals(&self) -> Totals {
        self.inner.body_waits.total().latency()
    }

    /// Returns how long it took to [refuse requests](crate::CallOutcome::is_refusal), on any route,
    /// in a window. It is not part of any endpoint's latency.
    pub fn http_refusals(&self, window: Window) -> Snapshot {
        self.inner.refusals.window(window).latency
    }

    /// The same since the start of the process.
    pub fn http_refusal_totals(&self) -> Totals {
        self.inner.refusals.total().latency()
    }
}
