//! Permissions that no manifest uses.

use cargo_metadata::DependencyKind;

use super::table::{Confined, Row};
use super::{Breach, Edge};

/// Imports that a row allows and its package does not have.
pub(super) fn imports<'a>(rows: &'static [Row], edges: &'a [Edge<'a>]) -> impl Iterator<Item = Breach<'a>> {
    let allowed = rows.iter().flat_map(|row| row.may_import.iter().map(|&dependency| (row.package, dependency)));
    unused(allowed, edges, |_| true)
}

/// Packages that may import a confined one and do not, or only as a dev-dependency.
pub(super) fn confined<'a>(laws: &'static [Confined], edges: &'a [Edge<'a>]) -> impl Iterator<Item = Breach<'a>> {
    let pairs = |law: &'static Confined, packages: &'static [&'static str]| {
        packages.iter().map(move |&package| (package, law.dependency))
    };
    let always = laws.iter().flat_map(move |law| pairs(law, law.only_in));
    let for_tests = laws.iter().flat_map(move |law| pairs(law, law.dev_only_in));
    let is_dev = |edge: &Edge<'_>| edge.kind == DependencyKind::Development;
    unused(always, edges, move |edge| !is_dev(edge)).chain(unused(for_tests, edges, is_dev))
}

/// The allowed pairs for which there is no such edge.
fn unused<'a>(
    allowed: impl Iterator<Item = (&'static str, &'static str)>,
    edges: &'a [Edge<'a>],
    counts: impl Fn(&Edge<'_>) -> bool,
) -> impl Iterator<Item = Breach<'a>> {
    allowed
        .filter(move |(package, dependency)| {
            !edges.iter().any(|edge| edge.package == *package && edge.dependency == *dependency && counts(edge))
        })
        .map(|(package, dependency)| Breach::Unused { package, dependency })
}

#[cfg(test)]
mod tests {
    use cargo_metadata::DependencyKind::{Development, Normal};

    use super::{confined, imports};
    use crate::law::Edge;
    use crate::law::table::{Confined, Row};

    const ROWS: &[Row] = &[Row { package: "a", may_import: &["b", "c"] }, Row { package: "b", may_import: &[] }];
    const CONFINED: &[Confined] = &[Confined { dependency: "axum", only_in: &["a"], dev_only_in: &["b"] }];

    #[test]
    fn a_permitted_import_that_does_not_exist_is_a_breach() {
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
    fn a_confined_package_is_imported_as_the_table_says() {
        let edge = |package, kind| Edge { package, dependency: "axum", kind };
        let exact = [edge("a", Normal), edge("b", Development)];
        assert_eq!(confined(CONFINED, &exact).next(), None);
        let breaches = |edges: &[Edge<'_>]| {
            let breaches = confined(CONFINED, edges).map(|breach| breach.to_string());
            breaches.collect::<Vec<_>>()
        };
        let of =
            |package| format!("xtask/src/law/table.rs lets `{package}` import `axum`, which it does not: drop that");
        assert_eq!(breaches(&exact[..1]), [of("b")]);
        assert_eq!(breaches(&[edge("a", Development), exact[1]]), [of("a")]);
        assert_eq!(breaches(&[edge("a", Normal), edge("b", Normal)]), [of("b")]);
    }
}
