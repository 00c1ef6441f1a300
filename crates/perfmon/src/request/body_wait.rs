//! The part of a request's time that is its client's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long a request has waited for body data from its client, on the clock of the registry
/// ([`Registry::now`](crate::Registry::now)).
///
/// A server puts one into the extensions of each request with a body. It calls
/// [`begin`](Self::begin) when a reader finds no data, and [`end`](Self::end) when there is data
/// again. [`PerfLayer`](crate::PerfLayer) subtracts that time from the request's duration, also
/// while it is running, and counts it separately
/// ([`Registry::http_body_wait`](crate::Registry::http_body_wait)). So a slow client does not make
/// the service look slow. Work of the handler during the wait counts as waiting too; work between
/// two pieces does not.
///
/// Clones are of the same request. Costs an atomic load or two at each call.
///
/// ```
/// use std::time::Duration;
/// use tidegate_perfmon::BodyWait;
///
/// let wait = BodyWait::default();
/// wait.begin(Duration::from_secs(3));
/// assert_eq!(wait.until(Duration::from_secs(5)), Duration::from_secs(2));
/// wait.end(Duration::from_secs(10));
/// assert_eq!(wait.until(Duration::from_secs(60)), Duration::from_secs(7));
/// assert!(!wait.is_waiting());
/// ```
#[derive(Debug, Clone, Default)]
pub struct BodyWait(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// Nanoseconds of the waits that have ended.
    ended: AtomicU64,
    /// When the one that is under way began, in nanoseconds and one more; zero where there is none.
    since: AtomicU64,
}

impl BodyWait {
    /// Starts a wait. Does nothing if one is running.
    pub fn begin(&self, now: Duration) {
        if !self.is_waiting() {
            self.0.since.store(nanos(now).saturating_add(1), Ordering::Relaxed);
        }
    }

    /// The wait is over, if there was one.
    pub fn end(&self, now: Duration) {
        let since = self.0.since.swap(0, Ordering::Relaxed);
        if let Some(since) = since.checked_sub(1) {
            self.0.ended.fetch_add(nanos(now).saturating_sub(since), Ordering::Relaxed);
        }
    }

    /// Returns whether a wait is running.
    pub fn is_waiting(&self) -> bool {
        self.0.since.load(Ordering::Relaxed) != 0
    }

    /// All waits until now, with the one that is under way.
    pub fn until(&self, now: Duration) -> Duration {
        // In this order a wait that ends in between is missed for once, rather than counted twice.
        let ended = self.0.ended.load(Ordering::Relaxed);
        let since = self.0.since.load(Ordering::Relaxed).checked_sub(1);
        let running = since.map_or(0, |since| nanos(now).saturating_sub(since));
        Duration::from_nanos(ended.saturating_add(running))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX - 1)
}
