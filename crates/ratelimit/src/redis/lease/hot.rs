//! State of one key in this process: its rate and its lease.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::script::Grant;
use crate::store::Standing;
use crate::{Allowance, Decision, Timestamp};

pub(super) struct Hot {
    /// Start of the current count.
    since: Timestamp,
    count: u64,
    /// Amount that was requested per lifetime of a lease, before the current count.
    rate: u64,
    /// Remaining amount in the last reply of Redis.
    remaining: u64,
    lease: Option<Lease>,
    fetch: Option<Arc<Fetch>>,
    /// No lease is fetched before this time.
    direct_until: Timestamp,
}

/// An amount that may be admitted in this process.
struct Lease {
    left: u64,
    ends: Timestamp,
    since: Timestamp,
    /// The admission with which Redis granted the lease.
    said: Allowance,
}

/// A fetch of a lease. Other checks wait until its gate is closed.
pub(super) struct Fetch {
    gate: Semaphore,
}

impl Fetch {
    pub(super) async fn ended(&self) {
        // The semaphore has no permits: this waits until it is closed.
        let _ = self.gate.acquire().await;
    }

    pub(super) fn end(&self) {
        self.gate.close();
    }
}

pub(super) enum Step {
    /// Admitted from the lease.
    Admitted(Decision),
    /// Check in Redis and fetch a lease of this amount.
    Fetch(Arc<Fetch>, u64),
    /// Wait for another check's fetch.
    Wait(Arc<Fetch>),
    /// Check in Redis without a lease.
    Direct,
}

/// Minimum amount of a lease. A smaller one would save too little.
const LEAST: u64 = 16;
/// A lease takes at most this fraction of the remaining amount, so that little stays unused near
/// the limit. The remaining amount known here may be outdated, so the script checks it again.
pub(super) const PART_OF_REMAINING: u64 = 8;
/// Number of lease lifetimes before the next attempt after a lease was not granted.
const PAUSE: u32 = 2;

impl Hot {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { since: now, count: 0, rate: 0, remaining: 0, lease: None, fetch: None, direct_until: Timestamp::MIN }
    }

    /// A key without a lease may be removed. It then counts as cold for a moment.
    pub(super) fn standing(&self, now: Timestamp, life: Duration) -> Standing {
        if self.fetch.is_some() || self.lease.as_ref().is_some_and(|lease| now < lease.ends) {
            return Standing::Live(1, self.rate);
        }
        let is_quiet = now.saturating_since(self.since) > 2 * life;
        if is_quiet { Standing::Expired } else { Standing::Live(0, self.count) }
    }

    pub(super) fn count(&mut self, now: Timestamp, cost: u64, life: Duration) {
        let passed = now.saturating_since(self.since);
        if passed >= life {
            // Scaled to one lifetime. After a long pause the key is cold again.
            let lives = passed.as_micros().checked_div(life.as_micros()).unwrap_or(1);
            self.rate = self.count / u64::try_from(lives).unwrap_or(u64::MAX).max(1);
            (self.since, self.count) = (now, 0);
        }
        self.count = self.count.saturating_add(cost);
    }

    pub(super) fn step(&mut self, now: Timestamp, cost: u64, most: u64) -> Step {
        if let Some(decision) = self.admit(now, cost) {
            return Step::Admitted(decision);
        }
        if let Some(fetch) = &self.fetch {
            return Step::Wait(fetch.clone());
        }
        let amount = self.rate.max(self.count).min(self.remaining / PART_OF_REMAINING).min(most);
        if now < self.direct_until || cost == 0 || amount < LEAST.max(cost.saturating_mul(2)) {
            return Step::Direct;
        }
        let fetch = Arc::new(Fetch { gate: Semaphore::new(0) });
        self.fetch = Some(fetch.clone());
        Step::Fetch(fetch, amount)
    }

    fn admit(&mut self, now: Timestamp, cost: u64) -> Option<Decision> {
        let lease = self.lease.as_mut()?;
        if now >= lease.ends {
            self.lease = None;
            return None;
        }
        lease.left = lease.left.checked_sub(cost)?;
        Some(lease.allowance(now))
    }

    /// The decision that a check from the lease would return. `remaining` is the amount before the
    /// check. `None` if the lease is not sufficient.
    pub(super) fn peek(&self, now: Timestamp, cost: u64) -> Option<Decision> {
        let lease = self.lease.as_ref().filter(|lease| now < lease.ends && cost <= lease.left)?;
        Some(lease.allowance(now))
    }

    pub(super) fn learn(&mut self, decision: &Decision) {
        self.remaining = decision.remaining();
    }

    /// Applies the result of a fetch that was sent at `sent`, unless it is not the current fetch.
    /// Returns the decision, with the leased amount included in the remaining amount.
    pub(super) fn fetched(
        &mut self,
        fetch: &Arc<Fetch>,
        decision: &Decision,
        grant: Grant,
        sent: Timestamp,
        now: Timestamp,
        life: Duration,
    ) -> Decision {
        if !self.fetch.as_ref().is_some_and(|current| Arc::ptr_eq(current, fetch)) {
            return *decision;
        }
        self.fetch = None;
        self.learn(decision);
        let ends = sent.saturating_add(grant.life);
        match decision {
            Decision::Allowed(said) if grant.amount > 0 && now < ends => {
                let lease = Lease { left: grant.amount, ends, since: now, said: *said };
                self.lease.insert(lease).allowance(now)
            }
            // No lease was granted, or the fetch took as long as the lease lasts.
            _ => {
                self.direct_until = now.saturating_add(PAUSE * life);
                *decision
            }
        }
    }

    pub(super) fn failed(&mut self, fetch: &Arc<Fetch>) {
        if self.fetch.as_ref().is_some_and(|current| Arc::ptr_eq(current, fetch)) {
            self.fetch = None;
        }
    }

    /// Drops the lease and the current fetch. Their charges are kept.
    pub(super) fn forget(&mut self) {
        (self.lease, self.direct_until) = (None, Timestamp::MIN);
        if let Some(fetch) = self.fetch.take() {
            fetch.end();
        }
    }
}

impl Lease {
    fn allowance(&self, now: Timestamp) -> Decision {
        let passed = now.saturating_since(self.since);
        Decision::Allowed(Allowance {
            remaining: self.said.remaining.saturating_add(self.left),
            reset_after: self.said.reset_after.saturating_sub(passed),
            ..self.said
        })
    }
}
