//! The law as data. `deny.toml` repeats as much of it as it can, and [`super::bans`] compares.
//!
//! A row matches the manifest of its package exactly. A permission that no manifest uses is a
//! breach too: it is given when it is needed.

/// One of our packages, and which others of ours it may import.
pub(super) struct Row {
    pub(super) package: &'static str,
    pub(super) may_import: &'static [&'static str],
}

/// A foreign package, and the only packages that may import it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Confined {
    pub(super) dependency: &'static str,
    pub(super) only_in: &'static [&'static str],
    /// Packages that may have it as a dev-dependency: for tests, measurements and examples.
    pub(super) dev_only_in: &'static [&'static str],
}

/// A name that only some files of a directory may use.
pub(super) struct ConfinedName {
    pub(super) name: &'static str,
    /// Relative to the workspace.
    pub(super) directory: &'static str,
    /// Beginnings of paths relative to `directory`.
    pub(super) only_in: &'static [&'static str],
}

/// Every package may have it as a dev-dependency. Otherwise only the driver may have it.
pub(super) const TESTKIT: &str = "tidegate-testkit";

/// Puts the examples under load, and starts the servers that they need.
pub(super) const DRIVER: &str = "tidegate-load";

const BENCHES: &[&str] = &["tidegate-benches"];

const TELEMETRY: &[&str] = &["tidegate-telemetry"];

/// The one client.
const REDIS: &[&str] = &["tidegate-redis"];

pub(super) const ROWS: &[Row] = &[
    Row {
        package: "tidegate-api",
        may_import: &[
            "tidegate-web",
            "tidegate-node",
            "tidegate-telemetry",
            "tidegate-domain",
            "tidegate-store",
            "tidegate-server",
            "tidegate-settings",
            "tidegate-model",
            "tidegate-base",
            "tidegate-cache",
            "tidegate-queue",
            "tidegate-ratelimit",
            "tidegate-perfmon",
        ],
    },
    Row {
        package: "tidegate-web",
        may_import: &[
            "tidegate-node",
            "tidegate-telemetry",
            "tidegate-domain",
            "tidegate-store",
            "tidegate-outgoing",
            "tidegate-server",
            "tidegate-settings",
            "tidegate-model",
            "tidegate-base",
            "tidegate-cache",
            "tidegate-queue",
            "tidegate-ratelimit",
            "tidegate-perfmon",
        ],
    },
    // It runs a node, which provides all else.
    Row {
        package: "tidegate-worker",
        may_import: &["tidegate-node", "tidegate-server", "tidegate-settings", "tidegate-base"],
    },
    // It knows the API by its documents, as any other client.
    Row { package: "tidegate-cli", may_import: &[] },
    Row {
        package: "tidegate-node",
        may_import: &[
            "tidegate-telemetry",
            "tidegate-domain",
            "tidegate-store",
            "tidegate-outgoing",
            "tidegate-server",
            "tidegate-settings",
            "tidegate-model",
            "tidegate-base",
            "tidegate-cache",
            "tidegate-queue",
            "tidegate-ratelimit",
            "tidegate-perfmon",
            "tidegate-redis",
            "tidegate-resilience",
        ],
    },
    Row {
        package: "tidegate-telemetry",
        may_import: &[
            "tidegate-store",
            "tidegate-outgoing",
            "tidegate-settings",
            "tidegate-model",
            "tidegate-base",
            "tidegate-cache",
            "tidegate-queue",
            "tidegate-ratelimit",
            "tidegate-perfmon",
            "tidegate-redis",
        ],
    },
    Row {
        package: "tidegate-domain",
        may_import: &[
            "tidegate-store",
            "tidegate-outgoing",
            "tidegate-settings",
            "tidegate-model",
            "tidegate-base",
            "tidegate-queue",
            "tidegate-ratelimit",
        ],
    },
    Row {
        package: "tidegate-store",
        may_import: &[
            "tidegate-settings",
            "tidegate-model",
            "tidegate-base",
            "tidegate-cache",
            "tidegate-queue",
            "tidegate-ratelimit",
            "tidegate-perfmon",
        ],
    },
    Row {
        package: "tidegate-outgoing",
        may_import: &["tidegate-settings", "tidegate-base", "tidegate-perfmon", "tidegate-redis"],
    },
    // It does not know the services that use it.
    Row { package: "tidegate-server", may_import: &["tidegate-base", "tidegate-ratelimit", "tidegate-perfmon"] },
    Row {
        package: "tidegate-settings",
        may_import: &[
            "tidegate-model",
            "tidegate-base",
            "tidegate-cache",
            "tidegate-ratelimit",
            "tidegate-perfmon",
            "tidegate-redis",
        ],
    },
    Row {
        package: "tidegate-model",
        may_import: &["tidegate-base", "tidegate-cache", "tidegate-queue", "tidegate-ratelimit", "tidegate-perfmon"],
    },
    Row { package: "tidegate-base", may_import: &["tidegate-perfmon"] },
    // Below all others.
    Row { package: "tidegate-clock", may_import: &[] },
    Row {
        package: "tidegate-cache",
        // Of the primitives, the lock alone: for turns of a write-behind.
        may_import: &["tidegate-cache-tiers", "tidegate-clock", "tidegate-redis", "tidegate-sync"],
    },
    // Never one another.
    Row { package: "tidegate-cache-tiers", may_import: &["tidegate-clock", "tidegate-redis"] },
    Row { package: "tidegate-ratelimit", may_import: &["tidegate-clock", "tidegate-redis"] },
    Row {
        package: "tidegate-queue",
        // Redis for tests alone.
        may_import: &["tidegate-clock", "tidegate-queue-broker", "tidegate-redis"],
    },
    Row { package: "tidegate-queue-broker", may_import: &["tidegate-clock", "tidegate-redis"] },
    Row { package: "tidegate-sync", may_import: &["tidegate-clock", "tidegate-redis"] },
    Row { package: "tidegate-perfmon", may_import: &["tidegate-clock"] },
    Row { package: "tidegate-redis", may_import: &[] },
    Row { package: "tidegate-resilience", may_import: &[] },
    Row { package: TESTKIT, may_import: &[] },
    Row {
        package: "tidegate-benches",
        may_import: &[
            "tidegate-cache",
            "tidegate-queue",
            "tidegate-ratelimit",
            "tidegate-perfmon",
            "tidegate-redis",
            "tidegate-resilience",
            "tidegate-sync",
        ],
    },
    // Like a user's service, it may import the published crates alone.
    Row {
        package: "tidegate-examples",
        may_import: &[
            "tidegate-cache",
            "tidegate-queue",
            "tidegate-ratelimit",
            "tidegate-perfmon",
            "tidegate-redis",
            "tidegate-resilience",
            "tidegate-sync",
        ],
    },
    Row { package: DRIVER, may_import: &[TESTKIT] },
    Row { package: "xtask", may_import: &[] },
];

