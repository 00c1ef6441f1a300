use std::collections::HashSet;

use cargo_metadata::DependencyKind::{self, Build, Development, Normal};
use cargo_metadata::{Metadata, MetadataCommand};

use super::table::{CONFINED, ROWS};
use super::{Edge, cycle, judge, unknown, unused, vacant};

fn verdict(package: &str, dependency: &str, kind: DependencyKind) -> Option<String> {
    judge(Edge { package, dependency, kind }).map(|breach| breach.to_string())
}

#[track_caller]
fn assert_breach(package: &str, dependency: &str, kind: DependencyKind, expected: &str) {
    let breach = verdict(package, dependency, kind);
    assert!(breach.as_deref().is_some_and(|text| text.contains(expected)), "{package} → {dependency}: {breach:?}");
}

#[test]
fn what_the_plan_allows_passes() {
    for (package, dependency, kind) in [
        ("tidegate-api", "tidegate-node", Normal),
        ("tidegate-worker", "tidegate-server", Normal),
        ("tidegate-node", "tidegate-perfmon", Normal),
        ("tidegate-api", "tidegate-testkit", Development),
        ("tidegate-queue", "tidegate-testkit", Development),
        ("tidegate-store", "sqlx", Normal),
        ("tidegate-node", "axum", Normal),
        ("tidegate-telemetry", "tracing-subscriber", Normal),
        ("tidegate-perfmon", "serde", Normal),
        ("xtask", "clap", Normal),
    ] {
        assert_eq!(verdict(package, dependency, kind), None, "{package} → {dependency}");
    }
}

#[test]
fn libraries_never_import_one_another() {
    let libraries = ["tidegate-cache", "tidegate-ratelimit", "tidegate-queue", "tidegate-perfmon"];
    for package in libraries {
        for dependency in libraries.into_iter().filter(|&dependency| dependency != package) {
            for kind in [Normal, Development, Build] {
                assert_breach(package, dependency, kind, "but may import");
            }
        }
    }
}

#[test]
fn imports_go_downwards_only() {
    assert_breach("tidegate-node", "tidegate-api", Normal, "but may import only");
    assert_breach(
        "tidegate-queue",
        "tidegate-node",
        Normal,
        "but may import only tidegate-clock, tidegate-queue-broker",
    );
    assert_breach("tidegate-redis", "tidegate-queue", Normal, "may import nothing of ours");
    assert_breach("tidegate-testkit", "tidegate-queue", Normal, "may import nothing of ours");
    assert_breach("tidegate-api", "tidegate-worker", Development, "but may import only");
    assert_breach("tidegate-node", "xtask", Build, "but may import only");
}

#[test]
fn the_parts_of_the_service_are_imported_from_above_alone() {
    for (package, dependency) in [
        ("tidegate-server", "tidegate-model"),
        ("tidegate-store", "tidegate-telemetry"),
        ("tidegate-telemetry", "tidegate-domain"),
        ("tidegate-domain", "tidegate-node"),
        ("tidegate-base", "tidegate-settings"),
        ("tidegate-model", "tidegate-store"),
    ] {
        for kind in [Normal, Development, Build] {
            assert_breach(
                package,
                dependency,
                kind,
                &format!("`{package}` imports `{dependency}`, but may import only"),
            );
        }
    }
}

#[test]
fn the_testkit_is_only_ever_a_dev_dependency() {
    for kind in [Normal, Build] {
        assert_breach("tidegate-node", "tidegate-testkit", kind, "only ever a dev-dependency");
    }
}

#[test]
fn foreign_packages_stay_in_their_rooms() {
    for library in ["tidegate-cache", "tidegate-ratelimit", "tidegate-queue", "tidegate-perfmon"] {
        for kind in [Normal, Development] {
            assert_breach(
                library,
                "axum",
                kind,
                "which only tidegate-api, tidegate-node, tidegate-server, tidegate-web, and tidegate-benches, \
                 tidegate-domain, tidegate-examples, tidegate-telemetry as a dev-dependency may",
            );
            assert_breach(library, "tracing-subscriber", kind, "may");
        }
    }
    assert_breach("tidegate-worker", "axum", Normal, "which only");
    assert_breach(
        "tidegate-api",
        "sqlx",
        Normal,
        "which only tidegate-queue-broker, tidegate-settings, tidegate-store, and tidegate-examples, tidegate-queue, \
         tidegate-telemetry as a dev-dependency may",
    );
    assert_breach("tidegate-queue", "apalis", Development, "which only tidegate-benches as a dev-dependency may");
    assert_breach("tidegate-cache", "bb8", Normal, "which only tidegate-redis may");
}

