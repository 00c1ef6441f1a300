//! The state of alerts that processes share: silences, reports, the sender, and the notices that
//! were sent.
//!
//! Nothing here retries: a process that waited for an unreachable database would send nothing.

mod notices;
mod reports;
mod sender;
mod silences;
mod values;

pub use reports::{AlertReport, ReportChange};
pub use sender::{AlertSender, AlertState, StateChange};

#[cfg(test)]
pub(super) mod tests;
