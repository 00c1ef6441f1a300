//! The front door: in fixed memory, whatever the number of addresses that knock.

mod builder;
mod sketch;
mod watch;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;

pub use builder::FrontDoorBuilder;

use crate::algorithm::ensure_fits;
use crate::limiter::ensure_short;
use crate::{
    Allowance, CheckError, Clock, Decision, Limiter, LimiterStats, MemoryLimiter, Quota, QuotaError, Quotas,
    SlidingWindow, Timestamp,
};
use sketch::{MAX_COUNT, Sketch};
use watch::Watch;

/// A [`Limiter`] against floods, for the addresses of clients or any other key: what most keys cost is an estimate, and only
/// those that may be heavy are counted exactly.
///
/// Every key is counted in a count-min sketch over the last one to two periods. A key whose estimate reaches a
/// [share](FrontDoorBuilder::share) of the limit, a quarter unless set, is a **suspect**: from then on a [`MemoryLimiter`] with a
/// [`SlidingWindow`] decides over it, and only that one refuses and blocks. So an estimate alone never blocks anybody. Who
/// stays below half of that share for two periods is let go again.
///
/// ```
/// use tidegate_ratelimit::{FrontDoor, ManualClock};
///
/// // 1,000 a second, and 10 s of block for who goes over it.
/// let door = FrontDoor::builder("ddos").clock(ManualClock::default()).build();
/// let admitted = (0..5_000).filter(|_| door.check_now("203.0.113.9", 1).is_ok_and(|said| said.is_allowed())).count();
/// assert_eq!(admitted, 1_249); // 249 before it was a suspect, then its limit
/// assert!(door.check_now("198.51.100.4", 1)?.is_allowed());
/// # Ok::<_, tidegate_ratelimit::CheckError>(())
/// ```
///
/// # Bounds
///
/// - **Memory:** 3 MiB from the start with the options unset: 4 rows × 65,536 cells × 8 bytes of the sketch, and 131,072 × 8
///   bytes that say who is a suspect. Suspects come on top, about a kilobyte each, 8,192 at most: 8 MiB. The number of keys
///   plays no part.
/// - **Admitted** to one key in any period: its limit, and the share before it became a suspect. A suspect that is forgotten
///   because there are more than `max_suspects` starts afresh.
/// - **The estimate** is never too low. It is too high by more than `ε × N` with a probability of at most `δ`, where `N` is all that
///   was counted in the last one to two periods, `ε = e / 65,536 = 0.0000415` and `δ = e⁻⁴ = 1.8 %` (Cormode and Muthukrishnan, *An
///   improved data stream summary: the count-min sketch and its applications*, 2005); conservative updates (Estan and Varghese,
///   2002) only lower it. At 1,000,000 requests a second that is 83. Too high means counted exactly, no more.
/// - **Crafted collisions:** keys are hashed with `SipHash` under a random key, so nobody can choose addresses that share cells.
///
/// # What it does not guarantee
///
/// - Above some 3,000,000 requests a second in one process, estimates of light keys reach the share too: they are counted exactly,
///   and then the most charged of them are remembered.
/// - Where every place of a suspect is held by a blocked key, one that can't be counted exactly is admitted while its estimate
///   is below the limit, and refused with [`CheckError::Full`] above; still it isn't blocked.
/// - `remaining` of a key that is no suspect is a lower bound, its `reset_after` two periods; what was charged to it can't be taken
///   back by [`reward`](Limiter::reward) or [`reset`](Limiter::reset).
/// - A quota with another period begins to estimate afresh.
/// - Limits above 67,000,000 make suspects at 16,777,215.
///
/// # Cost
///
/// [`check_now`](Self::check_now) of a key that is no suspect takes no lock and allocates nothing: one hash, the clock, six cells of
/// memory. That of a suspect costs a check of the [`MemoryLimiter`] more.
pub struct FrontDoor {
    rule: ArcSwap<Rule>,
    share: u8,
    clock: Arc<dyn Clock>,
    hasher: RandomState,
    sketch: Sketch,
    watch: Watch,
    suspects: MemoryLimiter<SlidingWindow>,
    admitted: [Padded; STRIPES],
    failed: AtomicU64,
}

