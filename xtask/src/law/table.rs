//! The law as data. `deny.toml` says as much of it as it can.
//!
//! A row is given when its package comes, not before. A permission for a package that does not
//! exist is a breach too.

/// One of our packages, and which others of ours it may import.
pub(super) struct Room {
    pub(super) package: &'static str,
    pub(super) may_import: &'static [&'static str],
}

/// A foreign package, and where alone it may be imported.
pub(super) struct Confined {
    pub(super) dependency: &'static str,
    pub(super) only_in: &'static [&'static str],
}

/// A name that only some files of a directory may use.
pub(super) struct ConfinedName {
    pub(super) name: &'static str,
    /// Relative to the workspace.
    pub(super) directory: &'static str,
    /// Beginnings of paths relative to `directory`.
    pub(super) only_in: &'static [&'static str],
}

/// Any of ours may have it as a dev-dependency, and none otherwise but the driver.
pub(super) const TESTKIT: &str = "tidegate-testkit";

/// Puts the examples under load, and starts the servers that they need.
pub(super) const DRIVER: &str = "tidegate-load";

const LIBRARIES: &[&str] = &[
    "tidegate-cache",
    "tidegate-ratelimit",
    "tidegate-queue",
    "tidegate-perfmon",
    "tidegate-redis",
    "tidegate-resilience",
    "tidegate-sync",
];

const LIBRARIES_AND_SERVICE: &[&str] = &[
    "tidegate-node",
    "tidegate-base",
    "tidegate-domain",
    "tidegate-model",
    "tidegate-outgoing",
    "tidegate-server",
    "tidegate-settings",
    "tidegate-store",
    "tidegate-telemetry",
    "tidegate-cache",
    "tidegate-ratelimit",
    "tidegate-queue",
    "tidegate-perfmon",
    "tidegate-redis",
    "tidegate-resilience",
    "tidegate-sync",
];

/// The parts of the service, and the libraries on which they stand.
const SERVICE: &[&str] = &[
    "tidegate-base",
    "tidegate-domain",
    "tidegate-model",
    "tidegate-outgoing",
    "tidegate-server",
    "tidegate-settings",
    "tidegate-store",
    "tidegate-telemetry",
    "tidegate-cache",
    "tidegate-ratelimit",
    "tidegate-queue",
    "tidegate-perfmon",
    "tidegate-redis",
    "tidegate-resilience",
    "tidegate-sync",
];

const BENCHES: &[&str] = &["tidegate-benches"];

/// The one client.
const REDIS: &[&str] = &["tidegate-redis"];

pub(super) const ROOMS: &[Room] = &[
    Room { package: "tidegate-api", may_import: LIBRARIES_AND_SERVICE },
    Room { package: "tidegate-worker", may_import: LIBRARIES_AND_SERVICE },
    // It knows the API by its documents, as any other client.
    Room { package: "tidegate-cli", may_import: &[] },
    Room { package: "tidegate-node", may_import: SERVICE },
    Room { package: "tidegate-base", may_import: &["tidegate-perfmon"] },
    Room {
        package: "tidegate-model",
        may_import: &["tidegate-base", "tidegate-cache", "tidegate-perfmon", "tidegate-queue", "tidegate-ratelimit"],
    },
    Room {
        package: "tidegate-settings",
        may_import: &[
            "tidegate-base",
            "tidegate-model",
            "tidegate-cache",
            "tidegate-ratelimit",
            "tidegate-perfmon",
            "tidegate-redis",
        ],
    },
    Room {
        package: "tidegate-outgoing",
        may_import: &["tidegate-base", "tidegate-settings", "tidegate-perfmon", "tidegate-redis"],
    },
    // Knows nothing of the domain.
    Room { package: "tidegate-server", may_import: &["tidegate-base", "tidegate-ratelimit", "tidegate-perfmon"] },
    Room {
        package: "tidegate-store",
        may_import: &[
            "tidegate-base",
            "tidegate-model",
            "tidegate-settings",
            "tidegate-cache",
            "tidegate-ratelimit",
            "tidegate-queue",
            "tidegate-perfmon",
        ],
    },
    Room {
        package: "tidegate-telemetry",
        may_import: &[
            "tidegate-base",
            "tidegate-model",
            "tidegate-settings",
            "tidegate-outgoing",
            "tidegate-store",
            "tidegate-cache",
            "tidegate-ratelimit",
            "tidegate-queue",
            "tidegate-perfmon",
            "tidegate-redis",
        ],
    },
    Room {
        package: "tidegate-domain",
        may_import: &[
            "tidegate-base",
            "tidegate-model",
            "tidegate-settings",
            "tidegate-outgoing",
            "tidegate-server",
            "tidegate-store",
            "tidegate-ratelimit",
            "tidegate-queue",
        ],
    },
    // Never one another.
    Room { package: "tidegate-cache", may_import: REDIS },
    Room { package: "tidegate-ratelimit", may_import: REDIS },
    Room { package: "tidegate-queue", may_import: REDIS },
    Room { package: "tidegate-sync", may_import: REDIS },
    Room { package: "tidegate-perfmon", may_import: &[] },
    Room { package: "tidegate-redis", may_import: &[] },
    Room { package: "tidegate-resilience", may_import: &[] },
    Room { package: TESTKIT, may_import: &[] },
    Room { package: "tidegate-benches", may_import: LIBRARIES },
    // As a user's service: the published crates alone.
    Room { package: "tidegate-examples", may_import: LIBRARIES },
    Room { package: DRIVER, may_import: &[TESTKIT] },
    Room { package: "xtask", may_import: &[] },
];

