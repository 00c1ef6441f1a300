//! How long Redis is waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;

use super::outage;
use crate::{CheckError, StoreError};

/// Short enough for a decision within 50 ms on a busy machine.
pub(super) const DEFAULT_PATIENCE: Duration = Duration::from_millis(40);

/// Lets one check at most find out by waiting that Redis gives no answer.
pub(super) struct Patience {
    longest: Duration,
    /// Whether a check waited in vain and it isn't known yet whether Redis is away.
    hangs: Arc<AtomicBool>,
}

impl Patience {
    pub(super) fn new(longest: Duration) -> Self {
        Self { longest, hangs: Arc::default() }
    }

    /// Settles what Redis has to be told before, then asks it. The error is an outage. Where it gives no answer, `probe` makes
    /// what waits for one for as long as the client is patient, so that it notices an outage; until then nobody waits.
    pub(super) async fn ask<T, P: Future<Output = ()> + Send + 'static>(
        &self,
        settling: impl Future<Output = Result<(), CheckError>>,
        work: impl Future<Output = Result<T, CheckError>>,
        probe: impl FnOnce() -> P,
    ) -> Result<Result<T, CheckError>, StoreError> {
        if self.hangs.load(Ordering::Relaxed) {
            return Err(StoreError::new("Redis gives no answer").transient());
        }
        let mut is_asked = false;
        let asking = async {
            if settling.await.is_err() {
                return Err(CheckError::Store(StoreError::new("Redis takes no debits").transient()));
            }
            is_asked = true;
            work.await
        };
        if let Ok(result) = tokio::time::timeout(self.longest, asking).await {
            return outage(result);
        }
        self.find_out(probe);
        let error = StoreError::new(format!("no answer from Redis within {:?}", self.longest)).transient();
        Err(if is_asked { error.maybe_charged() } else { error })
    }

    fn find_out<P: Future<Output = ()> + Send + 'static>(&self, probe: impl FnOnce() -> P) {
        let Ok(runtime) = Handle::try_current() else { return };
        if self.hangs.swap(true, Ordering::AcqRel) {
            return;
        }
        let (hangs, probing) = (self.hangs.clone(), probe());
        runtime.spawn(async move {
            // Either there is an answer, or the client now knows better.
            probing.await;
            hangs.store(false, Ordering::Release);
        });
    }
}
