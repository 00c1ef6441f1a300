//! Drives the examples over HTTP, and checks what must stay true.
//!
//! [`Fleet`] starts Redis, PostgreSQL and the processes of one example; [`driver`] sends requests,
//! open or closed loop; a [`Scenario`] knows the requests of one example, the figures to beat and
//! the invariants; [`faults`] kills processes and restarts Redis meanwhile.
//!
//! In the open loop requests start on a schedule, and a latency counts from the scheduled time: a
//! stall of the server shows in every request that it delayed.

mod api;
mod arrivals;
pub mod driver;
pub mod faults;
mod figures;
mod fleet;
pub mod page;
pub mod proof;
pub mod report;
pub mod scenario;
pub mod topology;
pub mod traffic;

pub use api::{Answer, Api};
pub use figures::{Figures, Recorder};
pub use fleet::{Fleet, FleetOptions};
pub use scenario::Scenario;
pub use topology::{Topology, TopologyOptions};
