//! A limiter for one process.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;

#[cfg(feature = "redis")]
use super::seed::Learn;
use super::seed::Seed;
use super::{InMemory, Limiter, MemoryLimiterBuilder};
use crate::algorithm::ensure_fits;
use crate::block::Block;
use crate::key::ensure_short;
use crate::store::{Standing, Store};
use crate::{Algorithm, BlockPolicy, CheckError, Clock, Decision, LimiterStats, Quota, QuotaError, Quotas, Timestamp};

/// A [`Limiter`] that keeps the states of at most `max_keys` keys in memory.
///
/// At the cap, a new key replaces an expired one, otherwise the live one with the fewest strikes
/// and the least usage. Blocked keys are kept. A check holds one shard's lock during the decision.
/// It allocates only for a new key and for the trait's boxed future.
///
/// A change of the quota converts all keys, one shard at a time, with that shard locked. With
/// 100,000 keys a shard has about 1,500, which takes microseconds.
pub struct MemoryLimiter<A: Algorithm> {
    name: String,
    /// Returned by [`Limiter::quota`] without a lock. Each shard has its own algorithm.
    quota: ArcSwap<Quota>,
    /// Locked during a change of the quota, so that changes are sequential.
    changes: Mutex<A>,
    policy: Option<BlockPolicy>,
    clock: Clock,
    store: Store<Entry<A::State>, A>,
}

struct Entry<S> {
    state: S,
    block: Block,
    /// Number of refusals, saturating.
    denied: u32,
}

impl<S> Entry<S> {
    fn new<A: Algorithm<State = S>>(algorithm: &A, now: Timestamp) -> Self {
        Self { state: algorithm.initial(now), block: Block::default(), denied: 0 }
    }

    /// Replaces the usage with the seed. The block is kept.
    #[inline]
    fn seed<A: Algorithm<State = S>>(&mut self, algorithm: &A, seed: Option<Seed>) {
        if let Some(Seed { used, date }) = seed {
            self.state = algorithm.initial(date);
            algorithm.penalty(&mut self.state, date, used);
        }
    }
}

impl<A: Algorithm> MemoryLimiter<A> {
    /// Returns a builder for a limiter that applies `algorithm` to each key. `name` appears in
    /// headers and statistics.
    pub fn builder(name: impl Into<String>, algorithm: A) -> MemoryLimiterBuilder<A> {
        MemoryLimiterBuilder::new(name.into(), algorithm, InMemory::new())
    }

    pub(super) fn from_builder(builder: MemoryLimiterBuilder<A>) -> Self {
        let MemoryLimiterBuilder { name, algorithm, policy, states: InMemory { max_keys, clock } } = builder;
        let store = Store::with_rule(max_keys, &algorithm);
        let quota = ArcSwap::from_pointee(algorithm.quota());
        Self { name, quota, changes: Mutex::new(algorithm), policy, clock, store }
    }

    /// Same as [`check`](Limiter::check) without a future: this limiter waits only for a lock.
    ///
    /// # Errors
    /// As [`check`](Limiter::check).
    pub fn check_now(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        self.check_seeded(key, cost, self.policy, || None)
    }

    /// Same as [`check_now`](Self::check_now), after `seed` has replaced the key's usage while the
    /// key is locked. A refusal blocks the key according to `policy`.
    #[inline]
    pub(crate) fn check_seeded(
        &self,
        key: &str,
        cost: u64,
        policy: Option<BlockPolicy>,
        seed: impl FnOnce() -> Option<Seed>,
    ) -> Result<Decision, CheckError> {
        let mut place = self.store.lock(key);
        // Read under the lock, so that a key's times follow the order of its decisions.
        let now = Timestamp::now(&self.clock);
        let result = match ensure_fits(cost, place.rule().capacity()) {
            Ok(()) => {
                let standing = |rule: &A, entry: &_| self.standing(rule, entry, now);
                let decide = |rule: &A, entry: &mut Entry<A::State>| {
                    entry.seed(rule, seed());
                    Self::decide((rule, key), entry, now, cost, policy)
                };
                place.with_rule(standing, |rule| Entry::new(rule, now), decide)
            }
            Err(error) => Err(error),
        };
        place.count(&result, Decision::is_allowed);
        result
    }

    /// Applies another limiter's information about the key's block: the remaining time, or `None`
    /// for no block. `learn` decides, while the key is locked, what is applied; for `Learn::Block`
    /// the longer of both blocks wins. Strikes are kept.
    ///
    /// If there is no capacity for the key, the block is lost.
    #[cfg(feature = "redis")]
    pub(crate) fn learn_block(&self, key: &str, left: Option<Duration>, learn: impl FnOnce() -> Learn) {
        let mut place = self.store.lock(key);
        let is_newest = match learn() {
            Learn::All => true,
            Learn::Block if left.is_some() => false,
            Learn::Block | Learn::Nothing => return,
        };
        let now = Timestamp::now(&self.clock);
        let learn = |_: &A, entry: &mut Entry<A::State>| {
            if is_newest || entry.block.left(now) < left {
                let strikes = self.strikes(&entry.block, now);
                entry.block = Block::manual(now, left.unwrap_or_default(), strikes);
            }
            Ok(())
        };
        if left.is_some() {
            let standing = |rule: &A, entry: &_| self.standing(rule, entry, now);
            let _ = place.with_rule(standing, |rule| Entry::new(rule, now), learn);
        } else if let Some((rule, entry)) = place.get_mut().filter(|(_, entry)| entry.block.left(now).is_some()) {
            let _ = learn(rule, entry);
        }
    }

