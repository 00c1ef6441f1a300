//! What is said of a tenant.

use std::time::Duration;

use serde::Serialize;

use super::TenantPlan;
use crate::Decision;

/// The answer of all three windows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a decision that nobody obeys limits nothing"]
pub struct TenantDecision {
    /// Whether the cost was admitted, and charged to all windows. Otherwise it was charged to none.
    pub allowed: bool,
    /// The minute, the hour and the day.
    pub windows: [WindowDecision; 3],
    /// What is left of the tenant's block, if it is blocked; each window refuses then.
    pub blocked_for: Option<Duration>,
    /// The plan that was applied: the check's own, or a newer one that the limiter knows of.
    pub plan: TenantPlan,
}

/// The answer of one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowDecision {
    /// `minute`, `hour` or `day`.
    pub name: &'static str,
    /// What this window alone says; where another window refused, its allowance is uncharged.
    pub decision: Decision,
}

/// What is known of a tenant at one moment. Serializes as `windows`, `seats`, `blocked_for_ms`, `strikes`, and
/// the plan's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TenantUsage {
    /// The minute, the hour and the day.
    pub windows: [WindowUsage; 3],
    /// The users.
    pub seats: Seats,
    /// What is left of the tenant's block, if it is blocked.
    #[serde(rename = "blocked_for_ms", serialize_with = "as_optional_millis")]
    pub blocked_for: Option<Duration>,
    /// The strikes that are not forgotten yet.
    pub strikes: u32,
    /// The plan in force.
    #[serde(flatten)]
    pub plan: TenantPlan,
}

/// What a tenant has used of one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct WindowUsage {
    /// `minute`, `hour` or `day`.
    pub window: &'static str,
    /// The window's limit.
    pub limit: u64,
    /// What counts against it now; above the limit after the limit was lowered.
    pub used: u64,
    /// What is left.
    pub remaining: u64,
    /// Until nothing counts any more, if nothing more is charged.
    #[serde(rename = "reset_after_ms", serialize_with = "as_millis")]
    pub reset_after: Duration,
}

/// Users of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Seats {
    /// Seats that are taken; above what is allowed after that was lowered. `None` where the limiter was never told, or has
    /// forgotten.
    pub used: Option<u32>,
    /// Seats of the plan; `None` is any number.
    pub allowed: Option<u32>,
}

/// The answer to who asks for a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a seat that was not taken is somebody else's"]
pub struct SeatDecision {
    /// Whether the seat was taken; otherwise all are.
    pub taken: bool,
    /// Seats after this decision.
    pub used: u32,
    /// Seats of the plan in force; `None` is any number.
    pub allowed: Option<u32>,
}

/// The names of the windows, in the order of all that is said of them.
const WINDOWS: [&str; 3] = ["minute", "hour", "day"];

/// The decision of a block that lasts so long, or of the windows.
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

/// The usage of the windows, from what is used and how long until nothing is.
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
    /// The window that decides: of those that refuse, the one to wait for longest; else the one with least left.
    pub fn binding(&self) -> &WindowDecision {
        let [minute, hour, day] = &self.windows;
        [hour, day].into_iter().fold(minute, |binding, other| if other.binds_more(binding) { other } else { binding })
    }

    /// When the same cost would be admitted; `None` if it just was.
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
