//! The rules that exist without a setting.

use std::time::Duration;

use tidegate_perfmon::{AlertRule, BurnRate, Severity};

use super::limits::{LIMITS, Limit};

/// The rule for a tenant whose rate is far above its usual one; the subject is the tenant.
pub const TENANT_ANOMALY: &str = "tenant_anomaly";

/// Returns the rules of the library, of the error budget, and of figures that only the application
/// reads.
pub fn standing_rules(objective: &BurnRate) -> Vec<AlertRule> {
    let rule =
        |id, severity, hold| AlertRule::new(id, severity).hold(Duration::from_secs(hold)).keep(Duration::from_secs(60));
    let mut rules = AlertRule::standard();
    rules.extend(objective.rules());
    rules.extend([
        rule("job_store_unreachable", Severity::Critical, 5),
        rule("redis_unavailable", Severity::Critical, 5),
        rule("job_store_full", Severity::Critical, 0),
        rule("jobs_recovered", Severity::Warning, 0),
        rule("queues_without_live_worker", Severity::Warning, 30),
        rule("open_descriptors", Severity::Warning, 30),
        rule("pool_wait", Severity::Warning, 5),
        rule("pool_stuck", Severity::Critical, 5),
        rule(TENANT_ANOMALY, Severity::Warning, 1),
    ]);
    rules.extend(LIMITS.iter().map(Limit::rule));
    rules
}
