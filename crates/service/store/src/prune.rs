//! Removes invalidations that every living process has read, and sessions whose time is over.

use std::time::Duration;

use tidegate_base::clock;
use tokio_util::sync::CancellationToken;

use super::sql::invalidations::{IS_OLD, REMOVE_OLD};
use super::{Coherence, Store, StoreError};

/// How long an invalidation stays readable. A process that was stopped for longer finds a gap and clears its cache.
const KEPT: Duration = Duration::from_secs(600);
const PERIOD: Duration = Duration::from_secs(60);

/// Prunes every minute, until `shutdown`. A task of its own, since it waits for other writers and no reader may.
pub(super) async fn run(store: Store, coherence: Coherence, shutdown: CancellationToken) {
    let mut period = tokio::time::interval(PERIOD);
    period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = period.tick() => {}
        }
        if let Err(error) = store.remove_ended_sessions().await {
            tracing::warn!(%error, "ended sessions can't be removed now");
        }
        // What this process may not have heard of, it may not have told the shared cache either.
        if !coherence.is_current() {
            continue;
        }
        if let Err(error) = prune(&store).await {
            tracing::warn!(%error, "old invalidations can't be removed now");
        }
    }
}

async fn prune(store: &Store) -> Result<(), StoreError> {
    // Whoever starts next tells the shared cache what is still readable here; so nothing may go of which it has not heard.
    // Another process that removes rows has told all of them itself.
    if store.cache.owed().is_some_and(|owed| owed > 0) {
        return Ok(());
    }
    let kept = i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX);
    let before = clock::now().timestamp_millis() - kept;
    let before = [before.into()];
    if store.db.one(&IS_OLD, &before).await?.is_some() {
        let mut write = store.db.begin().await?;
        write.run(&REMOVE_OLD, &before).await?;
        write.commit().await?;
    }
    Ok(())
}
