//! The laws: who may import whom, checked on `cargo metadata` and on the sources.
//!
//! [`structure`] has the laws for the inside of a package.

mod bans;
mod cycle;
mod graph;
mod page;
mod prose;
mod source;
mod structure;
mod table;
mod unused;

use std::fmt;
use std::path::Path;

use cargo_metadata::{Dependency, DependencyKind, MetadataCommand, Package};

use self::table::{CONFINED, Confined, DRIVER, ROWS, TESTKIT};

/// Checks the whole law.
pub(crate) fn check(root: &Path) -> Result<String, String> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .exec()
        .map_err(|error| format!("`cargo metadata` failed: {error}"))?;
    let packages = metadata.workspace_packages();
    let names: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let edges: Vec<Edge<'_>> = packages.iter().flat_map(|package| Edge::of(package)).collect();
    let mut breaches = Vec::new();
    breaches.extend(names.iter().filter_map(|name| unknown(name)).map(|breach| breach.to_string()));
    breaches.extend(edges.iter().filter_map(|edge| judge(*edge)).map(|breach| breach.to_string()));
    breaches.extend(vacant(&names).map(|breach| breach.to_string()));
    breaches.extend(unused::imports(ROWS, &edges).map(|breach| breach.to_string()));
    breaches.extend(unused::confined(CONFINED, &edges).map(|breach| breach.to_string()));
    breaches.extend(cycle::first(ROWS).map(|breach| breach.to_string()));
    breaches.extend(bans::check(root)?);
    breaches.extend(page::check(root)?);
    breaches.extend(source::check(root)?);
    breaches.extend(structure::check(root, &packages)?);
    breaches.extend(prose::check(root)?);
    if breaches.is_empty() {
        Ok(format!("the laws hold: {} packages, {} dependencies", packages.len(), edges.len()))
    } else {
        Err(format!("the laws are broken:\n  {}", breaches.join("\n  ")))
    }
}

/// One dependency as a manifest declares it, optional ones too.
#[derive(Clone, Copy, Debug)]
struct Edge<'a> {
    package: &'a str,
    dependency: &'a str,
    kind: DependencyKind,
}

impl<'a> Edge<'a> {
    /// The dependencies of a package.
    fn of(package: &'a Package) -> impl Iterator<Item = Self> {
        let edge = |dependency: &'a Dependency| Self {
            package: &package.name,
            dependency: &dependency.name,
            kind: dependency.kind,
        };
        package.dependencies.iter().map(edge)
    }
}

/// A forbidden import, and the law that forbids it.
#[derive(Debug, PartialEq, Eq)]
enum Breach<'a> {
    /// The package has no row in the table.
    Unknown { package: &'a str },
    /// The table has a row for a package that is not there.
    Vacant { package: &'static str },
    /// A package of the workspace, imported by one that may not.
    Import { package: &'a str, dependency: &'a str, may_import: &'static [&'static str] },
    /// The testkit outside dev-dependencies.
    Testkit { package: &'a str },
    /// A foreign package outside of the packages to which it is confined.
    Confined { package: &'a str, law: &'static Confined },
    /// The table allows a dependency that the package does not have.
    Unused { package: &'static str, dependency: &'static str },
    /// The table lets the package import itself by way of these.
    Cycle { package: &'static str, way: Vec<&'static str> },
}

/// Whether the table knows `package`.
fn unknown(package: &str) -> Option<Breach<'_>> {
    let known = ROWS.iter().any(|row| row.package == package);
    (!known).then_some(Breach::Unknown { package })
}

/// The rows of packages that are not among `packages`.
fn vacant(packages: &[&str]) -> impl Iterator<Item = Breach<'static>> {
    let rows = ROWS.iter().map(|row| row.package);
    rows.filter(|package| !packages.contains(package)).map(|package| Breach::Vacant { package })
}

/// Judges one dependency.
///
/// Dev-dependencies obey the same law, except the testkit and the dev-dependencies that a row
/// permits.
fn judge(edge: Edge<'_>) -> Option<Breach<'_>> {
    let Edge { package, dependency, kind } = edge;
    if let Some(law) = CONFINED.iter().find(|law| law.dependency == dependency) {
        let is_dev = kind == DependencyKind::Development;
        let may = law.only_in.contains(&package) || (is_dev && law.dev_only_in.contains(&package));
        return (!may).then_some(Breach::Confined { package, law });
    }
    if dependency == TESTKIT && package != DRIVER {
        return (kind != DependencyKind::Development).then_some(Breach::Testkit { package });
    }
    // The table lists the packages of the workspace. A missing one is reported as a package.
    ROWS.iter().find(|row| row.package == dependency)?;
    let may_import = ROWS.iter().find(|row| row.package == package)?.may_import;
    (!may_import.contains(&dependency)).then_some(Breach::Import { package, dependency, may_import })
}

impl fmt::Display for Breach<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { package } => {
                write!(f, "`{package}` has no row in xtask/src/law/table.rs: say there what it may import")
            }
            Self::Vacant { package } => {
                write!(f, "xtask/src/law/table.rs has a row for `{package}`, which is not there: drop it")
            }
            Self::Import { package, dependency, may_import: [] } => {
                write!(f, "`{package}` imports `{dependency}`, but may import nothing of ours")
            }
            Self::Import { package, dependency, may_import } => {
                write!(f, "`{package}` imports `{dependency}`, but may import only {}", may_import.join(", "))
            }
            Self::Testkit { package } => {
                write!(f, "`{package}` imports `{TESTKIT}`, which is only ever a dev-dependency")
            }
            Self::Confined { package, law: Confined { dependency, only_in, dev_only_in } } => {
                write!(f, "`{package}` imports `{dependency}`, which only ")?;
                let and = if only_in.is_empty() || dev_only_in.is_empty() { "" } else { ", and " };
                f.write_str(&only_in.join(", "))?;
                if !dev_only_in.is_empty() {
                    write!(f, "{and}{} as a dev-dependency", dev_only_in.join(", "))?;
                }
                f.write_str(" may")
            }
            Self::Unused { package, dependency } => {
                write!(f, "xtask/src/law/table.rs lets `{package}` import `{dependency}`, which it does not: drop that")
            }
            Self::Cycle { package, way } => {
                write!(f, "xtask/src/law/table.rs lets `{package}` import itself: {}", way.join(" imports "))
            }
        }
    }
}

#[cfg(test)]
mod tests;
