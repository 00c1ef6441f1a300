//! Detects connections that may be lost although no statement has failed on them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, Error};
use tokio::time::{Instant, timeout};

/// A connection that was unused for this long is pinged before it is used.
const UNUSED: Duration = Duration::from_secs(30);
/// Timeout of the ping.
const THERE: Duration = Duration::from_secs(1);

/// Time at which a connection was last found lost. Connections that were idle at that time may be
/// lost too.
#[derive(Debug, Clone)]
pub(super) struct LastLoss {
    zero: Instant,
    /// Milliseconds since `zero`, plus one. 0 means never.
    last: Arc<AtomicU64>,
}

impl LastLoss {
    pub(super) fn new() -> Self {
        Self { zero: Instant::now(), last: Arc::default() }
    }

    pub(super) fn note(&self) {
        self.last.fetch_max(self.now().saturating_add(1), Ordering::Relaxed);
    }

    /// Makes a pool ping connections that may be lost before it hands them out.
    pub(super) fn guard(&self, pool: PgPoolOptions) -> PgPoolOptions {
        let losses = self.clone();
        pool.before_acquire(move |connection, idle| {
            let may_be_lost = idle.idle_for > UNUSED || losses.may_have_hit(idle.idle_for);
            Box::pin(async move {
                if may_be_lost {
                    let there = timeout(THERE, connection.ping()).await;
                    there.unwrap_or(Err(Error::PoolTimedOut))?;
                }
                Ok(true)
            })
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.zero.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether a connection that was idle for `idle` may be lost.
    fn may_have_hit(&self, idle: Duration) -> bool {
        let idle_since = self.now().saturating_sub(u64::try_from(idle.as_millis()).unwrap_or(u64::MAX));
        self.last.load(Ordering::Relaxed) > idle_since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn connections_that_were_idle_when_one_was_lost_are_suspected() {
        let losses = LastLoss::new();
        assert!(!losses.may_have_hit(Duration::from_secs(10)));
        tokio::time::advance(Duration::from_secs(60)).await;
        losses.note();
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(losses.may_have_hit(Duration::from_secs(6)));
        assert!(!losses.may_have_hit(Duration::from_secs(4)));
    }
}