    /// Same as [`penalty`](Limiter::penalty), with a seed as in
    /// [`check_seeded`](Self::check_seeded).
    pub(crate) fn penalty_seeded(
        &self,
        key: &str,
        cost: u64,
        seed: impl FnOnce() -> Option<Seed>,
    ) -> Result<Decision, CheckError> {
        let mut place = self.store.lock(key);
        let now = Timestamp::now(&self.clock);
        let standing = |rule: &A, entry: &_| self.standing(rule, entry, now);
        let adjust = |rule: &A, entry: &mut Entry<A::State>| {
            entry.seed(rule, seed());
            rule.penalty(&mut entry.state, now, cost);
            Self::look(rule, entry, now, 0)
        };
        place.with_rule(standing, |rule| Entry::new(rule, now), adjust)
    }

    /// Same as [`reward`](Limiter::reward), with a seed as in [`check_seeded`](Self::check_seeded).
    pub(crate) fn reward_seeded(
        &self,
        key: &str,
        amount: u64,
        seed: impl FnOnce() -> Option<Seed>,
    ) -> Result<Decision, CheckError> {
        ensure_short(key)?;
        let mut place = self.store.lock(key);
        let now = Timestamp::now(&self.clock);
        let seed = seed();
        let standing = |rule: &A, entry: &_| self.standing(rule, entry, now);
        let adjust = |rule: &A, entry: &mut Entry<A::State>| {
            entry.seed(rule, seed);
            rule.reward(&mut entry.state, now, amount);
            Self::look(rule, entry, now, 0)
        };
        // An unknown key is not stored.
        if seed.is_none() && place.get().is_none() {
            return Self::look(place.rule(), &Entry::new(place.rule(), now), now, 0);
        }
        place.with_rule(standing, |rule| Entry::new(rule, now), adjust)
    }

    /// The decision of a peek with that seed. Does not store the seed.
    #[cfg(feature = "redis")]
    pub(crate) fn peek_seeded(&self, key: &str, cost: u64, seed: Seed) -> Result<Decision, CheckError> {
        ensure_short(key)?;
        let place = self.store.lock(key);
        let (now, rule) = (Timestamp::now(&self.clock), place.rule());
        let mut entry = Entry::new(rule, now);
        entry.seed(rule, Some(seed));
        entry.block = place.get().map(|entry| entry.block).unwrap_or_default();
        Self::look(rule, &entry, now, cost)
    }

    pub(crate) fn reset_now(&self, key: &str) -> Result<bool, CheckError> {
        ensure_short(key)?;
        Ok(self.store.lock(key).remove())
    }

    pub(crate) fn block_now(&self, key: &str, duration: Duration) -> Result<(), CheckError> {
        let mut place = self.store.lock(key);
        let now = Timestamp::now(&self.clock);
        let standing = |rule: &A, entry: &_| self.standing(rule, entry, now);
        let block = |_: &A, entry: &mut Entry<A::State>| {
            entry.block = Block::manual(now, duration, self.strikes(&entry.block, now));
            Ok(())
        };
        place.with_rule(standing, |rule| Entry::new(rule, now), block)
    }

    pub(crate) fn unblock_now(&self, key: &str) -> Result<bool, CheckError> {
        ensure_short(key)?;
        let mut place = self.store.lock(key);
        let now = Timestamp::now(&self.clock);
        Ok(place.get_mut().is_some_and(|(_, entry)| {
            let block = std::mem::take(&mut entry.block);
            block.left(now).is_some()
        }))
    }

    fn strikes(&self, block: &Block, now: Timestamp) -> u32 {
        self.policy.map_or(0, |policy| policy.strikes(block, now))
    }

    fn standing(&self, algorithm: &A, entry: &Entry<A::State>, now: Timestamp) -> Standing {
        if entry.block.left(now).is_some() {
            return Standing::Pinned;
        }
        let strikes = self.strikes(&entry.block, now);
        if strikes == 0 && algorithm.expires_at(&entry.state) <= now {
            return Standing::Expired;
        }
        Standing::Live(strikes, algorithm.charged(&entry.state, now))
    }

    fn look(algorithm: &A, entry: &Entry<A::State>, now: Timestamp, cost: u64) -> Result<Decision, CheckError> {
        let decision = algorithm.peek(&entry.state, now, cost)?;
        Ok(entry.block.left(now).map_or(decision, |left| decision.blocked(left)))
    }

