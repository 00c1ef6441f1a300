//! Jobs at set times, by as many schedulers as there are nodes, each time once.
//!
//! From the inside out: `expression` reads, `timetable` knows when (daylight saving included), `plan` decides which times
//! run, `entry` is the stored form, `fire` makes one step on a broker; [`Scheduler`] and [`Schedules`] are what users see.

mod entry;
mod error;
mod expression;
mod fire;
mod plan;
mod schedule;
mod scheduler;
mod schedules;
mod timetable;

pub use entry::{LastRun, ScheduleState, ScheduledRun};
pub use error::ScheduleError;
pub use expression::{CronField, ExpressionError};
pub use schedule::{CatchUp, Overlap, Recurrence, Schedule};
pub use scheduler::{Scheduler, Ticked};
pub use schedules::{BrokenSchedule, Listing, Schedules, Triggered};
