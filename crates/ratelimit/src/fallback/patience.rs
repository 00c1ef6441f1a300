//! The maximum time to wait for Redis.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;

use super::or_outage;
use crate::redis::{Asked, no_answer};
use crate::{CheckError, StoreError};

/// Allows a decision within 50 ms on a busy machine.
pub(super) const DEFAULT_PATIENCE: Duration = Duration::from_millis(40);

/// Ensures that at most one check waits in order to find out that Redis does not reply.
pub(super) struct Patience {
    longest: Duration,
    /// Whether a check has timed out and it is not yet known whether Redis is available.
    hangs: Arc<AtomicBool>,
}

impl Patience {
    pub(super) fn new(longest: Duration) -> Self {
        Self { longest, hangs: Arc::default() }
    }

    pub(super) fn asked(&self) -> Asked<'_> {
        Asked::unless(&self.hangs)
    }

    /// Settles the debts, then sends the request to Redis. The error means an outage and says
    /// whether the request may have been executed.
    ///
    /// If Redis does not reply in time, `probe` creates a future that waits for a reply for as long
    /// as the client's own timeout, so that the client detects an outage. Until it completes, no
    /// check waits for Redis.
    pub(super) async fn ask<T, P: Future<Output = ()> + Send + 'static>(
        &self,
        settling: impl Future<Output = Result<(), CheckError>>,
        work: impl Future<Output = Result<T, CheckError>>,
        asked: &Asked<'_>,
        probe: impl FnOnce() -> P,
    ) -> Result<Result<T, CheckError>, StoreError> {
        if self.hangs.load(Ordering::Relaxed) {
            return Err(no_answer());
        }
        let mut asking = std::pin::pin!(async {
            if settling.await.is_err() {
                return Err(CheckError::Store(StoreError::new("Redis takes no debits").transient()));
            }
            work.await
        });
        if let Ok(result) = tokio::time::timeout(self.longest, asking.as_mut()).await {
            return or_outage(result);
        }
        // Called before the work is dropped, so that waiting checks do not send it too.
        self.find_out(probe);
        let error = StoreError::new(format!("no answer from Redis within {:?}", self.longest)).transient();
        Err(if asked.is_sent() { error.maybe_charged() } else { error })
    }

    fn find_out<P: Future<Output = ()> + Send + 'static>(&self, probe: impl FnOnce() -> P) {
        let Ok(runtime) = Handle::try_current() else { return };
        if self.hangs.swap(true, Ordering::AcqRel) {
            return;
        }
        let (probing, waits) = (probe(), Waits(self.hangs.clone()));
        runtime.spawn(async move {
            // Either Redis has replied, or the client now knows that it is unavailable.
            probing.await;
            drop(waits);
        });
    }
}

/// A running probe. When it ends, even with its runtime, checks go to Redis again.
struct Waits(Arc<AtomicBool>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[test]
    fn redis_is_asked_again_after_a_runtime_that_is_gone() {
        let patience = Patience::new(Duration::from_millis(1));
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let asked = patience.asked();
        let gone = runtime();
        let hangs = patience.ask(ready(Ok(())), pending::<Result<(), CheckError>>(), &asked, pending);
        assert!(gone.block_on(hangs).is_err_and(|error| !error.may_have_charged()), "nothing was sent");
        let later = || patience.ask(ready(Ok(())), ready(Ok(1)), &asked, pending);
        assert!(gone.block_on(later()).is_err(), "somebody waits for an answer");
        drop(gone);
        assert_eq!(runtime().block_on(later()), Ok(Ok(1)));
    }
}
