//! Rows of the table that would let packages import one another in a cycle.
//!
//! Cargo refuses such a cycle, unless one of its imports is a dev-dependency.

use super::Breach;
use super::graph::{Graph, reach};
use super::table::Row;

/// The first cycle of the table.
pub(super) fn first(rows: &'static [Row]) -> Option<Breach<'static>> {
    let graph = rows.iter().map(|row| (row.package, row.may_import.iter().copied().collect())).collect();
    rows.iter().find_map(|row| Some(Breach::Cycle { package: row.package, way: way_back(row.package, &graph)? }))
}

/// The packages from one back to itself.
fn way_back(package: &'static str, graph: &Graph<'static>) -> Option<Vec<&'static str>> {
    let before = reach(package, graph);
    let mut last = *before.get(package)?;
    let mut way = vec![package];
    while last != package {
        way.push(last);
        last = before.get(last)?;
    }
    way.push(package);
    way.reverse();
    Some(way)
}

#[cfg(test)]
mod tests {
    use super::first;
    use crate::law::table::Row;

    #[test]
    fn a_package_that_may_import_itself_is_a_cycle() {
        // The first row leads into the cycle and is no part of it.
        const ROWS: &[Row] = &[Row { package: "a", may_import: &["b"] }, Row { package: "b", may_import: &["b"] }];
        let breach = first(ROWS).map(|breach| breach.to_string());
        assert_eq!(breach.as_deref(), Some("xtask/src/law/table.rs lets `b` import itself: b imports b"));
    }

    #[test]
    fn a_longer_way_back_is_named() {
        const ROWS: &[Row] = &[
            Row { package: "a", may_import: &["b"] },
            Row { package: "b", may_import: &["d", "c"] },
            Row { package: "c", may_import: &["a"] },
            Row { package: "d", may_import: &[] },
        ];
        let breach = first(ROWS).map(|breach| breach.to_string());
        let expected = "xtask/src/law/table.rs lets `a` import itself: a imports b imports c imports a";
        assert_eq!(breach.as_deref(), Some(expected));
    }

    #[test]
    fn two_ways_down_are_no_cycle() {
        const ROWS: &[Row] = &[
            Row { package: "a", may_import: &["b", "c"] },
            Row { package: "b", may_import: &["d"] },
            Row { package: "c", may_import: &["d"] },
            Row { package: "d", may_import: &[] },
        ];
        assert_eq!(first(ROWS), None);
    }
}
