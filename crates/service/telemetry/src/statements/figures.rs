//! Metrics of statements, for `/metrics`.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use tidegate_perfmon::Totals;

use super::database::Database;
use crate::exposition::Family;

/// Statements at one moment.
#[derive(Debug)]
pub(super) struct Figures {
    /// Durations by database.
    pub(super) times: [(&'static str, Totals); Database::ALL.len()],
    /// Number of statements that a request repeated.
    pub(super) repeated: u64,
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = Family::new(
            &mut encoder,
            "tidegate_db_statements",
            "Database statements that have run",
            MetricType::Counter,
        )?;
        for (database, times) in &self.times {
            family.counter(&[("database", database)], times.count)?;
        }
        let mut family = Family::new(
            &mut encoder,
            "tidegate_db_statement_duration_seconds",
            "Time of a statement in the database until its last row was read",
            MetricType::Histogram,
        )?;
        for (database, times) in &self.times {
            family.histogram(&[("database", database)], times)?;
        }
        let repeated = "Statements that one request repeated more often than `performance.slow: n_plus_one`";
        Family::new(&mut encoder, "tidegate_db_repeated_statements", repeated, MetricType::Counter)?
            .counter(&[], self.repeated)
    }
}
