//! Periodic jobs. Every node may run a scheduler; each scheduled time makes one job.
//!
//! Layers from the inside out: `expression` parses, `timetable` computes due times (including
//! daylight saving), `plan` decides which times run, `entry` is the stored form, and `fire` makes
//! one step on a broker. [`Scheduler`] and [`Schedules`] are the public types.

mod entry;
mod error;
mod expression;
mod fire;
mod missed;
mod plan;
mod recurrence;
mod schedule;
mod scheduler;
mod schedules;
mod timetable;

pub use entry::{LastRun, ScheduleState, ScheduledRun};
pub use error::ScheduleError;
pub use expression::{CronField, ExpressionError};
pub use missed::{CatchUp, Overlap};
pub use recurrence::Recurrence;
pub use schedule::Schedule;
pub use scheduler::{Scheduler, Ticked};
pub use schedules::{BrokenSchedule, Listing, Schedules, Triggered};
