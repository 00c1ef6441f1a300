//! Rate limiting in which the decision is a pure function of `(state, now, cost)`.
//!
//! An [`Algorithm`] decides and knows neither clock nor storage; a [`Limiter`] owns the states of many keys, a
//! [`Clock`] and a hard cap on memory. So every algorithm can be exhausted by property tests, replayed on a
//! trace, and moved to another store without changing one answer.
//!
//! ```
//! use std::time::Duration;
//! use tidegate_ratelimit::{BlockPolicy, Limiter, ManualClock, MemoryLimiter, Quota, SlidingWindow};
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
//! | algorithm | most admitted in any window `W` (limit `L`) | state of a key | choose it for |
//! |---|---|---|---|
//! | [`SlidingWindow`] | `L` | up to 61 segments of 16 bytes | a promise that must hold in any window |
//! | [`Windows`] | of each quota its `L` | that of each window | several quotas that hold together: `100/minute; 1000/hour` |
//! | [`SlidingLog`] | `L`, and a charge counts no longer than `W` | 16 bytes for each charge | small limits that must be exact on both sides |
//! | [`SlidingCounter`] | `2 × L - 1`; about `L` where requests come evenly | 24 bytes | many keys, where about is enough |
//! | [`TokenBucket`], [`LeakyBucket::meter`] | `burst + L` | 16 bytes | a steady rate with bursts, very high rates |
//! | [`LeakyBucket::queue`] | `1 + L`, each after its delay | 16 bytes | a steady rate towards something that bears no bursts |
//! | [`FixedWindow`] | `2 × L`; `L` in each window aligned to the epoch | 16 bytes | long quotas with a known reset, such as a day |
//!
//! A [`TenantLimiter`] holds a tenant to its plan: a minute, an hour and a day in one step, and seats; it charges nothing when one of
//! them refuses.
//!
//! # Where the states lie
//!
//! | limiter | tenants | counts | a check costs |
//! |---|---|---|---|
//! | [`MemoryLimiter`] | [`MemoryTenantLimiter`] | in this process, under a cap on keys | a lock |
//! | `RedisLimiter` | `RedisTenantLimiter` | in Redis, for all processes | one script, one round trip |
//! | `LeasedLimiter` | | in Redis; hot keys are admitted here from what was charged there before | a lock for most checks of a hot key |
//! | `FallbackLimiter` | `FallbackTenantLimiter` | in Redis; in an outage here, as an `OutagePolicy` says | the same |
//! | [`SingleLimiter`] | | in this process, without keys | no lock |
//!
//! [`Exempt`] puts an allow list and a deny list in front of a limiter, [`Shadow`] tries one out, `SharedQuotas` changes quotas
//! on every node, and [`Preset`] names those that most services begin with.
//! A [`DenyCache`] around any of them answers a repeated refusal without asking it.
//!
//! Those with Redis need the feature `redis`. There each algorithm is a script that decides as the one here does: same
//! decisions and figures on the same trace, clock steps and blocks included.
//!
//! # What stands in front, and beside
//!
//! | | answers | memory |
//! |---|---|---|
//! | [`FrontDoor`] | which of any number of addresses is too much: estimates all, counts suspects exactly | fixed: 3 MiB, and suspects |
//! | [`NewKeys`] | how many keys that nobody knows may reach Redis in a second | fixed: 1 MiB |
//! | [`ConcurrencyLimiter`] | how many at a time, fixed or as many as the service bears | a cap on keys |
//! | [`DynamicQuota`] | what part of its quota a limiter applies while the service is ill | one number |
//! | [`AnomalyDetector`] | whose rate leaves its own history | a cap on keys |
//!
//! The first two are [`Limiter`]s. A request goes from the cheap to the dear: front door, new keys, deny cache, Redis, a place among those
//! that are under way.
//!
//! # Time
//!
//! Time comes from the injected [`Clock`], in Redis from the server, in whole microseconds. While a clock stands behind a key's last charge
//! by no more than one window, the key waits for it to catch up, so jitter never admits more. After a larger
//! step back the key keeps its usage as if it had just been charged, so it waits one window at
//! most. A step forward is time passing.
//!
//! # What it does not guarantee
//!
//! - In memory nothing is shared or kept: each process counts for itself and a restart forgets. `n` processes admit up to
//!   `n` times the limit.
//! - In Redis a charge whose reply is lost is not taken back, and a failover forgets what its new
//!   primary had not yet received; there is no cap on keys. In an outage the processes together
//!   admit what their policies do. While Redis is only slow for a moment, a process that gets no
//!   answer exceeds a limit by at most its part of the remaining count that it heard last.
//! - Under more live keys than the cap, the least charged are forgotten and start afresh; `evicted_live` counts
//!   them. Blocked keys are never forgotten; if they fill the room, new keys are refused with
//!   [`CheckError::Full`].
//! - A clock that is moved forward by a window really frees a window's quota.
//! - Windows are half-open: requests exactly one window apart don't share one. Times are those of the decision,
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
