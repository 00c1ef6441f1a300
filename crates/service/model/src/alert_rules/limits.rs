//! The built-in rules whose threshold the setting `alerts.rules` can change.

use std::time::Duration;

use tidegate_perfmon::{AlertRule, Severity};

use super::Unit;

/// Time without a breach after which an alert is resolved.
pub(super) const KEEP: Duration = Duration::from_secs(60);

/// A rule with its defaults.
#[derive(Debug)]
pub struct Limit {
    /// Its name, as in the setting.
    pub id: &'static str,
    /// Name of the figure, as the subject of a sentence; `{}` is in place of the rule's subject.
    pub(super) what: &'static str,
    pub(super) unit: Unit,
    /// Threshold above which it is breached.
    pub(super) above: f64,
    hold: Duration,
    severity: Severity,
}

impl Limit {
    pub(crate) fn rule(&self) -> AlertRule {
        AlertRule::new(self.id, self.severity).hold(self.hold).keep(KEEP)
    }

    pub(super) fn named(id: &str) -> Option<&'static Self> {
        LIMITS.iter().find(|limit| limit.id == id)
    }
}

const fn limit(
    id: &'static str,
    what: &'static str,
    (unit, above): (Unit, f64),
    hold_seconds: u64,
    severity: Severity,
) -> Limit {
    Limit { id, what, unit, above, hold: Duration::from_secs(hold_seconds), severity }
}

/// Redis is read once a minute: a hold of 90 s needs two readings.
pub const LIMITS: &[Limit] = &[
    limit("dead_letters", "number of dead letters of queue {}", (Unit::Count, 10.0), 120, Severity::Warning),
    limit("backlog", "number of waiting jobs of queue {}", (Unit::Count, 1_000.0), 120, Severity::Warning),
    limit("oldest_job", "wait of the oldest job of queue {}", (Unit::Seconds, 300.0), 60, Severity::Warning),
    limit(
        "job_failures",
        "share of failed runs of queue {} within 5 minutes",
        (Unit::Share, 0.1),
        60,
        Severity::Warning,
    ),
    limit("redis_memory", "share of the memory limit in use on Redis {}", (Unit::Share, 0.9), 90, Severity::Critical),
    limit("redis_processor", "share of a CPU core in use by Redis {}", (Unit::Share, 0.75), 90, Severity::Warning),
    limit("redis_clients", "number of connections to Redis {}", (Unit::Count, 10_000.0), 90, Severity::Warning),
    limit(
        "redis_replica_lag",
        "time since the last acknowledgement of Redis replica {}",
        (Unit::Seconds, 10.0),
        90,
        Severity::Warning,
    ),
    limit(
        "redis_replica_behind",
        "unacknowledged data of Redis replica {}",
        (Unit::Bytes, 16_777_216.0),
        90,
        Severity::Warning,
    ),
    limit(
        "postgres_connections",
        "share of the connection limit in use on PostgreSQL {}",
        (Unit::Share, 0.8),
        60,
        Severity::Warning,
    ),
    limit(
        "postgres_replica_lag",
        "replication lag of PostgreSQL replica {}",
        (Unit::Seconds, 30.0),
        60,
        Severity::Warning,
    ),
];
