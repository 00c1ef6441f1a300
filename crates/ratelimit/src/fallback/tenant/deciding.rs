//! Decisions on a tenant by Redis or by this process, and the debts that follow.

use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use compact_str::CompactString;

use super::Inner;
use super::held::{Held, MINUTE};
use crate::algorithm::ensure_fits;
use crate::fallback::settling::Debtor;
use crate::fallback::{OutagePolicy, fits_later};
use crate::key::ensure_short;
use crate::{CheckError, StoreError, TenantDecision, TenantPlan, TenantState, TenantUsage, Timestamp};

impl Inner {
    /// Sends a request to Redis, after the tenant's debts were settled. The error means an outage.
    pub(super) async fn ask<T>(
        &self,
        tenant: &str,
        work: impl Future<Output = Result<T, CheckError>>,
    ) -> Result<Result<T, CheckError>, StoreError> {
        let is_owing = || self.is_owing.load(Ordering::Acquire);
        let settling = pin!(async { if is_owing() { self.settle(tenant).await } else { Ok(()) } });
        let asked = self.outage.patience.asked();
        let work = async {
            asked.begin()?;
            work.await
        };
        self.outage.patience.ask(settling, work, &asked, || self.shared.is_there()).await
    }

    pub(super) async fn decide(
        self: &Arc<Self>,
        tenant: &str,
        plan: &TenantPlan,
        cost: u64,
    ) -> Result<TenantDecision, CheckError> {
        let before = self.outage.here.before(tenant);
        // Pinned, so that it is not moved: the futures that contain it would otherwise grow.
        let deciding = pin!(self.shared.decide(tenant, plan, cost));
        match self.ask(tenant, deciding).await {
            Ok(Ok((decision, used))) => {
                self.outage.moment.answered();
                // Fails if blocked tenants use the whole capacity. The tenant is then unknown.
                let _ = self.change(tenant, |held, now| held.learn(&decision, used, now, before.learn()));
                Ok(decision)
            }
            Ok(Err(error)) => Err(error),
            Err(error) => self.instead(tenant, plan, cost, error),
        }
    }

    pub(super) fn instead(
        self: &Arc<Self>,
        tenant: &str,
        plan: &TenantPlan,
        cost: u64,
        error: StoreError,
    ) -> Result<TenantDecision, CheckError> {
        self.outage.tally.decide_alone();
        let OutagePolicy::LocalShare { instances } = self.outage.policy else {
            return self.uncounted(tenant, plan, cost, error);
        };
        let (result, owes) = self.change(tenant, |held, now| {
            let plan = held.in_force(plan);
            if let Err(never) = ensure_fits(cost, plan.limits().smallest()) {
                return (Err(never), false);
            }
            held.learn_plan(&plan);
            self.outage.here.decided(tenant);
            self.outage.moment.begin(now);
            let sharers = self.sharers(now);
            held.begin_outage(&plan, instances, sharers, now);
            // Exceeding a part of the limit is not yet exceeding the limit.
            let policy = self.shared.policy().filter(|_| sharers == instances);
            let result = held.share.check_under(policy, tenant, &plan.share(instances), now, cost);
            let owes = result.as_ref().is_ok_and(|decision| decision.allowed) && cost > 0 && !error.may_have_charged();
            if owes {
                held.owe(&plan, now, cost);
            }
            // A cost above the share may fit when Redis is back, so the error is the store's.
            (fits_later(result, error), owes)
        })?;
        if owes {
            self.note_debt();
        }
        result
    }

    /// The decision for an uncounted tenant, which depends on its block and the policy.
    pub(super) fn uncounted(
        &self,
        tenant: &str,
        plan: &TenantPlan,
        cost: u64,
        error: StoreError,
    ) -> Result<TenantDecision, CheckError> {
        let (plan, blocked) = self.look(tenant, |held, now| (held.in_force(plan), held.share.blocked_for(now)))?;
        ensure_fits(cost, plan.limits().smallest())?;
        if blocked.is_none() && self.outage.policy == OutagePolicy::Closed {
            return Err(CheckError::Store(error));
        }
        let mut nothing_used = TenantState::default();
        if let Some(left) = blocked {
            nothing_used.block(None, Timestamp::MIN, left);
        }
        nothing_used.check(&plan, Timestamp::MIN, 0)
    }

