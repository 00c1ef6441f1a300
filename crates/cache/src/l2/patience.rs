//! What one read may wait for L2, over all of its steps.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, timeout};

/// One deadline for a read, in place of a time-out at every step. Only waiting for Redis is charged, not the loader.
#[derive(Debug)]
pub(crate) struct Patience {
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

    /// Waits for a step. After a step that failed for good or took too long nothing is left, so that no further one is
    /// waited for.
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
}