pub(super) const CONFINED: &[Confined] = &[
    // The client must stay replaceable; the benchmarks measure what our own layer costs over it.
    Confined { dependency: "fred", only_in: &["tidegate-redis", "tidegate-benches"] },
    Confined { dependency: "bb8", only_in: REDIS },
    // Peers to compare with, and never to build on.
    Confined { dependency: "apalis", only_in: BENCHES },
    Confined { dependency: "apalis-redis", only_in: BENCHES },
    Confined { dependency: "bullmq-official", only_in: BENCHES },
    Confined {
        dependency: "axum",
        only_in: &[
            "tidegate-api",
            "tidegate-node",
            "tidegate-benches",
            "tidegate-domain",
            "tidegate-examples",
            "tidegate-server",
            "tidegate-telemetry",
        ],
    },
    // The API makes pages, and the domain makes the one page that is a file of a report.
    // Measurements do not know how they are shown.
    Confined { dependency: "maud", only_in: &["tidegate-api", "tidegate-domain"] },
    Confined { dependency: "lettre", only_in: &["tidegate-outgoing", "tidegate-settings"] },
    Confined { dependency: "thirtyfour", only_in: &["tidegate-testkit"] },
    Confined {
        dependency: "sqlx",
        only_in: &["tidegate-examples", "tidegate-queue", "tidegate-settings", "tidegate-store", "tidegate-telemetry"],
    },
    // Files are one interface, behind which nobody has to know where they lie.
    Confined { dependency: "object_store", only_in: &["tidegate-domain", "tidegate-settings"] },
    // Who measures knows no protocol. The API's tests read what a collector is sent.
    Confined { dependency: "opentelemetry", only_in: &["tidegate-telemetry"] },
    Confined { dependency: "opentelemetry-proto", only_in: &["tidegate-api", "tidegate-telemetry"] },
    Confined { dependency: "opentelemetry_sdk", only_in: &["tidegate-telemetry"] },
    Confined { dependency: "tracing-opentelemetry", only_in: &["tidegate-telemetry"] },
    // A library emits events; who listens and how is for the binaries to say.
    Confined {
        dependency: "tracing-subscriber",
        only_in: &[
            "tidegate-api",
            "tidegate-node",
            "tidegate-settings",
            "tidegate-store",
            "tidegate-telemetry",
            "tidegate-worker",
        ],
    },
];

pub(super) const CONFINED_NAMES: &[ConfinedName] = &[
    ConfinedName { name: "sqlx", directory: "crates/queue/src", only_in: &["broker/sqlite"] },
    // The settings know what a URL of PostgreSQL may say.
    ConfinedName { name: "sqlx", directory: "crates/service/settings/src", only_in: &["database_url"] },
    // Beside the store, only those that hear what it tells of statements, and tests.
    ConfinedName {
        name: "sqlx",
        directory: "crates/service/telemetry/src",
        only_in: &["otlp", "postgres", "statements"],
    },
];
