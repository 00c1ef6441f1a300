//! The sketch limiter: a limiter with fixed memory for any number of addresses.

mod builder;
mod sketch;
mod watch;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;

pub use builder::SketchLimiterBuilder;

use crate::algorithm::ensure_fits;
use crate::key::ensure_short;
use crate::{
    Allowance, CheckError, Clock, Decision, Limiter, LimiterStats, MemoryLimiter, Quota, QuotaError, Quotas,
    SlidingWindow, Timestamp,
};
use sketch::{MAX_COUNT, Sketch};
use watch::Watch;

/// A [`Limiter`] against floods, for client addresses or any other key. It only estimates most
/// keys, and counts exactly those that may exceed the limit.
///
/// Every key is counted in a count-min sketch over the last one to two periods. A key whose
/// estimate reaches a [share](SketchLimiterBuilder::share) of the limit, 25 % by default, becomes a
/// **suspect**. From then on a [`MemoryLimiter`] with a [`SlidingWindow`] decides on it, and only
/// that limiter refuses and blocks. An estimate alone therefore never blocks a key. A key stops
/// being a suspect after it has stayed below half of that share for two periods.
///
/// ```
/// use tidegate_ratelimit::{SketchLimiter, ManualClock};
///
/// // 1,000 per second, and a block of 10 s for a key that exceeds the limit.
/// let ddos = SketchLimiter::builder("ddos").clock(ManualClock::default()).build();
/// let admitted = (0..5_000)
///     .filter(|_| ddos.check_now("203.0.113.9", 1).is_ok_and(|said| said.is_allowed()))
///     .count();
/// assert_eq!(admitted, 1_249); // 249 before it was a suspect, then its limit
/// assert!(ddos.check_now("198.51.100.4", 1)?.is_allowed());
/// # Ok::<_, tidegate_ratelimit::CheckError>(())
/// ```
///
/// # Bounds
///
/// - **Memory:** 3 MiB from the start with the default options: 4 rows × 65,536 cells × 8 bytes for
///   the sketch, and 131,072 × 8 bytes for the set of suspects. Suspects add about a kilobyte each,
///   8,192 at most: 8 MiB. The number of keys has no influence.
/// - **Admitted** for one key in any period: its limit, plus the share that it used before it
///   became a suspect. A suspect that is evicted because there are more than `max_suspects` starts
///   with an empty state.
/// - **The estimate** is never too low. It is too high by more than `ε × N` with a probability of
///   at most `δ`, where `N` is the total count of the last one to two periods,
///   `ε = e / 65,536 = 0.0000415` and `δ = e⁻⁴ = 1.8 %` (Cormode and Muthukrishnan, *An improved
///   data stream summary: the count-min sketch and its applications*, 2005). Conservative updates
///   (Estan and Varghese, 2002) can only lower it. At 1,000,000 requests per second `ε × N` is 83
///   requests. A key whose estimate is too high is only counted exactly.
/// - **Crafted collisions:** keys are hashed with `SipHash` and a random key, so clients cannot
///   choose addresses that share cells.
///
/// # What it does not guarantee
///
/// - Above about 3,000,000 requests per second in one process, the estimates of light keys also
///   reach the share. They are then counted exactly, and above `max_suspects` only the most charged
///   are kept.
/// - If blocked keys use the whole capacity for suspects, a key that cannot be counted exactly is
///   admitted while its estimate is at most the limit. Above the limit it is refused with
///   [`CheckError::Full`], but not blocked.
/// - `remaining` of a key that is not a suspect is a lower bound, and its `reset_after` is two
///   periods. Its charges cannot be undone by [`reward`](Limiter::reward) or
///   [`reset`](Limiter::reset).
/// - After a change to a quota with another period, the estimates start at zero.
/// - With limits above 67,000,000, a key becomes a suspect at an estimate of 16,777,215.
///
/// # Cost
///
/// [`check_now`](Self::check_now) of a key that is not a suspect takes no lock and allocates
/// nothing. It costs one hash, one read of the clock and access to six memory cells. For a suspect,
/// a check of the [`MemoryLimiter`] is added.
pub struct SketchLimiter {
    rule: ArcSwap<Rule>,
    share: u8,
    clock: Clock,
    hasher: RandomState,
    sketch: Sketch,
    watch: Watch,
    suspects: MemoryLimiter<SlidingWindow>,
    admitted: [Padded; STRIPES],
    failed: AtomicU64,
}

