//! The limits that health is judged by.

use std::time::Duration;

use crate::figure::latency::share;
use crate::health::reading::Reading;
use crate::time::window::Window;

/// From here on durations share one bucket, so that a limit there could never be seen exceeded.
const LONGEST: Duration = Duration::from_secs(137);
/// Each is one more pass over the endpoints.
const MOST_RECENT: usize = 4;

/// The limits of the built-in readings, and of those that the application gives.
///
/// The limits of each [`Kind`](crate::Kind) are those of
/// [`RegistryBuilder::slow_operation`](crate::RegistryBuilder::slow_operation).
#[derive(Debug, Clone, PartialEq)]
pub struct HealthConfig {
    /// The window they look at; 5 minutes.
    pub window: Window,
    /// Shorter windows beside it, in which a sudden breach shows sooner; about 2 s, 11 s and 61 s.
    /// A short window counts only if it is worse, has enough samples, and chance does not explain
    /// the excess. Windows that are not shorter than `window` are ignored.
    pub recent: Vec<Window>,
    /// Share of 5xx among all responses; 0.05.
    pub error_rate: f64,
    /// Share of requests whose client left before a response; 0.2. If handlers hang, clients leave
    /// before any request is slow or fails.
    pub aborted: f64,
    /// 99th percentile of all responses; 5 s.
    pub p99: Duration,
    /// 95th percentile of the slowest endpoint; 2 s.
    pub slow_api: Duration,
    /// 95th percentile of the slowest database operation; 1 s.
    pub slow_query: Duration,
    /// Share of a pool's connections that are in use, for [`pool`](Self::pool); 0.8.
    pub pool_in_use: f64,
    /// The longest acceptable wait for a connection, for [`pool_wait`](Self::pool_wait); 1 s.
    pub pool_wait: Duration,
    /// The wait for a connection that means that the pool is stuck, for
    /// [`pool_stuck`](Self::pool_stuck); 5 s.
    pub pool_stuck: Duration,
    /// The share of a cache's lookups that should hit, for [`cache_hits`](Self::cache_hits); 0.8.
    pub hit_rate: f64,
    /// With fewer samples a reading is unknown; 20.
    pub min_samples: u64,
    /// A reading that was [taken](Reading::taken_ago) longer ago is unknown; 15 s.
    pub stale_after: Duration,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self {
            window: Window::Minutes(5),
            recent: [1, 10, 60].map(Window::Seconds).to_vec(),
            error_rate: 0.05,
            aborted: 0.2,
            p99: Duration::from_secs(5),
            slow_api: Duration::from_secs(2),
            slow_query: Duration::from_secs(1),
            pool_in_use: 0.8,
            pool_wait: Duration::from_secs(1),
            pool_stuck: Duration::from_secs(5),
            hit_rate: 0.8,
            min_samples: 20,
            stale_after: Duration::from_secs(15),
        }
    }
}

/// Which limit can't serve, and why.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HealthConfigError {
    /// A share that is none, or at which nothing could ever be exceeded.
    #[error("`{setting}` is a share {range}, not {given}")]
    Share {
        /// The field of [`HealthConfig`].
        setting: &'static str,
        /// The given value.
        given: f64,
        /// The allowed range.
        range: &'static str,
    },
    /// A duration that is zero, or beyond what is measured.
    #[error("`{setting}` is above 0 s and at most 137 s, not {given:?}")]
    Duration {
        /// The field of [`HealthConfig`].
        setting: &'static str,
        /// The given value.
        given: Duration,
    },
    /// A number that is zero: of samples, that would call silence healthy.
    #[error("`{setting}` is at least 1")]
    Zero {
        /// The field of [`HealthConfig`].
        setting: &'static str,
    },
    /// Too many short windows.
    #[error("`recent` takes at most 4 windows, not {given}")]
    Windows {
        /// How many it was given.
        given: usize,
    },
}

