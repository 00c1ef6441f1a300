//! Decisions by Redis or by this process, and the debts that follow.

use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use compact_str::CompactString;

use super::Inner;
use crate::algorithm::ensure_fits;
use crate::fallback::debts::Next;
use crate::fallback::known::Last;
use crate::fallback::settling::Debtor;
use crate::fallback::{OutagePolicy, fits_later};
use crate::limiter::{Limiter, Seed};
use crate::redis::Asked;
use crate::{CheckError, Decision, RedisAlgorithm, StoreError, Timestamp};

impl<A: RedisAlgorithm> Inner<A> {
    pub(super) fn capacity(&self) -> u64 {
        self.shared.redis().algorithm().capacity()
    }

    /// Sends a request to Redis, after the key's debts were settled. The error means an outage.
    pub(super) async fn ask<T>(
        &self,
        key: &str,
        work: impl Future<Output = Result<T, CheckError>>,
    ) -> Result<Result<T, CheckError>, StoreError> {
        let asked = self.outage.patience.asked();
        let work = async {
            asked.begin()?;
            work.await
        };
        self.ask_where(key, work, &asked).await
    }

    /// Same as [`ask`](Self::ask), for work that itself reports whether it has sent a request.
    pub(super) async fn ask_where<T>(
        &self,
        key: &str,
        work: impl Future<Output = Result<T, CheckError>>,
        asked: &Asked<'_>,
    ) -> Result<Result<T, CheckError>, StoreError> {
        let settling = pin!(async { if self.debts.is_any() { self.settle(key).await } else { Ok(()) } });
        let probe = || {
            let (client, key) = (self.shared.redis().client().clone(), self.shared.redis().group(key));
            async move { drop(client.get(key.as_str()).await) }
        };
        self.outage.patience.ask(settling, work, asked, probe).await
    }

    pub(super) async fn decide(self: &Arc<Self>, key: &str, cost: u64) -> Result<Decision, CheckError> {
        ensure_fits(cost, self.capacity())?;
        let (asked, before) = (self.outage.patience.asked(), self.outage.here.before(key));
        // Pinned, so that it is not moved: the futures that contain it would otherwise grow.
        let deciding = pin!(self.shared.decide(key, cost, &asked));
        match self.ask_where(key, deciding, &asked).await {
            Ok(Ok(said)) => {
                self.outage.moment.answered();
                self.local.learn_block(key, said.decision.blocked_for(), || before.learn());
                if self.outage.counts() {
                    self.known.learn(key, &said, self.outage.now(), || before.learn());
                }
                Ok(said.decision)
            }
            Ok(Err(error)) => Err(error),
            Err(error) => self.instead(key, cost, error).await,
        }
    }

    pub(super) async fn instead(
        self: &Arc<Self>,
        key: &str,
        cost: u64,
        error: StoreError,
    ) -> Result<Decision, CheckError> {
        self.outage.tally.decide_alone();
        if !self.outage.counts() {
            return self.uncounted(key, error).await;
        }
        self.outage.moment.begin(self.outage.now());
        // Exceeding a part of the limit is not yet exceeding the limit.
        let policy = self.shared.redis().policy().filter(|_| self.sharers(self.outage.now()) == NonZeroU32::MIN);
        let result = self.local.check_seeded(key, cost, policy, || self.begin(key));
        if let Ok(decision) = &result {
            self.note(key, cost, decision, &error);
        }
        fits_later(result, error)
    }

    /// Begins the key's share with its part of the remaining amount that Redis reported, unless it
    /// has begun. Must be called while the key is locked in `local`, so that other decisions on it
    /// wait for the seed.
    pub(super) fn begin(&self, key: &str) -> Option<Seed> {
        self.outage.here.decided(key);
        let now = self.outage.now();
        let is_divided = self.sharers(now) > self.outage.policy.parts();
        self.seed(self.known.take(key, now, is_divided.then(|| self.memory())), now)
    }

    /// The used part of the share at its beginning. `None` if it has begun or is all unused.
    pub(super) fn seed(&self, last: Last, now: Timestamp) -> Option<Seed> {
        let (parts, sharers) = (self.outage.policy.parts(), self.sharers(now));
        let (share, capacity) = (self.shared.redis().algorithm().share(parts).capacity(), self.capacity());
        let is_divided = sharers > parts;
        // The part of the other processes is reserved for a whole window from now on.
        let seed =
            |part: u64, date| Seed { used: share.saturating_sub(part), date: if is_divided { now } else { date } };
        let sharers = u64::from(sharers.get());
        match last {
            Last::Left(remaining, date) if remaining < capacity => Some(seed(remaining / sharers, date)),
            Last::Left(..) | Last::Unknown if is_divided => Some(seed((capacity / sharers).max(1), now)),
            Last::Left(_, date) => Some(seed(share, date)),
            Last::Unknown | Last::Begun => None,
        }
    }

