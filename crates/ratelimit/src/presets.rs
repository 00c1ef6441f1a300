//! Common quotas and blocks.

use std::time::Duration;

use crate::{BlockPolicy, Quota, QuotaError};

/// A limiter's name, quota and block: the arguments of a limiter's builder.
///
/// ```
/// # use tidegate_ratelimit::{MemoryLimiter, Preset, SlidingWindow};
/// let Preset { name, quota, block, .. } = Preset::auth();
/// let login = MemoryLimiter::builder(name, SlidingWindow::new(quota)).block(block).build();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Preset {
    /// Name of the limiter in headers, statistics and keys.
    pub name: &'static str,
    /// The quota of each key.
    pub quota: Quota,
    /// Block of a client that exceeds the quota. It doubles each time, up to [`BlockPolicy::MAX`].
    /// One strike expires after each hour without a block.
    pub block: BlockPolicy,
}

const DECAY: Duration = Duration::from_hours(1);

impl Preset {
    /// Requests of an application: 100 per minute, blocked for one minute.
    pub fn api() -> Self {
        Self::of("api", Quota::per_minute(100), Duration::from_mins(1))
    }

    /// Login attempts: 5 per minute, blocked for 15 minutes.
    pub fn auth() -> Self {
        Self::of("auth", Quota::per_minute(5), Duration::from_mins(15))
    }

    /// Requests that are expensive to serve: 10 per hour, blocked for 5 minutes.
    pub fn report() -> Self {
        Self::of("report", Quota::per_hour(10), Duration::from_mins(5))
    }

    /// All requests of one address: 1,000 per second, blocked for 10 seconds.
    pub fn ddos() -> Self {
        Self::of("ddos", Quota::per_second(1_000), Duration::from_secs(10))
    }

    /// All presets.
    pub fn all() -> [Self; 4] {
        [Self::api(), Self::auth(), Self::report(), Self::ddos()]
    }

    fn of(name: &'static str, quota: Result<Quota, QuotaError>, block: Duration) -> Self {
        let quota = quota.expect("the limits above are neither zero nor too great");
        Self { name, quota, block: BlockPolicy::fixed(block).escalate(BlockPolicy::MAX, DECAY) }
    }
}