    #[inline]
    fn decide(
        (algorithm, key): (&A, &str),
        entry: &mut Entry<A::State>,
        now: Timestamp,
        cost: u64,
        policy: Option<BlockPolicy>,
    ) -> Result<Decision, CheckError> {
        entry.block.follow_clock(now);
        if let Some(left) = entry.block.left(now) {
            // Charges nothing, but adjusts the usage to a clock that was set back, like the block.
            let _ = algorithm.check(&mut entry.state, now, 0)?;
            entry.denied = entry.denied.saturating_add(1);
            return Ok(algorithm.peek(&entry.state, now, cost)?.blocked(left));
        }
        let decision = algorithm.check(&mut entry.state, now, cost)?;
        if decision.is_allowed() {
            return Ok(decision);
        }
        entry.denied = entry.denied.saturating_add(1);
        Ok(match policy {
            Some(policy) => decision.blocked(policy.strike(&mut entry.block, now, key)),
            None => decision,
        })
    }
}

#[async_trait]
impl<A: Algorithm> Limiter for MemoryLimiter<A> {
    fn name(&self) -> &str {
        &self.name
    }

    fn quota(&self) -> Quota {
        **self.quota.load()
    }

    fn quotas(&self) -> Quotas {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).quotas()
    }

    fn accepts(&self, quota: Quota) -> Result<(), QuotaError> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).with_quota(quota).map(drop)
    }

    fn set_quota(&self, quota: Quota) -> Result<(), QuotaError> {
        let mut current = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let algorithm = current.with_quota(quota)?;
        let carry = |before: &A, entry: &mut Entry<A::State>, now| algorithm.carry_over(before, &mut entry.state, now);
        self.store.change(&algorithm, || Timestamp::now(&self.clock), carry);
        self.quota.store(Arc::new(algorithm.quota()));
        *current = algorithm;
        Ok(())
    }

    async fn check(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        self.check_now(key, cost)
    }

    async fn peek(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        ensure_short(key)?;
        let place = self.store.lock(key);
        let now = Timestamp::now(&self.clock);
        match place.get() {
            Some(entry) => Self::look(place.rule(), entry, now, cost),
            None => Self::look(place.rule(), &Entry::new(place.rule(), now), now, cost),
        }
    }

    async fn penalty(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        self.penalty_seeded(key, cost, || None)
    }

    async fn reward(&self, key: &str, amount: u64) -> Result<Decision, CheckError> {
        self.reward_seeded(key, amount, || None)
    }

    async fn reset(&self, key: &str) -> Result<bool, CheckError> {
        self.reset_now(key)
    }

    async fn block(&self, key: &str, duration: Duration) -> Result<(), CheckError> {
        self.block_now(key, duration)
    }

    async fn unblock(&self, key: &str) -> Result<bool, CheckError> {
        self.unblock_now(key)
    }

    fn known_denial(&self, key: &str, cost: u64) -> Option<Decision> {
        let mut place = self.store.lock(key);
        let now = Timestamp::now(&self.clock);
        let (rule, entry) = place.get_mut().filter(|(_, entry)| entry.block.left(now).is_some())?;
        let decision =
            ensure_fits(cost, rule.capacity()).and_then(|()| Self::decide((rule, key), entry, now, cost, None));
        let decision = decision.ok()?;
        place.count(&Ok(decision), Decision::is_allowed);
        Some(decision)
    }

    fn stats(&self) -> LimiterStats {
        let now = Timestamp::now(&self.clock);
        self.store.stats(|entry| (entry.denied.into(), entry.block.left(now).is_some()))
    }
}

impl<A: Algorithm> fmt::Debug for MemoryLimiter<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLimiter").field("name", &self.name).field("quota", &self.quota()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::{FixedWindow, ManualClock};

    /// Two checks of one key may run at once when its share begins. No other decision may come
    /// between the seed and the decision that uses it.
    #[test]
    fn a_seed_and_the_decision_over_it_are_one_step() {
        let algorithm = FixedWindow::new(Quota::per_day(10).unwrap());
        let limiter = MemoryLimiter::builder("api", algorithm).clock(ManualClock::default()).build();
        let is_asked = Cell::new(false);
        let seed = || {
            assert!(limiter.store.is_locked("key"));
            is_asked.set(true);
            Some(Seed { used: 9, date: Timestamp::MIN })
        };
        assert_eq!(limiter.check_seeded("key", 1, None, seed).unwrap().remaining(), 0);
        assert!(is_asked.take());
        assert_eq!(limiter.penalty_seeded("key", 0, seed).unwrap().remaining(), 1);
        assert!(is_asked.take());
        assert_eq!(limiter.reward_seeded("key", 3, seed).unwrap().remaining(), 4);
        assert!(is_asked.take());
        // A cost that can never fit is rejected before the seed is read.
        assert!(limiter.check_seeded("key", 11, None, seed).is_err() && !is_asked.get());
        assert!(!limiter.store.is_locked("key"));
    }
}
