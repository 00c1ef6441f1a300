//! The address of a server.

use std::fmt;

use crate::config::Config;

/// A server's host and port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Address {
    /// The servers of the URL, at least one.
    pub(super) fn all(config: &Config) -> Vec<Self> {
        config.hosts().iter().map(|(host, port)| Self { host: host.clone(), port: *port }).collect()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}
