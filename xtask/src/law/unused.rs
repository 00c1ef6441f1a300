//! Permissions that no manifest uses.

use super::table::{Confined, Row};
use super::{Breach, Edge};

/// Imports that a row allows and its package does not have.
pub(super) fn imports<'a>(rows: &'static [Row], edges: &'a [Edge<'a>]) -> impl Iterator<Item = Breach<'a>> {
    let allowed = rows.iter().flat_map(|row| row.may_import.iter().map(|&dependency| (row.package, dependency)));
    unused(allowed, edges)
}

/// Packages that may import a confined one and do not.
pub(super) fn confined<'a>(laws: &'static [Confined], edges: &'a [Edge<'a>]) -> impl Iterator<Item = Breach<'a>> {
    let allowed = laws.iter().flat_map(|law| law.only_in.iter().map(|&package| (package, law.dependency)));
    unused(allowed, edges)
}

fn unused<'a>(
    allowed: impl Iterator<Item = (&'static str, &'static str)>,
    edges: &'a [Edge<'a>],
) -> impl Iterator<Item = Breach<'a>> {
    let is_used = |(package, dependency): &(&str, &str)| {
        edges.iter().any(|edge| edge.package == *package && edge.dependency == *dependency)
    };
    allowed.filter(move |pair| !is_used(pair)).map(|(package, dependency)| Breach::Unused { package, dependency })
}

#[cfg(test)]
mod tests {
    use cargo_metadata::DependencyKind::{Development, Normal};

    use super::{confined, imports};
    use crate::law::Edge;
    use crate::law::table::{Confined, Row};

    const ROWS: &[Row] = &[Row { package: "a", may_import: &["b", "c"] }, Row { package: "b", may_import: &[] }];
    const CONFINED: &[Confined] = &[Confined { dependency: "axum", only_in: &["a", "b"] }];

    #[test]
    fn an_import_that_nobody_has_is_a_breach() {
        let both =
            [("b", Normal), ("c", Development)].map(|(dependency, kind)| Edge { package: "a", dependency, kind });
        assert_eq!(imports(ROWS, &both).next(), None);
        let breaches: Vec<String> = imports(ROWS, &both[..1]).map(|breach| breach.to_string()).collect();
        assert_eq!(breaches, ["xtask/src/law/table.rs lets `a` import `c`, which it does not: drop that"]);
    }

    #[test]
    fn the_import_of_another_does_not_use_it() {
        let edges = [("b", "c"), ("c", "b")].map(|(package, dependency)| Edge { package, dependency, kind: Normal });
        assert_eq!(imports(ROWS, &edges).count(), 2);
    }

    #[test]
    fn a_confined_package_that_nobody_imports_is_a_breach() {
        let edges =
            [("a", "axum"), ("b", "tower")].map(|(package, dependency)| Edge { package, dependency, kind: Normal });
        let breaches: Vec<String> = confined(CONFINED, &edges).map(|breach| breach.to_string()).collect();
        assert_eq!(breaches, ["xtask/src/law/table.rs lets `b` import `axum`, which it does not: drop that"]);
    }
}
