//! Puts the examples and the fleet under load, and checks what must stay true.
//!
//! [`ExampleProcesses`] starts Redis, PostgreSQL and the processes of one example; [`driver`] sends
//! requests, open or closed loop; a [`Scenario`] knows the requests of one example, the figures to
//! beat and the invariants; [`faults`] kills processes and restarts Redis meanwhile.
//!
//! [`Topology`] starts the fleet of `deploy/compose.yaml` on this machine, [`traffic`] sends the
//! requests of many users through its proxy, and [`proof`] measures it under load and faults.
//!
//! In the open loop requests start on a schedule, and a latency counts from the scheduled time: a
//! stall of the server shows in every request that it delayed.

mod api;
mod arrivals;
mod check;
pub mod driver;
mod example;
pub mod faults;
mod figures;
mod lock;
pub mod page;
pub mod proof;
pub mod report;
pub mod scenario;
pub mod topology;
pub mod traffic;

pub use api::{Answer, Api};
pub use check::Check;
pub use example::{ExampleOptions, ExampleProcesses};
pub use figures::{Figures, Recorder};
pub use scenario::Scenario;
pub use topology::{Topology, TopologyOptions};
