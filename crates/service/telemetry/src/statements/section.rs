//! The section `slow-queries`.

use serde::Serialize;
use serde_json::{Value, json};
use tidegate_perfmon::{By, Queries};

use crate::{Section, Table};

/// The columns of all lists. If an item lacks a member, its cell is empty.
const COLUMNS: &[&str] = &[
    "list",
    "fingerprint",
    "text",
    "dialect",
    "route",
    "at_unix_ms",
    "elapsed_ms",
    "calls",
    "slow",
    "requests",
    "most",
    "total_ms",
    "mean_ms",
    "p99_ms",
    "max_ms",
    "rows",
    "share",
    "first_at_unix_ms",
    "last_at_unix_ms",
    "trace_id",
];
const LISTS: &[&str] = &["items", "top_by_total", "repeated"];

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
            "top_by_total": dated(&queries.top(By::Total, limit)),
            "repeated": dated(&queries.repeated(limit)),
            "forgotten": queries.forgotten(),
            "calls": calls,
            "total_ms": time.as_secs_f64() * 1_000.0,
        })
    }

    /// Returns the rows of all three lists.
    fn table(&self, limit: usize) -> Option<Table> {
        Some(Table::of_lists(COLUMNS, LISTS, &self.json(limit)))
    }
}

/// Renames times to the names that all sections use.
fn dated<T: Serialize>(list: &[T]) -> Value {
    let mut items = json!(list);
    for item in items.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        for (old, new) in [("first_unix_ms", "first_at_unix_ms"), ("last_unix_ms", "last_at_unix_ms")] {
            if let Some(at) = item.remove(old) {
                item.insert(new.to_owned(), at);
            }
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidegate_perfmon::{Dialect, QueryConfig, RequestQueries, Seen};

    use super::*;
    use crate::sources::members;

    #[test]
    fn each_member_of_each_list_is_a_column() {
        let queries = Queries::new(QueryConfig::default());
        for _ in 0..3 {
            let request = RequestQueries::new();
            for _ in 0..10 {
                queries.record(&Seen {
                    sql: "SELECT a FROM t WHERE b = 1",
                    dialect: Dialect::Sqlite,
                    elapsed: Duration::from_secs(2),
                    rows: 1,
                    at_unix_ms: 7,
                    within: Some(&request),
                    trace: None,
                });
            }
            queries.finish("/a", &request, 8, None);
        }
        let section = SlowQueriesSection(queries);
        let (told, table) = (section.json(3), section.table(3).unwrap());
        for list in LISTS {
            let item = &told[*list][0];
            let missing: Vec<_> =
                members(item).into_iter().filter(|member| !COLUMNS.contains(&member.as_str())).collect();
            assert!(item.is_object() && missing.is_empty(), "{list}: {missing:?} of {told}");
            assert!(table.rows.iter().any(|row| row[0] == *list), "{table:?}");
        }
        assert_eq!(table.rows.len(), 5, "{table:?}");
    }
}