impl HealthConfig {
    /// Checks that every limit can be used. A registry accepts any limits, and reports as unknown
    /// what it cannot judge by them. Call this when settings are read.
    ///
    /// # Errors
    ///
    /// The first limit that can't.
    pub fn check(&self) -> Result<(), HealthConfigError> {
        let share = |setting, given: f64, is_fit, range| {
            if is_fit { Ok(()) } else { Err(HealthConfigError::Share { setting, given, range }) }
        };
        share("error_rate", self.error_rate, self.error_rate > 0.0 && self.error_rate < 1.0, "above 0 and below 1")?;
        share("aborted", self.aborted, self.aborted > 0.0 && self.aborted < 1.0, "above 0 and below 1")?;
        share(
            "pool_in_use",
            self.pool_in_use,
            self.pool_in_use > 0.0 && self.pool_in_use < 1.0,
            "above 0 and below 1",
        )?;
        share("hit_rate", self.hit_rate, self.hit_rate > 0.0 && self.hit_rate < 1.0, "above 0 and below 1")?;
        for (setting, given) in [
            ("p99", self.p99),
            ("slow_api", self.slow_api),
            ("slow_query", self.slow_query),
            ("pool_wait", self.pool_wait),
            ("pool_stuck", self.pool_stuck),
        ] {
            if given.is_zero() || given > LONGEST {
                return Err(HealthConfigError::Duration { setting, given });
            }
        }
        for (setting, is_zero) in [("min_samples", self.min_samples == 0), ("stale_after", self.stale_after.is_zero())]
        {
            if is_zero {
                return Err(HealthConfigError::Zero { setting });
            }
        }
        match self.recent.len() {
            0..=MOST_RECENT => Ok(()),
            given => Err(HealthConfigError::Windows { given }),
        }
    }

    /// The reading `pool_in_use`: share of a pool's `max` connections that are in use, exceeded
    /// above [`pool_in_use`](Self::pool_in_use).
    pub fn pool(&self, pool: &str, in_use: u64, max: u64) -> Reading {
        Reading::new("pool_in_use", share(in_use, max), self.pool_in_use)
            .subject("share of connections in use")
            .share()
            .detail(format!("{in_use} of {max} connections of {pool}"))
    }

    /// The reading `pool_wait`: how long the longest waiting caller has waited for a connection.
    /// The share of connections in use says little about a pool with only one.
    pub fn pool_wait(&self, longest: Duration) -> Reading {
        Reading::new("pool_wait", longest.as_secs_f64(), self.pool_wait.as_secs_f64())
            .subject("longest current wait for a connection")
            .unit("s")
    }

    /// The reading `pool_stuck` (critical): the same wait against a longer limit. Beyond it, the
    /// work that holds the connections hangs. No caller that needs a connection ends, so neither
    /// errors nor latencies show it yet.
    pub fn pool_stuck(&self, longest: Duration) -> Reading {
        Reading::new("pool_stuck", longest.as_secs_f64(), self.pool_stuck.as_secs_f64())
            .subject("longest current wait for a connection")
            .unit("s")
            .critical()
    }

    /// The reading `cache_misses`: the share of misses, exceeded when fewer lookups hit than
    /// [`hit_rate`](Self::hit_rate) asks for; exactly that many suffice.
    pub fn cache_hits(&self, hits: u64, lookups: u64) -> Reading {
        let misses = lookups.saturating_sub(hits);
        // 1 − 0.8 is a hair below 0.2, and 20 misses of 100 would exceed it.
        let threshold = ((1.0 - self.hit_rate) * 1e9).round() / 1e9;
        Reading::new("cache_misses", share(misses, lookups), threshold)
            .subject("share of cache misses")
            .share()
            .samples(lookups)
            .detail(format!("{hits} of {lookups} lookups hit"))
    }

    /// The short windows that are shorter than the long one.
    pub(crate) fn recent_windows(&self) -> impl Iterator<Item = Window> + '_ {
        self.recent.iter().copied().filter(|recent| recent.longest() < self.window.longest())
    }
}
