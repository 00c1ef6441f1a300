//! A limiter for all nodes, with a sketch in front for keys that Redis should not see.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use tidegate_ratelimit::{
    CheckError, Decision, Denial, Limiter, LimiterStats, NewKeys, Quota, QuotaError, SketchLimiter,
};

/// Asks the inner limiter, which counts and blocks for all nodes. The sketch decides about new keys
/// beyond the inner limiter's cap, in fixed memory.
///
/// Only one of the two decides about a request, so that a refusal also holds for the next request.
/// A key that the sketch refuses is handed over. From then on its block, the end of the block and a
/// reset apply on every node. Until then the sketch may have admitted up to its limit in addition.
pub(super) struct Guarded<L> {
    sketch: SketchLimiter,
    inner: NewKeys<L>,
    /// Refusals that the inner limiter has not counted.
    refused: AtomicU64,
}

impl<L: Limiter> Guarded<L> {
    /// The sketch must not have blocks, because the inner limiter has them.
    pub(super) fn new(sketch: SketchLimiter, inner: NewKeys<L>) -> Self {
        Self { sketch, inner, refused: AtomicU64::new(0) }
    }

    /// A key over the limit of the sketch is handed to the inner limiter, which blocks it and
    /// counts the violation. An earlier block stays.
    async fn hand_over(&self, key: &str, cost: u64, denial: Denial) -> Decision {
        self.inner.know(key);
        // Transfers what was admitted here, so that the next check exceeds the limit there too.
        if self.inner.penalty(key, denial.limit).await.is_ok()
            && let Some(Ok(denied @ Decision::Denied(_))) = self.inner.check_unless_capped(key, cost).await
        {
            // Otherwise the sketch's count would outlast a reset on another node.
            let _ = self.sketch.reset(key).await;
            return denied;
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        Decision::Denied(denial)
    }
}

#[async_trait]
impl<L: Limiter> tidegate_ratelimit::LimiterDecorator for Guarded<L> {
    type Inner = NewKeys<L>;

    fn inner(&self) -> &NewKeys<L> {
        &self.inner
    }

    fn accepts(&self, quota: Quota) -> Result<(), QuotaError> {
        Limiter::accepts(&self.inner, quota)?;
        self.sketch.accepts(quota)
    }

    fn set_quota(&self, quota: Quota) -> Result<(), QuotaError> {
        Limiter::set_quota(&self.inner, quota)?;
        self.sketch.set_quota(quota)
    }

    async fn check(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        match self.inner.check_unless_capped(key, cost).await {
            Some(result) => result,
            None => match self.sketch.check_now(key, cost)? {
                Decision::Denied(denial) => Ok(self.hand_over(key, cost, denial).await),
                allowed => Ok(allowed),
            },
        }
    }

    async fn reset(&self, key: &str) -> Result<bool, CheckError> {
        let here = self.sketch.reset(key).await?;
        Ok(Limiter::reset(&self.inner, key).await? || here)
    }

    /// Returns the figures of the inner limiter, plus those that only the sketch admitted and
    /// refused.
    fn stats(&self) -> LimiterStats {
        let (mut stats, sketch) = (Limiter::stats(&self.inner), self.sketch.stats());
        stats.allowed += sketch.allowed;
        stats.denied += self.refused.load(Ordering::Relaxed);
        stats.failed += sketch.failed;
        stats
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidegate_ratelimit::{BlockPolicy, ManualClock, MemoryLimiter, SlidingWindow};

    use super::*;

    const BLOCK: Duration = Duration::from_secs(10);

    type Inner = MemoryLimiter<SlidingWindow>;

    /// An inner limiter of ten per second, with one new key per second.
    fn guarded(clock: &ManualClock) -> Guarded<Inner> {
        let quota: Quota = "10/second".parse().unwrap();
        let sketch = SketchLimiter::builder("ddos").quota(quota).without_block().clock(clock.clone()).build();
        let inner = MemoryLimiter::builder("ddos", SlidingWindow::new(quota));
        let inner = inner.block(BlockPolicy::fixed(BLOCK)).clock(clock.clone()).build();
        Guarded::new(sketch, NewKeys::builder(inner, 1).unwrap().clock(clock.clone()).build())
    }

    async fn is_allowed(guarded: &Guarded<Inner>, key: &str) -> bool {
        guarded.check(key, 1).await.unwrap().is_allowed()
    }

    #[tokio::test]
    async fn the_sketch_serves_new_keys_beyond_the_cap_and_hands_a_flooding_one_over() {
        let clock = ManualClock::default();
        let guarded = guarded(&clock);
        for number in 0..1_000 {
            assert!(is_allowed(&guarded, &format!("newcomer {number}")).await);
        }
        assert_eq!(guarded.inner.stats().tracked_keys, 1, "the cap holds");
        let mut admitted = 0;
        while is_allowed(&guarded, "flood").await {
            admitted += 1;
        }
        assert!((10..=13).contains(&admitted), "{admitted}");
        // From here on the inner limiter decides: each refusal reports the block, and is listed.
        for passed in 1..10 {
            clock.advance(Duration::from_secs(1));
            let left = guarded.check("flood", 1).await.unwrap().blocked_for();
            assert_eq!(left, Some(BLOCK - Duration::from_secs(passed)));
        }
        assert_eq!(guarded.stats().top_denied, [("flood".to_owned(), 10)]);
        assert_eq!((guarded.stats().allowed, guarded.stats().denied), (1_000 + admitted, 10));
        clock.advance(Duration::from_secs(1));
        assert!(is_allowed(&guarded, "flood").await);
    }

    #[tokio::test]
    async fn the_sketch_does_not_shorten_a_block_of_another_node() {
        let clock = ManualClock::default();
        let guarded = guarded(&clock);
        assert!(is_allowed(&guarded, "the key that takes the only place").await);
        while is_allowed(&guarded, "flood").await {}
        guarded.inner.inner().block("flood", Duration::from_secs(3_600)).await.unwrap();
        let denial = Denial {
            quota: guarded.quota(),
            limit: 10,
            remaining: 0,
            reset_after: Duration::ZERO,
            retry_after: Duration::from_secs(1),
            blocked_for: None,
        };
        let said = guarded.hand_over("flood", 1, denial).await;
        assert_eq!(said.blocked_for(), Some(Duration::from_secs(3_600)));
    }

    #[tokio::test]
    async fn what_another_node_resets_does_not_go_on_at_the_door() {
        let clock = ManualClock::default();
        let guarded = guarded(&clock);
        assert!(is_allowed(&guarded, "the key that takes the only place").await);
        while is_allowed(&guarded, "flood").await {}
        // As another node does it. The sketch here does not see that.
        assert!(guarded.inner.inner().reset("flood").await.unwrap());
        assert!(is_allowed(&guarded, "flood").await);
    }
}
