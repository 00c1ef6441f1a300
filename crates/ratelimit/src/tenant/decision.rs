//! Results of tenant checks.

use std::time::Duration;

use serde::Serialize;

use super::TenantPlan;
use crate::Decision;

/// The decisions of all three windows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a decision that nobody obeys limits nothing"]
pub struct TenantDecision {
    /// Whether the cost was admitted and charged to all windows. If not, it was charged to none.
    pub allowed: bool,
    /// The minute, hour and day windows.
    pub windows: [WindowDecision; 3],
    /// Remaining time of the tenant's block. `None` if the tenant is not blocked. During a block
    /// each window refuses.
    pub blocked_for: Option<Duration>,
    /// The plan that was applied: the check's, or a newer one that the limiter stores.
    pub plan: TenantPlan,
}

/// The decision of one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowDecision {
    /// `minute`, `hour` or `day`.
    pub name: &'static str,
    /// The decision of this window alone. Not charged if another window refused.
    pub decision: Decision,
}

/// A tenant's usage at one point in time. Serializes as `windows`, `seats`, `blocked_for_ms`,
/// `strikes`, and the fields of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TenantUsage {
    /// The minute, hour and day windows.
    pub windows: [WindowUsage; 3],
    /// The tenant's seats.
    pub seats: Seats,
    /// Remaining time of the tenant's block. `None` if the tenant is not blocked.
    #[serde(rename = "blocked_for_ms", serialize_with = "as_optional_millis")]
    pub blocked_for: Option<Duration>,
    /// Strikes that have not expired.
    pub strikes: u32,
    /// The plan that applies.
    #[serde(flatten)]
    pub plan: TenantPlan,
}

/// A tenant's usage of one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct WindowUsage {
    /// `minute`, `hour` or `day`.
    pub window: &'static str,
    /// Limit of the window.
    pub limit: u64,
    /// Amount that currently counts. May exceed the limit after the limit was lowered.
    pub used: u64,
    /// Remaining amount.
    pub remaining: u64,
    /// Time until the usage is zero, if nothing else is charged.
    #[serde(rename = "reset_after_ms", serialize_with = "as_millis")]
    pub reset_after: Duration,
}

/// Users of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Seats {
    /// Seats in use. May exceed `allowed` after the plan was lowered. `None` if the limiter never
    /// received the number or no longer stores it.
    pub used: Option<u32>,
    /// Seats of the plan. `None` if unlimited.
    pub allowed: Option<u32>,
}

/// The result of a request for a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a seat that was not taken is somebody else's"]
pub struct SeatDecision {
    /// Whether a seat was taken. `false` if all seats are in use.
    pub taken: bool,
    /// Seats in use after this decision.
    pub used: u32,
    /// Seats of the plan that applies. `None` if unlimited.
    pub allowed: Option<u32>,
}

/// Names of the windows, in the order that is used everywhere.
const WINDOWS: [&str; 3] = ["minute", "hour", "day"];

/// Builds a decision. If `blocked_for` is set, every window refuses for that time.
pub(crate) fn decision(
    allowed: bool,
    decisions: [Decision; 3],
    blocked_for: Option<Duration>,
    plan: TenantPlan,
) -> TenantDecision {
    let mut names = WINDOWS.into_iter();
    let windows = decisions.map(|decision| {
        let decision = blocked_for.map_or(decision, |left| decision.blocked(left));
        WindowDecision { name: names.next().unwrap_or_default(), decision }
    });
    TenantDecision { allowed, windows, blocked_for, plan }
}

/// Builds the usage of the windows from pairs of the used amount and the time until it is zero.
pub(crate) fn windows(plan: &TenantPlan, figures: [(u64, Duration); 3]) -> [WindowUsage; 3] {
    let limits = plan.limits().quotas().map(|quota| quota.limit());
    let mut rows = WINDOWS.into_iter().zip(limits);
    figures.map(|(used, reset_after)| {
        let (window, limit) = rows.next().unwrap_or_default();
        let reset_after = if used == 0 { Duration::ZERO } else { reset_after };
        WindowUsage { window, limit, used, remaining: limit.saturating_sub(used), reset_after }
    })
}

fn millis(duration: &Duration) -> u64 {
    u64::try_from(duration.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX)
}

fn as_millis<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(millis(duration))
}

fn as_optional_millis<S: serde::Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.as_ref().map(millis).serialize(serializer)
}

impl TenantDecision {
    /// The window that refuses with the longest wait, otherwise the one with the least remaining.
    pub fn binding(&self) -> &WindowDecision {
        let [minute, hour, day] = &self.windows;
        [hour, day].into_iter().fold(minute, |binding, other| if other.binds_more(binding) { other } else { binding })
    }

    /// Time until the same cost would be admitted. `None` if it was admitted.
    pub fn retry_after(&self) -> Option<Duration> {
        self.binding().decision.retry_after()
    }
}

impl WindowDecision {
    fn binds_more(&self, other: &Self) -> bool {
        let (own, others) = (self.decision, other.decision);
        match (own.retry_after(), others.retry_after()) {
            (None, None) => own.remaining() < others.remaining(),
            (own, others) => own > others,
        }
    }
}