pub(super) const CONFINED: &[Confined] = &[
    // The client must stay replaceable. The benchmarks measure the cost of our own layer over it.
    Confined { dependency: "fred", only_in: REDIS, dev_only_in: BENCHES },
    Confined { dependency: "bb8", only_in: REDIS, dev_only_in: &[] },
    // Peers to compare with, and never to build on.
    Confined { dependency: "apalis", only_in: &[], dev_only_in: BENCHES },
    Confined { dependency: "apalis-redis", only_in: &[], dev_only_in: BENCHES },
    Confined { dependency: "bullmq-official", only_in: &[], dev_only_in: BENCHES },
    Confined {
        dependency: "axum",
        only_in: &["tidegate-api", "tidegate-node", "tidegate-server", "tidegate-web"],
        dev_only_in: &["tidegate-benches", "tidegate-domain", "tidegate-examples", "tidegate-telemetry"],
    },
    // The API makes pages, and the domain makes the one page that is a file of a report.
    // Measurements do not know how they are shown.
    Confined { dependency: "maud", only_in: &["tidegate-api", "tidegate-domain"], dev_only_in: &[] },
    Confined { dependency: "lettre", only_in: &["tidegate-outgoing", "tidegate-settings"], dev_only_in: &[] },
    Confined { dependency: "thirtyfour", only_in: &[TESTKIT], dev_only_in: &[] },
    Confined {
        dependency: "sqlx",
        only_in: &["tidegate-queue-broker", "tidegate-settings", "tidegate-store"],
        dev_only_in: &["tidegate-examples", "tidegate-queue", "tidegate-telemetry"],
    },
    // Files have one interface. No other crate needs to know where they are.
    Confined { dependency: "object_store", only_in: &["tidegate-domain", "tidegate-settings"], dev_only_in: &[] },
    // Code that measures knows no protocol. The API's tests read the messages to a collector.
    Confined { dependency: "opentelemetry", only_in: TELEMETRY, dev_only_in: &[] },
    Confined { dependency: "opentelemetry-proto", only_in: TELEMETRY, dev_only_in: &["tidegate-api"] },
    Confined { dependency: "opentelemetry_sdk", only_in: TELEMETRY, dev_only_in: &[] },
    Confined { dependency: "tracing-opentelemetry", only_in: TELEMETRY, dev_only_in: &[] },
    // A library emits events. The service decides how and where they are written.
    Confined {
        dependency: "tracing-subscriber",
        only_in: &["tidegate-settings", "tidegate-telemetry"],
        dev_only_in: &["tidegate-node", "tidegate-store"],
    },
];

pub(super) const CONFINED_NAMES: &[ConfinedName] = &[
    // Probes alone are served by a node, also while it starts.
    ConfinedName { name: "axum", directory: "crates/service/node/src", only_in: &["probes", "waiting_start"] },
    // The page that is a file of a report.
    ConfinedName { name: "maud", directory: "crates/service/domain/src", only_in: &["report"] },
    ConfinedName { name: "sqlx", directory: "crates/queue-broker/src", only_in: &["broker/sqlite"] },
    // The page about the architecture lists the layers of single routes from there.
    ConfinedName { name: "route_layer", directory: "bins/api/src", only_in: &["openapi/routes"] },
    // The settings validate the parts of a PostgreSQL URL.
    ConfinedName { name: "sqlx", directory: "crates/service/settings/src", only_in: &["database_url"] },
];
