//! Times a future.

pub(crate) mod handle;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use crate::outcome::run::RunOutcome;
use crate::record::kind::Kind;
use crate::record::operation::Operation;
use crate::registry::Registry;

impl Registry {
    /// Runs a future and records how long it took, from its first poll to its end.
    ///
    /// A run that exceeds the threshold of its kind enters
    /// [`slow_operations`](Self::slow_operations), and the observer is notified. A panic is
    /// recorded with its time. A future that is dropped before its end is counted as cancelled,
    /// without a latency: its full duration is unknown. If it lasted longer than the threshold, it
    /// is also listed as slow, with [`RunOutcome::Cancelled`]. A future that is never polled is not
    /// recorded. `operation` must be a name, not a statement or a key with values in it: the number
    /// of distinct names is capped.
    ///
    /// Any output of the future is a finished run; [`measure_result`](Self::measure_result) counts
    /// an `Err` as a failed one.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use tidegate_perfmon::{Kind, Registry};
    ///
    /// let registry = Registry::builder().build();
    /// let rows = registry.measure(Kind::Database, "schedules.list", async { 3 }).await;
    /// assert_eq!(rows, 3);
    /// assert_eq!(registry.operation_totals()[0].latency.count, 1);
    /// # });
    /// ```
    pub fn measure<F: Future>(
        &self,
        kind: Kind,
        operation: &str,
        future: F,
    ) -> impl Future<Output = F::Output> + use<F> {
        measured(self.clone(), self.operation(kind, operation), future, |_| RunOutcome::Finished)
    }

    /// Does the same as [`measure`](Self::measure), and counts a run that ends with an `Err` as
    /// failed. Its time is part of the latency, like that of a finished run.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use tidegate_perfmon::{Kind, Registry};
    ///
    /// let registry = Registry::builder().build();
    /// let refused = async { Err::<(), _>("no such table") };
    /// assert!(registry.measure_result(Kind::Database, "schedules.list", refused).await.is_err());
    /// let totals = &registry.operation_totals()[0];
    /// assert_eq!((totals.failed, totals.latency.count), (1, 1));
    /// # });
    /// ```
    pub fn measure_result<F, T, E>(
        &self,
        kind: Kind,
        operation: &str,
        future: F,
    ) -> impl Future<Output = Result<T, E>> + use<F, T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        measured(self.clone(), self.operation(kind, operation), future, RunOutcome::of)
    }
}

pub(crate) async fn measured<F: Future>(
    registry: Registry,
    operation: Arc<Operation>,
    future: F,
    judge: impl FnOnce(&F::Output) -> RunOutcome,
) -> F::Output {
    let mut run = Run::start(registry, operation);
    let mut future = pin!(future);
    let output = poll_fn(|cx| run.running(|| future.as_mut().poll(cx))).await;
    run.outcome = judge(&output);
    output
}

struct Run {
    registry: Registry,
    operation: Arc<Operation>,
    started: Duration,
    /// The outcome if the run were dropped now. It is `Panicked` while the future is polled. A
    /// future that is dropped between polls was cancelled, even if the cause was a panic elsewhere
    /// in its task.
    outcome: RunOutcome,
}

impl Run {
    fn start(registry: Registry, operation: Arc<Operation>) -> Self {
        let started = registry.now();
        Self { registry, operation, started, outcome: RunOutcome::Cancelled }
    }

    fn running<T>(&mut self, work: impl FnOnce() -> T) -> T {
        self.outcome = RunOutcome::Panicked;
        let done = work();
        self.outcome = RunOutcome::Cancelled;
        done
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let elapsed = self.registry.now().saturating_sub(self.started);
        self.operation.ended(self.outcome, elapsed);
        self.registry.report_slow(&self.operation, self.outcome, elapsed);
    }
}
