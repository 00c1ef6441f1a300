//! The only place of the crate that reads time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The source of the registry's time.
pub trait Clock: Send + Sync + 'static {
    /// Monotonic time since an arbitrary origin.
    fn now(&self) -> Duration;

    /// Wall-clock time in milliseconds since the Unix epoch. It is only used as the date of entries
    /// in the slow lists.
    fn unix_millis(&self) -> u64;
}

/// The machine's clock.
#[derive(Debug, Clone)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// A clock whose origin is now.
    #[expect(clippy::disallowed_methods, reason = "the crate's one clock")]
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "the crate's one clock")]
    fn unix_millis(&self) -> u64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A clock that only a test moves; share it through an [`std::sync::Arc`].
///
/// A test sets how long work takes, instead of waiting for it. A handler that moves the clock takes
/// that long:
///
/// ```
/// # #[cfg(feature = "tower")]
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use std::{convert::Infallible, sync::Arc, time::Duration};
/// use http::{Request, Response};
/// use tidegate_perfmon::{ManualClock, PerfLayer, Registry, Window};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// let clock = Arc::new(ManualClock::new());
/// let registry = Registry::builder().clock(Arc::clone(&clock)).build();
/// let handler = service_fn(|_: Request<()>| async {
///     clock.advance(Duration::from_secs(3)); // where the real one would wait
///     Ok::<_, Infallible>(Response::new(()))
/// });
/// fn route(_: &Request<()>) -> Option<&str> {
///     Some("/report")
/// }
/// PerfLayer::new(registry.clone(), route).layer(handler).oneshot(Request::new(())).await.unwrap();
///
/// assert_eq!(registry.slow_calls(1)[0].elapsed, Duration::from_secs(3));
/// registry.tick(registry.now()); // files it, as of the clock's second
/// assert_eq!(registry.overall(Window::Minutes(5)).latency.over[1].count, 1); // over 2 s
/// # });
/// ```
///
/// A real handler is blocked at a lock or a channel of the test while the clock moves.
/// `Registry::spawn_ticks` uses tokio's time and not this clock: tests call
/// [`Registry::tick`](crate::Registry::tick) themselves.
#[derive(Debug, Default)]
pub struct ManualClock {
    nanos: AtomicU64,
}

impl ManualClock {
    /// A clock at zero, which is also its Unix epoch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves the clock forward; it stops at 584 years.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.update(Ordering::Relaxed, Ordering::Relaxed, |now| now.saturating_add(by));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::Relaxed))
    }

    fn unix_millis(&self) -> u64 {
        self.nanos.load(Ordering::Relaxed) / 1_000_000
    }
}

impl<C: Clock + ?Sized> Clock for std::sync::Arc<C> {
    fn now(&self) -> Duration {
        (**self).now()
    }

    fn unix_millis(&self) -> u64 {
        (**self).unix_millis()
    }
}
