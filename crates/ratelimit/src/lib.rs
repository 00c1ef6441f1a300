//! Rate limiting in which each decision is a pure function of `(state, now, cost)`.
//!
//! An [`Algorithm`] makes the decision and has access to neither a clock nor storage. A [`Limiter`]
//! owns the states of many keys, a [`Clock`] and a hard cap on memory. An algorithm can therefore
//! be covered by property tests, replayed on a trace, and moved to another store, and every
//! decision stays the same.
//!
//! ```
//! use std::time::Duration;
//! use tidegate_ratelimit::{
//!     BlockPolicy, Limiter, ManualClock, MemoryLimiter, Quota, SlidingWindow,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let clock = ManualClock::default();
//! let login = MemoryLimiter::builder("login", SlidingWindow::new(Quota::per_minute(5)?))
//!     .block(BlockPolicy::fixed(Duration::from_secs(900)))
//!     .clock(clock.clone())
//!     .build();
//!
//! for _ in 0..5 {
//!     assert!(login.check("alice", 1).await?.is_allowed());
//! }
//! let sixth = login.check("alice", 1).await?;
//! assert!(!sixth.is_allowed());
//! assert_eq!(sixth.retry_after(), Some(Duration::from_secs(900)));
//!
//! clock.advance(Duration::from_secs(900));
//! assert!(login.check("alice", 1).await?.is_allowed());
//! # Ok(())
//! # }
//! ```
//!
//! | feature | adds |
//! |---|---|
//! | `tokio` (default) | `until_ready`: waits until a cost is admitted; reservations |
//! | `tower` (default) | `RateLimitLayer`, the response headers, the client's address behind proxies |
//! | `redis` | limits that many processes share, and what decides during an outage of Redis |
//!
//! | limiter | counts |
//! |---|---|
//! | [`MemoryLimiter`], [`SingleLimiter`] | in this process |
//! | `RedisLimiter`, `LeasedLimiter` | in Redis, for all processes |
//! | `FallbackLimiter` | in Redis; during an outage in this process |
//! | [`TenantLimiter`] | a tenant's minute, hour and day in one step, by [`Tiers`] of your own |
//! | [`ConcurrencyLimiter`] | how many requests run at once |
//! | [`SketchLimiter`], [`NewKeys`] | any number of addresses or keys, in fixed memory |
//!
//! [`Exempt`], [`Shadow`], [`Preset`], [`DenyCache`], [`DynamicQuota`] and [`AnomalyDetector`]
//! build on them. Which algorithm suits which limit, what a check costs, and what is not
//! guaranteed, is [a page of its own][guarantees]. Worked example: [an exchange rate of another
//! service][exchange_rate].
//!
//! [guarantees]: https://github.com/tidegate/tidegate/blob/main/docs/guarantees/ratelimit.md
//! [exchange_rate]: https://github.com/tidegate/tidegate/blob/main/examples/exchange_rate/main.rs

/// The method of a builder that sets its clock, the field at the path.
macro_rules! clock_setter {
    ($($field:ident).+) => {
        /// Sets the clock; the system clock by default.
        #[must_use]
        pub fn clock(mut self, clock: impl Into<$crate::Clock>) -> Self {
            self.$($field).+ = clock.into();
            self
        }
    };
}

mod algorithm;
mod anomaly;
mod block;
mod concurrency;
mod decision;
mod dynamic;
mod error;
#[cfg(feature = "redis")]
mod fallback;
#[cfg(feature = "tower")]
pub mod headers;
#[cfg(feature = "tower")]
mod identity;
mod key;
#[cfg(feature = "tower")]
mod layer;
mod limiter;
#[cfg(feature = "redis")]
mod live;
mod new_keys;
mod presets;
mod quota;
mod quotas;
#[cfg(feature = "redis")]
mod redis;
mod sketch_limiter;
mod stats;
mod store;
#[cfg(feature = "redis")]
mod tally;
mod tenant;
mod timestamp;
#[cfg(feature = "tokio")]
mod wait;

pub use algorithm::{
    Algorithm, FixedWindow, FixedWindowState, LeakyBucket, SlidingCounter, SlidingCounterState, SlidingLog,
    SlidingWindow, SlidingWindowState, TokenBucket, TokenBucketState, Windows, WindowsState,
};
pub use anomaly::{AnomalyDetector, AnomalyDetectorBuilder, Flag, Habit};
pub use block::BlockPolicy;
pub use concurrency::{
    AcquireError, Concurrency, ConcurrencyLimiter, ConcurrencyLimiterBuilder, ConcurrencyStats, Gradient, Outcome,
    Permit,
};
#[cfg(feature = "tower")]
pub use concurrency::{ConcurrencyLayer, LimitConcurrency};
pub use decision::{Allowance, Decision, Denial};
pub use dynamic::{Adjustment, DynamicQuota, HealthSignal};
#[cfg(feature = "redis")]
pub use error::UnsupportedAlgorithm;
pub use error::{CheckError, QuotaError, StoreError, TierError, UnknownTier};
#[cfg(feature = "redis")]
pub use fallback::{
    FallbackBuilder, FallbackLimiter, FallbackLimiterBuilder, FallbackTenantLimiter, FallbackTenantLimiterBuilder,
    OutagePolicy, SharedLimiter,
};
#[cfg(feature = "tower")]
pub use identity::{
    ByAddress, ByApiKey, ByHeader, ByText, FirstOf, ForwardedHeader, Hashed, Ipv6Prefix, Ipv6PrefixError, KeyExtractor,
    RequestKey, Together, TrustedProxies, TrustedProxiesError, client_address, has_forwarded_header, key_for,
    network_of,
};
pub use key::MAX_KEY_BYTES;
#[cfg(feature = "tower")]
pub use layer::{
    ByKey, Charge, Charges, Decisions, GrpcStatus, Policy, ProblemJson, RateLimit, RateLimitLayer, Reject, Rejection,
};
pub use limiter::{
    DenyCache, DenyCacheBuilder, Exempt, InMemory, KeyLists, Limiter, LimiterBuilder, LimiterDecorator, Listed,
    MemoryLimiter, MemoryLimiterBuilder, Shadow, SingleLimiter, Verdict,
};
#[cfg(feature = "redis")]
pub use live::LiveProcesses;
pub use new_keys::{NewKeys, NewKeysBuilder};
pub use presets::Preset;
pub use quota::Quota;
pub use quotas::{Quotas, QuotasError};
#[cfg(feature = "redis")]
pub use redis::{
    InRedis, LeasedLimiter, LeasedLimiterBuilder, RedisAlgorithm, RedisLimiter, RedisLimiterBuilder,
    RedisTenantLimiter, RedisTenantLimiterBuilder,
};
#[cfg(all(feature = "redis", feature = "tokio"))]
pub use redis::{PublishError, SharedQuotas};
pub use sketch_limiter::{SketchLimiter, SketchLimiterBuilder};
pub use stats::{LimiterStats, TOP_DENIED};
pub use tenant::{
    MemoryTenantLimiter, Overrides, SeatDecision, Seats, TenantDecision, TenantLimiter, TenantPlan, TenantState,
    TenantUsage, Tier, TierLimits, Tiers, WindowDecision, WindowUsage,
};
pub use tidegate_clock::{Clock, ManualClock, Source as ClockSource};
pub use timestamp::Timestamp;
#[cfg(feature = "tokio")]
pub use wait::{Reservation, WaitError, until_ready};
