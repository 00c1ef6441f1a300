//! Time that one read may wait for L2, over all of its steps.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::time::{Instant, timeout, timeout_at};

/// One deadline for a read, in place of a time-out at every step. It charges only the time that the
/// read waits for Redis, not the time of the loader.
#[derive(Debug, Clone)]
pub struct Patience {
    whole: Duration,
    left: Duration,
}

/// A step in L2 failed, or the read may not wait any longer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Impatience<E: Error + 'static> {
    #[error(transparent)]
    Failed(E),
    #[error("L2 did not answer within {0:?} in all")]
    Over(Duration),
}

impl Patience {
    pub(super) fn new(whole: Duration) -> Self {
        Self { whole, left: whole }
    }

    /// Remaining time.
    pub(super) fn left(&self) -> Duration {
        self.left
    }

    /// Returns half of the remaining time, for a step that the read does not need.
    pub(super) fn half(&self) -> Self {
        Self { whole: self.whole, left: self.left / 2 }
    }

    /// Subtracts the time waited.
    pub(super) fn charge(&mut self, waited: Duration) {
        self.left = self.left.saturating_sub(waited);
    }

    /// Waits for a step for at most the remaining time. A step that takes too long leaves no time
    /// for further ones; one that fails sooner does.
    pub(super) async fn spend<T, E: Error + 'static>(
        &mut self,
        step: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Impatience<E>> {
        if self.left.is_zero() {
            return Err(Impatience::Over(self.whole));
        }
        let started = Instant::now();
        let done = timeout(self.left, step).await;
        self.left = self.left.saturating_sub(started.elapsed());
        match done {
            Ok(result) => result.map_err(Impatience::Failed),
            Err(_) => Err(Impatience::Over(self.whole)),
        }
    }

    /// Waits for several steps, `at_once` at a time. Each of them succeeds or fails on its own.
    pub(super) async fn spend_each<T, E: Error + 'static>(
        &mut self,
        at_once: usize,
        steps: Vec<impl Future<Output = Result<T, E>>>,
    ) -> Vec<Result<T, Impatience<E>>> {
        let started = Instant::now();
        let (whole, deadline) = (self.whole, started + self.left);
        let mut bounded = Vec::with_capacity(steps.len());
        for step in steps {
            bounded.push(async move {
                // A step that cannot end in time is not started.
                if Instant::now() >= deadline {
                    return Err(Impatience::Over(whole));
                }
                match timeout_at(deadline, step).await {
                    Ok(result) => result.map_err(Impatience::Failed),
                    Err(_) => Err(Impatience::Over(whole)),
                }
            });
        }
        let done = stream::iter(bounded).buffered(at_once).collect().await;
        self.left = self.left.saturating_sub(started.elapsed());
        done
    }
}
