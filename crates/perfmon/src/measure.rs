//! Times a future.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use crate::operation::{Kind, Operation};
use crate::registry::Registry;

impl Registry {
    /// Runs a future and records how long it took, from its first poll to its end.
    ///
    /// Beyond the warning threshold of the kind, the run enters [`slow_operations`](Self::slow_operations) and the
    /// observer hears of it. A panic is recorded with its time, a future dropped before its end as
    /// cancelled, one never polled not at all. `operation` must be a name, not a statement or a key with values in it:
    /// distinct names are capped.
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
        measured(self.clone(), self.operation(kind, operation), future)
    }
}

pub(crate) async fn measured<F: Future>(registry: Registry, operation: Arc<Operation>, future: F) -> F::Output {
    let mut run = Run::start(registry, operation);
    let mut future = pin!(future);
    let output = poll_fn(|cx| run.running(|| future.as_mut().poll(cx))).await;
    run.state = State::Finished;
    output
}

struct Run {
    registry: Registry,
    operation: Arc<Operation>,
    started: Duration,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Waiting,
    /// The future has control. A run dropped in this state panicked; one dropped while it waits was cancelled, be it
    /// by a panic elsewhere in its task.
    Running,
    Finished,
}

impl Run {
    fn start(registry: Registry, operation: Arc<Operation>) -> Self {
        let started = registry.now();
        Self { registry, operation, started, state: State::Waiting }
    }

    fn running<T>(&mut self, work: impl FnOnce() -> T) -> T {
        self.state = State::Running;
        let done = work();
        self.state = State::Waiting;
        done
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let elapsed = self.registry.now().saturating_sub(self.started);
        match self.state {
            State::Finished => self.operation.finished(elapsed),
            State::Running => self.operation.panicked(elapsed),
            State::Waiting => self.operation.cancelled(),
        }
        self.registry.report_slow(&self.operation, elapsed);
    }
}
