//! What an operation does.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// The kind of a measured operation; it decides the duration from which the operation is slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A statement or transaction; warns above 100 ms.
    Database,
    /// A call to another service's API; warns above 200 ms.
    Api,
    /// A cache read or write; warns above 10 ms.
    Cache,
    /// Rendering a page or document; warns above 50 ms.
    Rendering,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Database, Self::Api, Self::Cache, Self::Rendering];

    /// The duration above which a run is reported, unless the registry is built with another.
    pub const fn default_threshold(self) -> Duration {
        match self {
            Self::Database => Duration::from_millis(100),
            Self::Api => Duration::from_millis(200),
            Self::Cache => Duration::from_millis(10),
            Self::Rendering => Duration::from_millis(50),
        }
    }

    /// `database`, `api`, `cache` or `rendering`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Api => "api",
            Self::Cache => "cache",
            Self::Rendering => "rendering",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
