//! Waits for a request's turn if a limiter queued it.

use std::time::Duration;

use tokio::runtime::Handle;

use super::{Charges, Decisions};

/// Waits for the longest delay. If the client disconnects meanwhile, the charges are refunded.
pub(super) async fn wait(charges: &Charges, decisions: &Decisions) {
    let delay = decisions.iter().map(|(_, decision)| decision.delay()).max().unwrap_or(Duration::ZERO);
    if delay.is_zero() {
        return;
    }
    let mut places = Places(Some(charges));
    tokio::time::sleep(delay).await;
    places.0 = None;
}

/// Charges of a queued request. Refunded on drop, unless the field was cleared.
struct Places<'a>(Option<&'a Charges>);

impl Drop for Places<'_> {
    fn drop(&mut self) {
        if let Some(charges) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            let charges = charges.clone();
            runtime.spawn(async move { charges.take_back(charges.len()).await });
        }
    }
}
