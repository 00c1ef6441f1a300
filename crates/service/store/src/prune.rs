//! Removes invalidations that every running process has read, and expired sessions.

use std::time::Duration;

use tidegate_base::clock;
use tokio_util::sync::CancellationToken;

use super::sql::invalidations::{IS_OLD, REMOVE_OLD};
use super::{Coherence, Store, StoreError};

/// How long an invalidation is kept. A process that was suspended for longer finds a gap and clears
/// its cache.
const KEPT: Duration = Duration::from_secs(600);
const PERIOD: Duration = Duration::from_secs(60);

/// Prunes every minute, until `shutdown`. It is a separate task, since it waits for other writers
/// and no reader may wait for them.
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
        // A change that this process may have missed is possibly missing in the shared cache too.
        if !coherence.is_current() {
            continue;
        }
        if let Err(error) = prune(&store).await {
            tracing::warn!(%error, "old invalidations can't be removed now");
        }
    }
}

async fn prune(store: &Store) -> Result<(), StoreError> {
    // The next process that starts sends the remaining rows to the shared cache. So no row may be
    // removed that the shared cache has not received. Another process that removes rows has sent
    // all of them itself.
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
