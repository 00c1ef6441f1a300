//! Proofs on a [`Topology`](crate::Topology): staged load, a spike, a rolling restart, faults, and
//! the cost of a request.

mod cost;
mod faults;
mod growth;
mod page;
mod report;
mod rolling;
mod spike;
mod stages;

pub use self::cost::cost;
pub use self::faults::faults;
pub use self::page::section;
pub use self::report::{Cost, ProofReport, Stretch};
pub use self::rolling::rolling;
pub use self::spike::spike;
pub use self::stages::stages;

use crate::TopologyOptions;

/// How large a proof is.
#[derive(Clone, Debug)]
pub struct Size {
    /// Factor of all lengths of time.
    pub scale: f64,
    /// Most users.
    pub users: usize,
    /// Settings of the nodes besides those of `compose.yaml` and of the proof itself.
    pub settings: Vec<(String, String)>,
}

impl Size {
    /// Returns a topology with these settings, and with those that override them.
    fn topology(&self, settings: &[(&str, &str)]) -> TopologyOptions {
        let own = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        TopologyOptions { settings: own.chain(self.settings.iter().cloned()).collect(), ..TopologyOptions::default() }
    }
}