#[test]
fn some_may_import_a_foreign_package_for_tests_alone() {
    for (package, dependency) in [
        ("tidegate-domain", "axum"),
        ("tidegate-telemetry", "axum"),
        ("tidegate-telemetry", "sqlx"),
        ("tidegate-node", "tracing-subscriber"),
        ("tidegate-store", "tracing-subscriber"),
        ("tidegate-api", "opentelemetry-proto"),
        ("tidegate-benches", "fred"),
    ] {
        assert_eq!(verdict(package, dependency, Development), None, "{package} → {dependency}");
        for kind in [Normal, Build] {
            assert_breach(package, dependency, kind, "as a dev-dependency may");
        }
    }
    for package in ["tidegate-api", "tidegate-worker"] {
        assert_breach(package, "tracing-subscriber", Development, "which only tidegate-settings, tidegate-telemetry");
    }
}

#[test]
fn a_new_package_needs_a_row() {
    let breach = unknown("tidegate-novelty").map(|breach| breach.to_string());
    assert!(breach.is_some_and(|text| text.contains("`tidegate-novelty` has no row in xtask/src/law/table.rs")));
    assert!(unknown("tidegate-cache").is_none());
}

#[test]
fn every_row_names_a_package_that_is_there() {
    let metadata = metadata();
    let packages = metadata.workspace_packages();
    let mut names: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    assert_eq!(vacant(&names).next(), None);

    names.retain(|name| *name != "tidegate-queue");
    let breaches: Vec<_> = vacant(&names).map(|breach| breach.to_string()).collect();
    assert_eq!(breaches, ["xtask/src/law/table.rs has a row for `tidegate-queue`, which is not there: drop it"]);
}

#[test]
fn the_table_has_no_double_or_dangling_names() {
    let packages: HashSet<&str> = ROWS.iter().map(|row| row.package).collect();
    assert_eq!(packages.len(), ROWS.len());
    let named = ROWS
        .iter()
        .flat_map(|row| row.may_import)
        .chain(CONFINED.iter().flat_map(|law| law.only_in.iter().chain(law.dev_only_in)));
    for name in named {
        assert!(packages.contains(name), "{name} is named but has no row");
    }
}

#[test]
fn no_way_leads_back() {
    assert_eq!(cycle::first(ROWS), None);
}

#[test]
fn every_permission_is_used() {
    let metadata = metadata();
    let packages = metadata.workspace_packages();
    let mut edges: Vec<Edge<'_>> = packages.iter().flat_map(|package| Edge::of(package)).collect();
    assert_eq!(unused::imports(ROWS, &edges).next(), None);
    assert_eq!(unused::confined(CONFINED, &edges).next(), None);

    edges.retain(|edge| (edge.package, edge.dependency) != ("tidegate-worker", "tidegate-server"));
    let breaches: Vec<_> = unused::imports(ROWS, &edges).map(|breach| breach.to_string()).collect();
    let expected =
        "xtask/src/law/table.rs lets `tidegate-worker` import `tidegate-server`, which it does not: drop that";
    assert_eq!(breaches, [expected]);
}

#[test]
fn the_programs_import_no_more_than_they_need() {
    for dependency in ["tidegate-redis", "tidegate-sync", "tidegate-resilience"] {
        assert_breach("tidegate-api", dependency, Normal, "but may import only");
    }
    for dependency in ["tidegate-store", "tidegate-domain", "tidegate-telemetry", "tidegate-queue", "tidegate-cache"] {
        assert_breach("tidegate-worker", dependency, Normal, "but may import only");
    }
}

fn metadata() -> Metadata {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).no_deps().exec().unwrap()
}
