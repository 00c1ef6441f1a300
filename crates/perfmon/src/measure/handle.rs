//! An operation that is looked up once.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::measure::measured;
use crate::outcome::run::RunOutcome;
use crate::record::kind::Kind;
use crate::record::operation::{Operation, OperationSnapshot, OperationTotals};
use crate::registry::Registry;
use crate::time::window::Window;

/// The recorder of one operation; get it from [`Registry::operation_handle`] and keep it.
///
/// It records the same as [`Registry::measure`] under the same name, without looking up the name
/// each time.
pub struct OperationHandle {
    registry: Registry,
    operation: Arc<Operation>,
}

impl Registry {
    /// Returns the recorder of an operation; look it up once and keep it. Past the cap, or with a
    /// name longer than 256 bytes, it is that of [`OTHER`](crate::OTHER).
    ///
    /// ```
    /// use tidegate_perfmon::{Kind, Registry};
    ///
    /// let registry = Registry::builder().build();
    /// let list = registry.operation_handle(Kind::Database, "schedules.list");
    /// list.record_secs(0.012);
    /// list.record_secs(f64::NAN);
    /// assert_eq!((list.rejected(), registry.operation_totals()[0].latency.count), (1, 1));
    /// ```
    pub fn operation_handle(&self, kind: Kind, name: &str) -> Arc<OperationHandle> {
        Arc::new(OperationHandle { registry: self.clone(), operation: self.operation(kind, name) })
    }

    /// Returns how many figures for operations were not durations; see
    /// [`OperationHandle::record_secs`].
    pub fn rejected(&self) -> u64 {
        self.inner().operations.all().iter().map(|operation| operation.rejected.load(Ordering::Relaxed)).sum()
    }
}

impl OperationHandle {
    /// Returns the kind of the operation.
    pub fn kind(&self) -> Kind {
        self.operation.kind
    }

    /// Its name, or [`OTHER`](crate::OTHER).
    pub fn name(&self) -> &str {
        &self.operation.name
    }

    /// Counts a finished run, and lists and reports it when it was slow.
    pub fn record(&self, duration: Duration) {
        self.record_as(RunOutcome::Finished, duration);
    }

    /// Does the same as [`record`](Self::record), for a run that ended in another way. The time of
    /// a cancelled run is not part of the latency.
    pub fn record_as(&self, outcome: RunOutcome, duration: Duration) {
        self.operation.ended(outcome, duration);
        self.registry.report_slow(&self.operation, outcome, duration);
    }

    /// Does the same as [`record`](Self::record), for a figure in seconds. A figure that is not a
    /// duration (NaN, negative, infinite) is not recorded but counted in
    /// [`rejected`](Self::rejected). A figure above the range of `Duration` counts as the longest
    /// one.
    pub fn record_secs(&self, secs: f64) {
        if secs.is_finite() && secs >= 0.0 {
            self.record(Duration::try_from_secs_f64(secs).unwrap_or(Duration::MAX));
        } else {
            self.operation.rejected.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The operation in a window, as [`Registry::operations`] has it.
    pub fn window(&self, window: Window) -> OperationSnapshot {
        self.registry.snapshot_of(&self.operation, window)
    }

    /// The operation since the start of the process, as [`Registry::operation_totals`] has it.
    pub fn totals(&self) -> OperationTotals {
        self.operation.totals()
    }

    /// Figures for this operation that were no durations, handed to whichever handle of it.
    pub fn rejected(&self) -> u64 {
        self.operation.rejected.load(Ordering::Relaxed)
    }

    /// Runs a future and records how long it took, as [`Registry::measure`] does.
    pub fn measure<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        measured(self.registry.clone(), Arc::clone(&self.operation), future, |_| RunOutcome::Finished)
    }

    /// Does the same as [`measure`](Self::measure), and counts a run that ends with an `Err` as
    /// failed, like [`Registry::measure_result`].
    pub fn measure_result<F, T, E>(&self, future: F) -> impl Future<Output = Result<T, E>> + use<F, T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        measured(self.registry.clone(), Arc::clone(&self.operation), future, RunOutcome::of)
    }
}

impl fmt::Debug for OperationHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Operation { kind, name, .. } = &*self.operation;
        f.debug_struct("OperationHandle").field("kind", kind).field("name", name).finish_non_exhaustive()
    }
}
