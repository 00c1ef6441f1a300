//! Statements as they are shown, `slow-queries`.

use serde_json::{Value, json};
use tidegate_perfmon::{By, Queries};

use crate::telemetry::{Section, Table};

pub(super) struct SlowQueriesSection(pub(super) Queries);

impl Section for SlowQueriesSection {
    fn name(&self) -> &'static str {
        "slow-queries"
    }

    fn json(&self, limit: usize) -> Value {
        let Self(queries) = self;
        let (calls, time) = queries.totals();
        json!({
            "items": queries.slow(limit),
            "top_by_total": queries.top(By::Total, limit),
            "repeated": queries.repeated(limit),
            "forgotten": queries.forgotten(),
            "calls": calls,
            "total_ms": time.as_secs_f64() * 1_000.0,
        })
    }

    /// The slow ones.
    fn table(&self, limit: usize) -> Option<Table> {
        let row = |slow: tidegate_perfmon::SlowQuery| {
            vec![
                slow.at_unix_ms.to_string(),
                (slow.elapsed.as_secs_f64() * 1_000.0).to_string(),
                slow.rows.to_string(),
                slow.fingerprint.to_string(),
                slow.trace.map(|trace| format!("{:032x}", trace.trace_id())).unwrap_or_default(),
                slow.text,
            ]
        };
        Some(Table {
            columns: &["at_unix_ms", "elapsed_ms", "rows", "fingerprint", "trace_id", "text"],
            rows: self.0.slow(limit).into_iter().map(row).collect(),
        })
    }
}
