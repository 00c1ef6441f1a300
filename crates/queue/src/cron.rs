//! Jobs at set times, by as many schedulers as there are nodes, each time once.
mod error;
mod expression;
mod plan;
mod schedule;
mod timetable;

pub use error::ScheduleError;
pub use expression::{CronField, ExpressionError};
pub use schedule::{CatchUp, Overlap, Recurrence, Schedule};
