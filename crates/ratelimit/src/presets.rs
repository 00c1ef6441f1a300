//! Quotas and blocks that most services begin with.

use std::time::Duration;

use crate::{BlockPolicy, Quota, QuotaError};

/// A limiter's name with its quota and its block: what the builders of limiters want.
///
/// ```
/// # use tidegate_ratelimit::{MemoryLimiter, Preset, SlidingWindow};
/// let Preset { name, quota, block, .. } = Preset::auth();
/// let login = MemoryLimiter::builder(name, SlidingWindow::new(quota)).block(block).build();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Preset {
    /// What it is called in headers, statistics and keys.
    pub name: &'static str,
    /// How much.
    pub quota: Quota,
    /// How long a client is refused that goes over it: twice as long each time, up to [`BlockPolicy::MAX`]; a strike is
    /// forgotten after each hour without a block.
    pub block: BlockPolicy,
}

const DECAY: Duration = Duration::from_hours(1);

impl Preset {
    /// Requests of an application: 100 a minute, blocked for a minute.
    pub fn api() -> Self {
        Self::of("api", Quota::per_minute(100), Duration::from_mins(1))
    }

    /// Attempts to log in: 5 a minute, blocked for 15 minutes.
    pub fn auth() -> Self {
        Self::of("auth", Quota::per_minute(5), Duration::from_mins(15))
    }

    /// What is expensive to make: 10 an hour, blocked for 5 minutes.
    pub fn report() -> Self {
        Self::of("report", Quota::per_hour(10), Duration::from_mins(5))
    }

    /// Anything from one address: 1,000 a second, blocked for 10 seconds.
    pub fn ddos() -> Self {
        Self::of("ddos", Quota::per_second(1_000), Duration::from_secs(10))
    }

    /// All of them.
    pub fn all() -> [Self; 4] {
        [Self::api(), Self::auth(), Self::report(), Self::ddos()]
    }

    fn of(name: &'static str, quota: Result<Quota, QuotaError>, block: Duration) -> Self {
        let quota = quota.expect("the limits above are neither zero nor too great");
        Self { name, quota, block: BlockPolicy::fixed(block).escalate(BlockPolicy::MAX, DECAY) }
    }
}
