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
//! Worked example: [an exchange rate of another service][exchange_rate].
//!
//! [exchange_rate]: https://github.com/tidegate/tidegate/blob/main/examples/exchange_rate/main.rs
//!
//! # Which algorithm
//!
//! | algorithm | maximum admitted in any window `W` (limit `L`) | state of a key | use it for |
//! |---|---|---|---|
//! | [`SlidingWindow`] | `L` | up to 61 segments of 16 bytes | a guarantee that must hold in any window |
//! | [`Windows`] | each quota's own `L` | the sum over its windows | several quotas that apply together: `100/minute; 1000/hour` |
//! | [`SlidingLog`] | `L`, and a charge counts for exactly `W` | 16 bytes for each charge | small limits that must be exact in both directions |
//! | [`SlidingCounter`] | `2 × L - 1`; about `L` if requests are evenly spaced | 24 bytes | many keys, where an approximation is enough |
//! | [`TokenBucket`], [`LeakyBucket::meter`] | `burst + L` | 16 bytes | a steady rate with bursts, very high rates |
//! | [`LeakyBucket::queue`] | `1 + L`, each after its delay | 16 bytes | a steady rate towards a service that cannot handle bursts |
//! | [`FixedWindow`] | `2 × L`; `L` in each window aligned to the epoch | 16 bytes | long quotas with a known reset, such as a day |
//!
//! A [`TenantLimiter`] enforces a tenant's plan. It checks the minute, hour and day quotas in one
//! atomic step, and limits seats. If one of the quotas refuses, none is charged.
//!
//! # Where the states are stored
//!
//! | limiter | tenants | counts | cost of a check |
//! |---|---|---|---|
//!
//! | limiter | tenants | counts | a check costs |
//! |---|---|---|---|
//! | [`MemoryLimiter`] | [`MemoryTenantLimiter`] | in this process, with a cap on keys | a lock |
//! | `RedisLimiter` | `RedisTenantLimiter` | in Redis, for all processes | one script, one round trip |
//! | `LeasedLimiter` | | in Redis; a process admits requests of hot keys from an amount it charged in Redis in advance | a lock for most checks of a hot key |
//! | `FallbackLimiter` | `FallbackTenantLimiter` | in Redis; during an outage in this process, according to an `OutagePolicy` | the same |
//! | [`SingleLimiter`] | | in this process, without keys | no lock |
//!
//! [`Exempt`] adds an allow list and a deny list to a limiter. [`Shadow`] evaluates a limiter
//! without enforcing it. `SharedQuotas` changes quotas on every node. [`Preset`] names common
//! quotas. A [`DenyCache`] answers repeated refusals without a call to its limiter.
//!
//! The limiters that use Redis require the feature `redis`. In Redis each algorithm is a script
//! that makes the same decisions with the same figures as the implementation here, including clock
//! steps and blocks.
//!
//! # Other limiters and detectors
//!
//! | | decides | memory |
//! |---|---|---|
//! | [`FrontDoor`] | which addresses exceed a limit, for any number of addresses: estimates all, counts suspects exactly | fixed: 3 MiB, plus suspects |
//! | [`NewKeys`] | how many unknown keys may reach Redis per second | fixed: 1 MiB |
//! | [`ConcurrencyLimiter`] | how many requests run at once: a fixed number, or as many as the service can handle | a cap on keys |
//! | [`DynamicQuota`] | which share of its quota a limiter applies while the service is unhealthy | one number |
//! | [`AnomalyDetector`] | which keys deviate from their own request history | a cap on keys |
//!
//! The first two are [`Limiter`]s. Put the cheapest check first: front door, new keys, deny cache,
//! Redis, concurrency limiter.
//!
//! # Time
//!
//! Time comes from the injected [`Clock`] and, in Redis, from the server. Its unit is whole
//! microseconds. If the clock is behind a key's last charge by at most one window, the key waits
//! until the clock catches up. Clock jitter therefore never admits more. After a larger step back,
//! the key's usage counts as if it had just been charged, so the key waits for one window at most.
//! A step forward counts as elapsed time.
//!
//! # What it does not guarantee
//!
//! - In memory, nothing is shared or persisted: each process counts for itself, and a restart
//!   clears the counts. `n` processes admit up to `n` times the limit.
//! - In Redis, a charge whose reply is lost is not undone, and a failover loses the writes that the
//!   new primary had not received. There is no cap on keys. During an outage, the processes
//!   together admit what their policies allow. If Redis is only slow for a moment, a process that
//!   gets no reply exceeds a limit by at most its share of the last remaining count that it
//!   received.
//! - If more keys are live than the cap allows, the limiter evicts the keys with the lowest charge,
//!   and these start with an empty state. `evicted_live` counts them. Blocked keys are never
//!   evicted. If blocked keys use up the capacity, new keys are refused with [`CheckError::Full`].
//! - If a clock is moved forward by one window, one window's quota becomes available.
//! - Windows are half-open: two requests exactly one window apart are not in the same window. Times
//!   are those of the decision, not those at which the client sent the request or received the
//!   response.
//!   not those at which the client sent or the response arrived.

