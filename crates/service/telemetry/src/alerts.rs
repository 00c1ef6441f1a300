//! Turns the health report of each second into alerts: in the log and event stream of this process,
//! and at the receivers of the fleet.

mod dispatcher;
mod events;
mod figures;
mod fleet;
mod log;
mod notice;
mod receivers;
mod section;
mod sentence;
mod share;
mod silence_timers;
mod silencing;
mod stream;
#[cfg(test)]
mod test_alert;
mod tick;
mod traces;

pub use dispatcher::AlertDispatcher;
pub use silencing::SilenceFailure;
pub use stream::{Follower, StreamEvent, Topic};

#[cfg(test)]
mod tests;
