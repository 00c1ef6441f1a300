//! Debts that are settled when Redis is back, whether or not anybody asks for their keys.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

/// Between attempts to settle debts, where one failed.
const PAUSE: Duration = Duration::from_millis(50);

/// What has to tell Redis of its debts.
pub(super) trait Debtor: Send + Sync + 'static {
    /// Settles what it can; answers whether no debt is left.
    fn settle_all(&self) -> impl Future<Output = bool> + Send;
}

/// Has all debts settled as soon as Redis is available.
pub(super) fn settle_when_back(debtor: &Arc<impl Debtor>, mut available: watch::Receiver<bool>) {
    let Ok(runtime) = Handle::try_current() else { return };
    let debtor = Arc::downgrade(debtor);
    runtime.spawn(async move {
        // Ends with the client, or with the debtor.
        while available.wait_for(|is_available| *is_available).await.is_ok() {
            let Some(debtor) = debtor.upgrade() else { return };
            if debtor.settle_all().await {
                return;
            }
            drop(debtor);
            tokio::time::sleep(PAUSE).await;
        }
    });
}