    /// The number of processes among which a key's remaining amount is divided.
    fn sharers(&self, now: Timestamp) -> NonZeroU32 {
        self.outage.sharers(now, self.memory())
    }

    fn memory(&self) -> Duration {
        Duration::from_micros(self.shared.redis().algorithm().remembers())
    }

    /// Records the debt that follows from a decision of this process.
    pub(super) fn note(self: &Arc<Self>, key: &str, cost: u64, decision: &Decision, error: &StoreError) {
        match decision {
            Decision::Allowed(_) if !error.may_have_charged() => self.owe(key, cost),
            Decision::Denied(denial) => {
                let until = denial.blocked_for.map(|left| self.outage.now().saturating_add(left));
                if let Some(until) = until.filter(|until| !self.known.is_blocked_until(key, *until)) {
                    self.debts.block(key, until);
                    self.settle_later();
                }
            }
            Decision::Allowed(_) => {}
        }
    }

    pub(super) fn owe(self: &Arc<Self>, key: &str, amount: u64) {
        if amount > 0 {
            self.debts.charge(key, amount, self.outage.now(), self.memory());
            self.settle_later();
        }
    }

    pub(super) fn settle_later(self: &Arc<Self>) {
        self.outage.settling.when_back(self, || self.shared.redis().client().availability().watch());
    }

    pub(super) fn is_there(&self) -> bool {
        self.shared.redis().client().availability().is_available()
    }

    /// Charges the key's debts to Redis, or waits until another caller has done so.
    pub(super) async fn settle(&self, key: &str) -> Result<(), CheckError> {
        loop {
            let sending = match self.debts.send(key) {
                Next::Nothing => return Ok(()),
                // During a known outage no caller waits.
                Next::Wait(attempt) if self.is_there() && attempt.ended().await => continue,
                Next::Wait(_) => return Err(CheckError::Store(StoreError::new("Redis takes no debits").transient())),
                Next::Send(sending) => sending,
            };
            let now = self.outage.now();
            let ages = sending.ages(now);
            match self.shared.redis().debit(key, sending.debit(&ages, now)).await {
                Err(CheckError::Store(error)) if error.is_transient() => {
                    sending.failed();
                    return Err(CheckError::Store(error));
                }
                // A debit that Redis will never accept is not sent again.
                _ => sending.charged(),
            }
        }
    }

    /// Removes the key in this process. Returns whether there was anything to remove.
    pub(super) fn forget(&self, key: &str) -> Result<bool, CheckError> {
        self.debts.forget(key);
        self.known.forget(key);
        self.local.reset_now(key)
    }

    /// Unblocks the key in this process. Returns whether it was blocked.
    pub(super) fn unblock(&self, key: &str) -> Result<bool, CheckError> {
        self.debts.forget_block(key);
        self.known.forget(key);
        self.local.unblock_now(key)
    }

    /// The decision for an uncounted key, which depends on its block and the policy.
    pub(super) async fn uncounted(&self, key: &str, error: StoreError) -> Result<Decision, CheckError> {
        let decision = self.local.peek(key, 0).await?;
        if decision.is_allowed() && self.outage.policy == OutagePolicy::Closed {
            return Err(CheckError::Store(error));
        }
        Ok(decision)
    }
}

/// A manual block that is being sent to Redis. When the call ends, for whatever reason, even if it
/// was cancelled, the block applies in this process. It is sent to Redis later, unless Redis has
/// replied.
pub(super) struct Blocking<'a, A: RedisAlgorithm> {
    pub(super) inner: &'a Arc<Inner<A>>,
    pub(super) key: &'a str,
    pub(super) set: Timestamp,
    pub(super) until: Timestamp,
    pub(super) is_owed: bool,
}

impl<A: RedisAlgorithm> Drop for Blocking<'_, A> {
    fn drop(&mut self) {
        let Self { inner, key, set, until, is_owed } = *self;
        inner.outage.here.by_hand(key);
        // An outdated reply may have been applied in between. A blocked key is never evicted.
        let _ = inner.local.block_now(key, until.saturating_since(inner.outage.now()));
        if is_owed {
            inner.debts.block_by_hand(key, set, until);
            inner.settle_later();
        } else {
            inner.debts.forget_block(key);
        }
    }
}

impl<A: RedisAlgorithm> Debtor for Inner<A> {
    fn owing(&self) -> Vec<CompactString> {
        self.debts.keys()
    }

    async fn settle_one(self: Arc<Self>, key: CompactString) -> bool {
        self.settle(&key).await.is_ok()
    }
}