    /// Number of shares into which the limits are divided. `None` if the policy does not count.
    pub(super) fn parts(&self) -> Option<NonZeroU32> {
        match self.outage.policy {
            OutagePolicy::LocalShare { instances } => Some(instances),
            OutagePolicy::Open | OutagePolicy::Closed => None,
        }
    }

    /// Changes the tenant's share in this process. Returns the outage if the policy does not count.
    /// `work` receives the plan, the share's plan and the current time.
    pub(super) fn change_share(
        &self,
        tenant: &str,
        plan: &TenantPlan,
        error: StoreError,
        work: impl FnOnce(&mut Held, &TenantPlan, &TenantPlan, Timestamp),
    ) -> Result<TenantUsage, CheckError> {
        let parts = self.parts().ok_or(error)?;
        self.change(tenant, |held, now| {
            let plan = held.in_force(plan);
            let share = plan.share(parts);
            self.outage.here.decided(tenant);
            held.begin_outage(&plan, parts, self.sharers(now), now);
            work(held, &plan, &share, now);
            held.share.usage_under(self.shared.policy(), &share, now)
        })
    }

    /// The number of processes among which the remaining amount of a minute is divided.
    pub(super) fn sharers(&self, now: Timestamp) -> NonZeroU32 {
        self.outage.sharers(now, MINUTE)
    }

    pub(super) fn change<R>(
        &self,
        tenant: &str,
        work: impl FnOnce(&mut Held, Timestamp) -> R,
    ) -> Result<R, CheckError> {
        let mut place = self.tenants.lock(tenant);
        let now = self.outage.now();
        place.with(|held| held.standing(now), Held::default, |held| work(held, now))
    }

    pub(super) fn look<R>(&self, tenant: &str, work: impl FnOnce(&Held, Timestamp) -> R) -> Result<R, CheckError> {
        ensure_short(tenant)?;
        let place = self.tenants.lock(tenant);
        let now = self.outage.now();
        Ok(match place.get() {
            Some(held) => work(held, now),
            None => work(&Held::default(), now),
        })
    }

    pub(super) fn note_debt(self: &Arc<Self>) {
        self.is_owing.store(true, Ordering::Release);
        self.outage.settling.when_back(self, || self.shared.availability());
    }

    pub(super) async fn settle(&self, tenant: &str) -> Result<(), CheckError> {
        let next = || self.number.fetch_add(1, Ordering::Relaxed) + 1;
        while let Some((sent, amounts)) = self.known(tenant, |held, now| {
            let sent = held.send(now, next)?;
            let amounts = sent.amounts(now);
            Some((sent, amounts))
        }) {
            let answer = self.shared.debit(tenant, &sent.plan, &self.process, sent.number, amounts).await;
            match answer {
                Err(CheckError::Store(error)) if error.is_transient() => return Err(CheckError::Store(error)),
                // A debit that Redis will never accept is not sent again.
                _ => self.known(tenant, |held, _| {
                    held.settled(sent.number);
                    Some(())
                }),
            };
        }
        Ok(())
    }

    pub(super) fn known<R>(&self, tenant: &str, work: impl FnOnce(&mut Held, Timestamp) -> Option<R>) -> Option<R> {
        let mut place = self.tenants.lock(tenant);
        let now = self.outage.now();
        place.get_mut().and_then(|(_, held)| work(held, now))
    }
}

impl Debtor for Inner {
    /// The tenants with debts to Redis. If there are none, `is_owing` is `false` from now on.
    ///
    /// Reads the debts themselves: a list could miss one that is added while another is settled.
    fn owing(&self) -> Vec<CompactString> {
        let look = || {
            let (now, mut owing) = (self.outage.now(), Vec::new());
            self.tenants.visit(|tenant, held| {
                if held.owes(now) {
                    owing.push(tenant.into());
                }
            });
            owing
        };
        let owing = look();
        if !owing.is_empty() {
            return owing;
        }
        self.is_owing.store(false, Ordering::Release);
        // A debt may have been added in between.
        let owing = look();
        if !owing.is_empty() {
            self.is_owing.store(true, Ordering::Release);
        }
        owing
    }

    async fn settle_one(self: Arc<Self>, tenant: CompactString) -> bool {
        self.settle(&tenant).await.is_ok()
    }
}