/// Values derived from the quota.
#[derive(Clone, Copy, Debug)]
struct Rule {
    quota: Quota,
    /// The estimate at which a key becomes a suspect.
    threshold: u64,
}

impl Rule {
    fn new(quota: Quota, share: u8) -> Self {
        let threshold = u128::from(quota.limit()) * u128::from(share) / 100;
        let threshold = u64::try_from(threshold).unwrap_or(u64::MAX).clamp(1, u64::from(MAX_COUNT));
        Self { quota: quota.without_burst(), threshold }
    }

    /// Number of the current pane of the sketch. A pane is one period long.
    fn pane(&self, now: Timestamp) -> u16 {
        u16::try_from((now.as_micros() / self.quota.period_micros()) & u64::from(u16::MAX)).unwrap_or(0)
    }

    /// Time for which a key remains a suspect without a new reason.
    fn hold(&self) -> Duration {
        2 * self.quota.period()
    }

    fn allowed(&self, estimate: u64) -> Decision {
        let (quota, limit) = (self.quota, self.quota.limit());
        let reset_after = if estimate > 0 { self.hold() } else { Duration::ZERO };
        let remaining = limit.saturating_sub(estimate);
        Decision::Allowed(Allowance { quota, limit, remaining, reset_after, delay: Duration::ZERO })
    }
}

/// Number of counters, each on its own cache line, so that threads rarely share one.
const STRIPES: usize = 16;

#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded(AtomicU64);

impl SketchLimiter {
    /// Returns a builder with a limit of 1,000 per second and a block of 10 s. `name` appears in
    /// headers and statistics.
    pub fn builder(name: impl Into<String>) -> SketchLimiterBuilder {
        SketchLimiterBuilder::new(name.into())
    }

    fn from_builder(builder: SketchLimiterBuilder) -> Self {
        let SketchLimiterBuilder { name, quota, block, share, max_suspects, clock } = builder;
        let mut suspects = MemoryLimiter::builder(name, SlidingWindow::with_segments(quota, builder::SEGMENTS))
            .max_keys(max_suspects)
            .clock(&clock);
        if let Some(block) = block {
            suspects = suspects.block(block);
        }
        Self {
            rule: ArcSwap::from_pointee(Rule::new(quota, share)),
            share,
            clock,
            hasher: RandomState::new(),
            sketch: Sketch::new(),
            watch: Watch::new(max_suspects),
            suspects: suspects.build(),
            admitted: Default::default(),
            failed: AtomicU64::new(0),
        }
    }

