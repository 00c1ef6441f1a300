//! What a fallback knows of an outage, for limiters and tenants.

use std::num::NonZeroU32;
use std::time::Duration;

use super::OutagePolicy;
use super::changes::Changes;
use super::moment::Moment;
use super::patience::Patience;
use super::settling::Settling;
use crate::limiter::Forgetting;
use crate::tally::Tally;
use crate::{CheckError, Clock, LiveProcesses, StoreError, Timestamp};

pub(super) struct Outage {
    pub(super) policy: OutagePolicy,
    pub(super) patience: Patience,
    pub(super) moment: Moment,
    pub(super) clock: Clock,
    pub(super) settling: Settling,
    /// Changes to keys in this process.
    pub(super) here: Changes,
    pub(super) tally: Tally,
}

impl Outage {
    pub(super) fn new(policy: OutagePolicy, patience: Duration, live: LiveProcesses, clock: Clock) -> Self {
        Self {
            policy,
            patience: Patience::new(patience),
            moment: Moment::new(live),
            clock,
            settling: Settling::default(),
            here: Changes::default(),
            tally: Tally::default(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::now(&self.clock)
    }

    /// Whether the policy counts requests in this process.
    pub(super) fn counts(&self) -> bool {
        matches!(self.policy, OutagePolicy::LocalShare { .. })
    }

    /// The number of processes among which a remaining amount is divided.
    pub(super) fn sharers(&self, now: Timestamp, window: Duration) -> NonZeroU32 {
        self.moment.sharers(self.policy.parts(), now, window)
    }

    /// Removes something of `key` in this process with `remove`, and in Redis with `ask`. Then
    /// repeats the removal in this process, because an outdated reply may have been applied in
    /// between. Returns whether there was anything to remove. An error means that Redis still
    /// stores it.
    pub(super) async fn remove(
        &self,
        key: &str,
        remove: impl Fn() -> Result<bool, CheckError>,
        ask: impl Future<Output = Result<Result<bool, CheckError>, StoreError>>,
    ) -> Result<bool, CheckError> {
        let was_here = remove()?;
        let forgetting = Forgetting::begun(|| {
            self.here.by_hand(key);
            let _ = remove();
        });
        let there = ask.await;
        drop(forgetting);
        Ok(there?? || was_here)
    }
}
