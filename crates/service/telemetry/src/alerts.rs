//! Turns the health report of each second into alerts: in the log and event stream of this process,
//! and at the receivers of the fleet.

mod beat;
mod desk;
mod events;
mod figures;
mod fleet;
mod log;
mod notice;
mod receivers;
mod section;
mod sentence;
mod share;
mod silencing;
mod steady;
mod stream;
#[cfg(test)]
mod test_alert;
mod traces;

pub use desk::AlertDesk;
pub use silencing::SilenceFailure;
pub use stream::{Follower, Told, Topic};

#[cfg(test)]
mod tests;
