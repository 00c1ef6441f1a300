//! What is known here of one key: how fast it goes, and what is leased for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::script::Grant;
use crate::store::Standing;
use crate::{Allowance, Decision, Timestamp};

/// A key's rate, its lease, and who is fetching the next one.
pub(super) struct Hot {
    /// When the count began.
    since: Timestamp,
    count: u64,
    /// What was asked for in the life of a lease, before the count began.
    rate: u64,
    /// What Redis said last.
    remaining: u64,
    lease: Option<Lease>,
    fetch: Option<Arc<Fetch>>,
    /// Until when no lease is tried.
    direct_until: Timestamp,
}

/// What may be admitted here.
struct Lease {
    left: u64,
    ends: Timestamp,
    since: Timestamp,
    /// What Redis answered when it was taken.
    said: Allowance,
}

/// A lease that somebody is fetching. Those who wait for it wait for the gate to close.
pub(super) struct Fetch {
    gate: Semaphore,
}

impl Fetch {
    pub(super) async fn ended(&self) {
        // It has no permits: this waits until it is closed.
        let _ = self.gate.acquire().await;
    }

    pub(super) fn end(&self) {
        self.gate.close();
    }
}

/// What to do with a check.
pub(super) enum Step {
    /// It was admitted here.
    Admitted(Decision),
    /// Redis is to be asked, and to lease so much.
    Fetch(Arc<Fetch>, u64),
    /// Somebody else is asking.
    Wait(Arc<Fetch>),
    /// Redis is to be asked for this cost alone.
    Direct,
}

/// Leases of less save too little.
const LEAST: u64 = 16;
/// A lease takes at most this part of what is left, so that near the limit little is stranded. What is left is known here as it
/// was, so the script looks again.
pub(super) const PART_OF_REMAINING: u64 = 8;
/// How often a life of a lease in which none was to be had passes before the next one is tried.
const PAUSE: u32 = 2;

impl Hot {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { since: now, count: 0, rate: 0, remaining: 0, lease: None, fetch: None, direct_until: Timestamp::MIN }
    }

    /// A key without a lease may be forgotten: it is then cold for a moment.
    pub(super) fn standing(&self, now: Timestamp, life: Duration) -> Standing {
        if self.fetch.is_some() || self.lease.as_ref().is_some_and(|lease| now < lease.ends) {
            return Standing::Live(1, self.rate);
        }
        let is_quiet = now.saturating_since(self.since) > 2 * life;
        if is_quiet { Standing::Expired } else { Standing::Live(0, self.count) }
    }

    /// Takes a request into the rate.
    pub(super) fn count(&mut self, now: Timestamp, cost: u64, life: Duration) {
        let passed = now.saturating_since(self.since);
        if passed >= life {
            // Scaled to one life; after a long pause the key is cold again.
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

    /// Admits from the lease, where it runs and has so much.
    fn admit(&mut self, now: Timestamp, cost: u64) -> Option<Decision> {
        let lease = self.lease.as_mut()?;
        if now >= lease.ends {
            self.lease = None;
            return None;
        }
        lease.left = lease.left.checked_sub(cost)?;
        Some(lease.allowance(now))
    }

    /// What a check would be answered with from here; `remaining` is what is there before it.
    pub(super) fn peek(&self, now: Timestamp, cost: u64) -> Option<Decision> {
        let lease = self.lease.as_ref().filter(|lease| now < lease.ends && cost <= lease.left)?;
        Some(lease.allowance(now))
    }

    /// Takes in what Redis said of a check.
    pub(super) fn learn(&mut self, decision: &Decision) {
        self.remaining = decision.remaining();
    }

    /// Takes in what a fetch brought that was sent at `sent`; nothing where it isn't the one that is awaited. Answers the
    /// decision, to which what is leased is still there.
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
            // None to be had, or it took as long as it lasts.
            _ => {
                self.direct_until = now.saturating_add(PAUSE * life);
                *decision
            }
        }
    }

    /// Says that a fetch ended without an answer.
    pub(super) fn failed(&mut self, fetch: &Arc<Fetch>) {
        if self.fetch.as_ref().is_some_and(|current| Arc::ptr_eq(current, fetch)) {
            self.fetch = None;
        }
    }

    /// Drops the lease, and the one that is being fetched. What they charged stays charged.
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