/// What follows from the quota.
#[derive(Clone, Copy, Debug)]
struct Rule {
    quota: Quota,
    /// The estimate that makes a suspect.
    threshold: u64,
}

impl Rule {
    fn new(quota: Quota, share: u8) -> Self {
        let threshold = u128::from(quota.limit()) * u128::from(share) / 100;
        let threshold = u64::try_from(threshold).unwrap_or(u64::MAX).clamp(1, u64::from(MAX_COUNT));
        Self { quota: quota.without_burst(), threshold }
    }

    /// The number of the pane of the sketch, which is one period long.
    fn pane(&self, now: Timestamp) -> u16 {
        u16::try_from((now.as_micros() / self.quota.period_micros()) & u64::from(u16::MAX)).unwrap_or(0)
    }

    /// How long a suspect stays one without giving new reason.
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

/// Counters of their own cache lines: threads that admit different keys seldom share one.
const STRIPES: usize = 16;

#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded(AtomicU64);

impl FrontDoor {
    /// Starts a front door of 1,000 a second with a block of 10 s; `name` appears in headers and statistics.
    pub fn builder(name: impl Into<String>) -> FrontDoorBuilder {
        FrontDoorBuilder::new(name.into())
    }

    fn from_builder(builder: FrontDoorBuilder) -> Self {
        let FrontDoorBuilder { name, quota, block, share, max_suspects, clock } = builder;
        let mut suspects = MemoryLimiter::builder(name, SlidingWindow::with_segments(quota, builder::SEGMENTS))
            .max_keys(max_suspects)
            .clock(clock.clone());
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

    /// As [`check`](Limiter::check), without a future and, unless the key is a suspect, without a lock or an allocation.
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
        let (now, hash) = (self.clock.now(), self.hasher.hash_one(key));
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

    /// Keeps a suspect that still gives reason to be one.
    ///
    /// A key that only seems to be a suspect gives none by coming, or those would become more and more.
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

    /// Makes a suspect of a key that somebody speaks of.
    fn name_suspect(&self, key: &str, length: Duration) {
        let hold = self.rule.load().hold();
        self.watch.hold(self.hasher.hash_one(key), self.clock.now(), length.max(hold));
    }
}

#[async_trait]
impl Limiter for FrontDoor {
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
        let (now, hash) = (self.clock.now(), self.hasher.hash_one(key));
        let estimate = self.sketch.estimate(Sketch::spot(hash), rule.pane(now));
        if self.watch.holds(hash, now) || estimate.saturating_add(cost) >= rule.threshold {
            return self.suspects.peek(key, cost).await;
        }
        Ok(rule.allowed(estimate))
    }

    /// The key is a suspect from now on.
    async fn penalty(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        let decision = self.suspects.penalty(key, cost).await?;
        self.name_suspect(key, decision.blocked_for().unwrap_or_default());
        Ok(decision)
    }

    /// Only what a suspect was charged can be taken back.
    async fn reward(&self, key: &str, amount: u64) -> Result<Decision, CheckError> {
        self.suspects.reward(key, amount).await
    }

    /// A suspect begins afresh and remains one for a while. Returns whether the key was one.
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

    /// Checks of all keys; `tracked_keys`, `blocked_keys`, `evicted_live` and `top_denied` are those of the suspects.
    fn stats(&self) -> LimiterStats {
        let admitted: u64 = self.admitted.iter().map(|stripe| stripe.0.load(Ordering::Relaxed)).sum();
        let suspects = self.suspects.stats();
        let failed = self.failed.load(Ordering::Relaxed);
        LimiterStats { allowed: suspects.allowed + admitted, failed, ..suspects }
    }
}

impl fmt::Debug for FrontDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrontDoor")
            .field("share", &self.share)
            .field("suspects", &self.suspects)
            .finish_non_exhaustive()
    }
}
