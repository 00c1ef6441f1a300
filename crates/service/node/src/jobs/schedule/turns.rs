//! Limits the time for expanding each tenant's rules, so that a tenant with slow rules does not
//! delay the others.
//!
//! Expanding one rule may take a second without a result. For example, a rule for every second on a
//! day that no month has is searched through a hundred thousand periods.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_model::schedule::{NoOccurrences, occurrences};
use tidegate_model::tenant::TenantId;
use tidegate_store::{DueSchedule, Occurring};
use tokio::time::Instant;

use super::GRACE;

/// Maximum number of occurrences of one schedule in one transaction.
const AT_ONCE: usize = 100;
/// Approximate maximum number of occurrences in one transaction, which blocks other writers. It may
/// be exceeded by those of one schedule.
const MOST_OCCURRENCES: usize = 1_000;
/// Maximum time of expanding rules before the results are stored, so that a run that is interrupted
/// has made progress.
const BETWEEN_STORES: Duration = Duration::from_secs(2);
/// Maximum time for one tenant's rules in one check. The rest waits for the next check.
const OF_A_TENANT: Duration = Duration::from_secs(10);

/// One check of schedules.
pub(super) struct Turns {
    now: DateTime<Utc>,
    until: DateTime<Utc>,
    spent: HashMap<TenantId, Duration>,
}

/// The result of a page, or of its first part.
#[derive(Default)]
pub(super) struct PageResult {
    pub(super) occurring: Vec<Occurring>,
    /// Number of schedules whose rule can't be expanded.
    pub(super) unreadable: u64,
    /// Number of schedules that were left unchanged because their tenant's time is used up.
    pub(super) left: u64,
    /// The last schedule that was processed. `None` only for an empty page.
    pub(super) last: Option<DueSchedule>,
}

impl Turns {
    /// Makes a check for occurrences up to `until`.
    pub(super) fn new(now: DateTime<Utc>, until: DateTime<Utc>) -> Self {
        Self { now, until, spent: HashMap::new() }
    }

    /// Expands the rules of a page from its beginning, until there is enough to store. It is slow
    /// and must not run on a runtime thread.
    pub(super) fn follow(&mut self, page: Vec<DueSchedule>) -> PageResult {
        let (begun, mut found) = (Instant::now(), 0);
        let mut followed = PageResult::default();
        for schedule in page {
            followed.last = Some(schedule.clone());
            let spent = self.spent.entry(schedule.tenant.clone()).or_default();
            if *spent >= OF_A_TENANT {
                followed.left += 1;
                continue;
            }
            let one = Instant::now();
            let (occurring, is_readable) = follow(schedule, self.now, self.until);
            *spent += one.elapsed();
            if *spent >= OF_A_TENANT {
                let tenant = &occurring.schedule.tenant;
                tracing::warn!(%tenant, "expanding this tenant's recurrence rules is slow: the rest of its schedules waits for the next run");
            }
            found += occurring.within.len();
            followed.unreadable += u64::from(!is_readable);
            followed.occurring.push(occurring);
            if found >= MOST_OCCURRENCES || begun.elapsed() >= BETWEEN_STORES {
                break;
            }
        }
        followed
    }
}

/// Returns the occurrences to prepare, and whether the rule could be expanded. Occurrences that
/// started before the grace period are skipped.
fn follow(schedule: DueSchedule, now: DateTime<Utc>, until: DateTime<Utc>) -> (Occurring, bool) {
    let from = schedule.next_at.max(now - GRACE);
    let behind = until + TimeDelta::milliseconds(1);
    let rule = schedule.recurrence.as_deref();
    // A bug in the recurrence crate must not affect the schedules of other tenants.
    let found = catch_unwind(AssertUnwindSafe(|| occurrences(schedule.starts_at, rule, (from, behind), AT_ONCE)));
    match found.unwrap_or(Err(NoOccurrences::Panicked)) {
        Ok(found) => (Occurring { schedule, within: found.starts, next: found.next }, true),
        Err(error) => {
            tracing::warn!(%error, schedule = %schedule.id, tenant = %schedule.tenant, "a schedule gets no reminders");
            (Occurring { schedule, within: Vec::new(), next: None }, false)
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn schedule(tenant: &str, rule: &str) -> DueSchedule {
        let starts_at = "2030-01-07T09:00:00Z".parse().unwrap();
        let recurrence = (!rule.is_empty()).then(|| rule.to_owned());
        DueSchedule { id: Uuid::now_v7(), tenant: tenant.parse().unwrap(), starts_at, recurrence, next_at: starts_at }
    }

    fn turns() -> Turns {
        let now: DateTime<Utc> = "2030-01-07T08:00:00Z".parse().unwrap();
        Turns::new(now, now + TimeDelta::hours(2))
    }

    #[test]
    fn a_tenant_with_expensive_rules_delays_no_other() {
        // Each is searched through a hundred thousand seconds. All of them would take hours.
        let never = "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30";
        let mut due = vec![schedule("hostile", never); 20_000];
        due.push(schedule("acme", ""));
        let (mut turns, mut left, mut followed_last) = (turns(), 0, None);
        while !due.is_empty() {
            let followed = turns.follow(due.clone());
            let done = followed.occurring.len() + usize::try_from(followed.left).unwrap();
            assert_eq!(followed.last.as_ref(), due.get(done - 1), "it goes on behind what it has looked at");
            due.drain(..done);
            left += followed.left;
            followed_last = followed.occurring.into_iter().next_back().or(followed_last);
        }
        let last = followed_last.unwrap();
        assert_eq!((last.schedule.tenant.as_str(), last.within.len()), ("acme", 1));
        assert!(left > 0, "most of the others wait");
    }

    #[test]
    fn a_transaction_takes_so_many_occurrences() {
        let followed = turns().follow(vec![schedule("acme", "FREQ=SECONDLY"); 50]);
        assert_eq!(followed.occurring.len(), MOST_OCCURRENCES / AT_ONCE);
        assert!(followed.occurring.iter().all(|one| one.within.len() == AT_ONCE && one.next.is_some()));
        assert_eq!((followed.left, followed.unreadable), (0, 0));
        assert!(turns().follow(Vec::new()).last.is_none());
    }
}
