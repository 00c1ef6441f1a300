//! Warnings for an operator.

use std::fmt;

use super::NodeInfo;

/// Thresholds of the warnings.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Thresholds {
    /// Percent of the memory limit. 90 by default.
    pub memory_percent: f64,
    /// Percent of one core: a server executes commands on one core. 75 by default.
    pub processor_percent: f64,
    /// Open connections. 10,000 by default.
    pub clients: u64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { memory_percent: 90.0, processor_percent: 75.0, clients: 10_000 }
    }
}

impl Thresholds {
    /// Sets the percentage of the memory limit.
    #[must_use]
    pub fn memory_percent(mut self, percent: f64) -> Self {
        self.memory_percent = percent;
        self
    }

    /// Sets the percentage of a core.
    #[must_use]
    pub fn processor_percent(mut self, percent: f64) -> Self {
        self.processor_percent = percent;
        self
    }

    /// Sets the number of connections.
    #[must_use]
    pub fn clients(mut self, clients: u64) -> Self {
        self.clients = clients;
        self
    }
}

/// A warning about a server.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Warning {
    /// Its memory is nearly full: writes will fail, or keys will be evicted.
    Memory {
        /// Percent of the limit.
        percent: f64,
    },
    /// Its load is close to the limit of one core.
    Processor {
        /// Percent of one core.
        percent: f64,
    },
    /// It has many connections.
    Clients {
        /// Number of connections.
        clients: u64,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory { percent } => write!(f, "{percent:.0} % of its memory limit are in use"),
            Self::Processor { percent } => write!(f, "it uses {percent:.0} % of a core"),
            Self::Clients { clients } => write!(f, "{clients} connections are open"),
        }
    }
}

pub(super) fn of(info: &NodeInfo, thresholds: &Thresholds) -> Vec<Warning> {
    let memory = info.memory_use().map(|share| 100.0 * share).filter(|percent| *percent > thresholds.memory_percent);
    let processor = info.processor_percent.filter(|percent| *percent > thresholds.processor_percent);
    let clients = info.clients.filter(|clients| *clients > thresholds.clients);
    let warnings = [
        memory.map(|percent| Warning::Memory { percent }),
        processor.map(|percent| Warning::Processor { percent }),
        clients.map(|clients| Warning::Clients { clients }),
    ];
    warnings.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy() -> NodeInfo {
        let mut info = NodeInfo::parse("here:1", "used_memory:91\nmaxmemory:100\nconnected_clients:10001");
        info.processor_percent = Some(76.0);
        info
    }

    #[test]
    fn warns_above_and_not_at_the_threshold() {
        assert_eq!(busy().warnings(&Thresholds::default()).len(), 3);
        let mut info = NodeInfo::parse("here:1", "used_memory:90\nmaxmemory:100\nconnected_clients:10000");
        info.processor_percent = Some(75.0);
        assert_eq!(info.warnings(&Thresholds::default()), []);
    }

    #[test]
    fn thresholds_can_be_set() {
        let thresholds = Thresholds::default().memory_percent(99.0).processor_percent(80.0).clients(10_000);
        assert_eq!(busy().warnings(&thresholds), [Warning::Clients { clients: 10_001 }]);
        assert_eq!(busy().warnings(&thresholds)[0].to_string(), "10001 connections are open");
    }
}
