//! The machine's clocks. Only this file of the workspace's libraries reads them for a [`Clock`].
//!
//! [`Clock`]: crate::Clock

use std::time::{Duration, Instant, SystemTime};

/// One origin, on each of the machine's clocks.
#[derive(Clone, Copy)]
pub(crate) struct SystemTimes {
    origin: Instant,
    coarse_origin: coarsetime::Instant,
    unix_origin: Duration,
}

impl SystemTimes {
    #[expect(clippy::disallowed_methods, reason = "the clock that everything else reads")]
    pub(crate) fn start() -> Self {
        Self {
            origin: Instant::now(),
            coarse_origin: coarsetime::Instant::now_without_cache_update(),
            unix_origin: crate::since_epoch(Self::wall()),
        }
    }

    #[inline]
    pub(crate) fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    #[inline]
    pub(crate) fn coarse(&self) -> Duration {
        let now = coarsetime::Instant::now_without_cache_update();
        Duration::from_nanos(now.duration_since(self.coarse_origin).as_nanos())
    }

    #[inline]
    pub(crate) fn steady(&self) -> Duration {
        self.unix_origin.saturating_add(self.now())
    }

    #[expect(clippy::disallowed_methods, reason = "the clock that everything else reads")]
    pub(crate) fn wall() -> SystemTime {
        SystemTime::now()
    }
}
