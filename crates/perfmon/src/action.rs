//! Automatic changes that follow advice. They are off by default, bounded, made one at a time,
//! logged, and reverted when they do not help.
//!
//! An [`Actuator`] is a number of the running service that may be set within its bounds. The caller
//! runs [`Actions`] each minute. It follows the advice with the highest confidence
//! ([`Advice`](crate::advice::Advice)) that names an actuator, watches the effect, and returns a
//! log entry for each step.
//!
//! # Bounds
//!
//! - Without [`Settings::enabled`] it changes nothing. It still judges a change made before.
//! - A step is at most a quarter of the present value and never leaves the actuator's bounds.
//! - It makes one change at a time. The next change waits until the last one has been judged, and
//!   for ten minutes. At most six changes are made in 1,440 minutes.
//! - After five minutes it judges a change by the symptom that the change was made for. It reverts
//!   the change if that symptom, the API's P99 or the API's error rate is worse than before. It
//!   also reverts the change after fifteen minutes without data.
//! - An actuator whose change was reverted is not changed for 1,440 minutes: its advice was wrong.
//! - A value that another party has set since is never overwritten.
//!
//! # What it does not guarantee
//!
//! - It holds nothing over a restart: an actuator starts with its configured value.
//! - Better and worse are what five minutes show. A change that does harm later stays until an
//!   operator reverts it.

mod actions;
mod actuator;
mod effect;
mod entry;
mod settings;

pub use actions::Actions;
pub use actuator::{Actuator, Refused};
pub use entry::{Entry, Outcome, RevertError};
pub use settings::Settings;
