//! Changes made by themselves, from advice: off until asked for, within bounds, one at a time, written down, and taken back
//! when they don't help.
//!
//! An [`Actuator`] is a number of the running service that may be set, with its bounds. [`Actions`] holds them and is asked
//! each minute: it follows the surest [`Advice`](crate::advice::Advice) that names one of them, watches what becomes of it, and
//! returns what it did, for the log.
//!
//! # What it keeps to
//!
//! - Without [`Settings::enabled`] it changes nothing. What it changed before goes on being judged.
//! - A step is at most a quarter of the present value and never leaves the actuator's bounds.
//! - One change at a time: the next comes when the last one was judged, ten minutes after it or later, and at most six are made in
//!   1,440 minutes.
//! - After five minutes a change is judged by the symptom it was made for: if that is worse than before it, or if the API's
//!   P99 or its share of errors is, it is taken back. So it is when a quarter of an hour says nothing.
//! - An actuator whose change was taken back is left alone for 1,440 minutes: its advice was wrong.
//! - A value that somebody else has set since is never overwritten.
//!
//! # What it does not guarantee
//!
//! - It holds nothing over a restart: an actuator starts with its configured value.
//! - Better and worse are what five minutes show. A change whose harm comes later stays until somebody takes it back.

mod actions;
mod actuator;
mod effect;
mod entry;
mod settings;

pub use actions::Actions;
pub use actuator::{Actuator, Refused};
pub use entry::{Entry, Outcome, RevertError};
pub use settings::Settings;