mod algorithm;
mod anomaly;
mod block;
mod clock;
mod concurrency;
mod decision;
mod dynamic;
mod error;
#[cfg(feature = "redis")]
mod fallback;
mod front_door;
#[cfg(feature = "tower")]
pub mod headers;
#[cfg(feature = "tower")]
mod identity;
#[cfg(feature = "tower")]
mod layer;
mod limiter;
mod new_keys;
mod presets;
mod quota;
mod quotas;
#[cfg(feature = "redis")]
mod redis;
mod store;
#[cfg(feature = "redis")]
mod tally;
mod tenant;
#[cfg(feature = "tokio")]
mod wait;

pub use algorithm::{
    Algorithm, FixedWindow, FixedWindowState, LeakyBucket, SlidingCounter, SlidingCounterState, SlidingLog,
    SlidingWindow, SlidingWindowState, TokenBucket, TokenBucketState, Windows, WindowsState,
};
pub use anomaly::{AnomalyDetector, AnomalyDetectorBuilder, Flag, Habit};
pub use block::BlockPolicy;
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use concurrency::{
    AcquireError, Concurrency, ConcurrencyLimiter, ConcurrencyLimiterBuilder, ConcurrencyStats, Gradient, Outcome,
    Permit,
};
#[cfg(feature = "tower")]
pub use concurrency::{ConcurrencyLayer, LimitConcurrency};
pub use decision::{Allowance, Decision, Denial};
pub use dynamic::{Adjustment, DynamicQuota, HealthSignal};
pub use error::{CheckError, QuotaError, StoreError, UnknownTier};
#[cfg(feature = "redis")]
pub use fallback::{
    FallbackLimiter, FallbackLimiterBuilder, FallbackTenantLimiter, FallbackTenantLimiterBuilder, LiveProcesses,
    OutagePolicy, SharedLimiter,
};
pub use front_door::{FrontDoor, FrontDoorBuilder};
#[cfg(feature = "tower")]
pub use identity::{
    ByAddress, ByApiKey, ByHeader, ByText, FirstOf, ForwardedHeader, Hashed, Ipv6Prefix, Ipv6PrefixError, KeyExtractor,
    RequestKey, Together, TrustedProxies, TrustedProxiesError, client_address, has_forwarded_header, key_for,
    network_of,
};
#[cfg(feature = "tower")]
pub use layer::{
    ByKey, Charge, Charges, Decisions, GrpcStatus, Policy, ProblemJson, RateLimit, RateLimitLayer, Reject, Rejection,
};
pub use limiter::{
    DenyCache, DenyCacheBuilder, Exempt, KeyLists, Limiter, LimiterStats, Listed, MAX_KEY_BYTES, MemoryLimiter,
    MemoryLimiterBuilder, Shadow, SingleLimiter, TOP_DENIED, Verdict,
};
pub use new_keys::{NewKeys, NewKeysBuilder};
pub use presets::Preset;
pub use quota::Quota;
pub use quotas::{Quotas, QuotasError};
#[cfg(feature = "redis")]
pub use redis::{
    LeasedLimiter, LeasedLimiterBuilder, RedisAlgorithm, RedisLimiter, RedisLimiterBuilder, RedisTenantLimiter,
    RedisTenantLimiterBuilder, UnsupportedAlgorithm,
};
#[cfg(all(feature = "redis", feature = "tokio"))]
pub use redis::{PublishError, SharedQuotas};
pub use tenant::{
    MemoryTenantLimiter, Overrides, SeatDecision, Seats, TenantDecision, TenantLimiter, TenantPlan, TenantState,
    TenantUsage, Tier, TierLimits, WindowDecision, WindowUsage,
};
#[cfg(feature = "tokio")]
pub use wait::{Reservation, WaitError, until_ready};