    /// Same as [`check`](Limiter::check), without a future. Takes no lock and allocates nothing,
    /// unless the key is a suspect.
    ///
    /// # Errors
    /// As [`check`](Limiter::check).
    pub fn check_now(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        let result = self.decide(key, cost);
        if result.is_err() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    fn decide(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        ensure_short(key)?;
        let rule = **self.rule.load();
        ensure_fits(cost, rule.quota.limit())?;
        let (now, hash) = (Timestamp::now(&self.clock), self.hasher.hash_one(key));
        if self.watch.holds(hash, now) {
            match self.suspects.check_now(key, cost) {
                Err(CheckError::Full { .. }) => {}
                result => {
                    let decision = result?;
                    self.watch_on(&rule, hash, now, &decision);
                    return Ok(decision);
                }
            }
        }
        let estimate = self.sketch.add(Sketch::spot(hash), rule.pane(now), cost);
        if estimate < rule.threshold {
            return Ok(self.admit(&rule, hash, estimate));
        }
        match self.suspects.check_now(key, cost) {
            Err(CheckError::Full { .. }) if estimate <= rule.quota.limit() => Ok(self.admit(&rule, hash, estimate)),
            result => {
                let decision = result?;
                self.hold(&rule, hash, now, &decision);
                Ok(decision)
            }
        }
    }

    fn admit(&self, rule: &Rule, hash: u64, estimate: u64) -> Decision {
        let stripe = usize::try_from(hash >> 60).unwrap_or(0) % STRIPES;
        self.admitted[stripe].0.fetch_add(1, Ordering::Relaxed);
        rule.allowed(estimate)
    }

    /// Extends the time of a suspect that still has a high usage.
    ///
    /// Requests alone are not a reason: a key that only appears to be a suspect would otherwise
    /// remain one, and their number would grow.
    fn watch_on(&self, rule: &Rule, hash: u64, now: Timestamp, decision: &Decision) {
        let used = decision.limit() - decision.remaining().min(decision.limit());
        if !decision.is_allowed() || used > rule.threshold / 2 {
            self.hold(rule, hash, now, decision);
        }
    }

    fn hold(&self, rule: &Rule, hash: u64, now: Timestamp, decision: &Decision) {
        let length = decision.blocked_for().unwrap_or_default().max(rule.hold());
        self.watch.hold(hash, now, length);
    }

    /// Marks a key as a suspect because the caller names it.
    fn name_suspect(&self, key: &str, length: Duration) {
        let hold = self.rule.load().hold();
        self.watch.hold(self.hasher.hash_one(key), Timestamp::now(&self.clock), length.max(hold));
    }
}

#[async_trait]
impl Limiter for SketchLimiter {
    fn name(&self) -> &str {
        self.suspects.name()
    }

    fn quota(&self) -> Quota {
        self.rule.load().quota
    }

    fn quotas(&self) -> Quotas {
        self.suspects.quotas()
    }

    fn accepts(&self, quota: Quota) -> Result<(), QuotaError> {
        self.suspects.accepts(quota)
    }

    fn set_quota(&self, quota: Quota) -> Result<(), QuotaError> {
        self.suspects.set_quota(quota)?;
        self.rule.store(Rule::new(quota, self.share).into());
        Ok(())
    }

    async fn check(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        self.check_now(key, cost)
    }

    async fn peek(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        ensure_short(key)?;
        let rule = **self.rule.load();
        ensure_fits(cost, rule.quota.limit())?;
        let (now, hash) = (Timestamp::now(&self.clock), self.hasher.hash_one(key));
        let estimate = self.sketch.estimate(Sketch::spot(hash), rule.pane(now));
        if self.watch.holds(hash, now) || estimate.saturating_add(cost) >= rule.threshold {
            return self.suspects.peek(key, cost).await;
        }
        Ok(rule.allowed(estimate))
    }

    /// The key becomes a suspect.
    async fn penalty(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        let decision = self.suspects.penalty(key, cost).await?;
        self.name_suspect(key, decision.blocked_for().unwrap_or_default());
        Ok(decision)
    }

    /// Refunds only charges of a suspect.
    async fn reward(&self, key: &str, amount: u64) -> Result<Decision, CheckError> {
        self.suspects.reward(key, amount).await
    }

    /// Resets a suspect, which remains one for a while. Returns whether the key was one.
    async fn reset(&self, key: &str) -> Result<bool, CheckError> {
        self.suspects.reset(key).await
    }

    async fn block(&self, key: &str, duration: Duration) -> Result<(), CheckError> {
        self.suspects.block(key, duration).await?;
        self.name_suspect(key, duration);
        Ok(())
    }

    async fn unblock(&self, key: &str) -> Result<bool, CheckError> {
        self.suspects.unblock(key).await
    }

    /// Checks of all keys. `tracked_keys`, `blocked_keys`, `evicted_live` and `top_denied` include
    /// only suspects.
    fn stats(&self) -> LimiterStats {
        let admitted: u64 = self.admitted.iter().map(|stripe| stripe.0.load(Ordering::Relaxed)).sum();
        let suspects = self.suspects.stats();
        let failed = self.failed.load(Ordering::Relaxed);
        LimiterStats { allowed: suspects.allowed + admitted, failed, ..suspects }
    }
}

impl fmt::Debug for SketchLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SketchLimiter")
            .field("share", &self.share)
            .field("suspects", &self.suspects)
            .finish_non_exhaustive()
    }
}
