//! What can be wrong with a schedule.

use std::time::Duration;

use super::expression::ExpressionError;
use crate::clock::Timestamp;
use crate::error::BrokerError;
use crate::name::NameError;

/// A schedule was refused, or could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// The schedule's name is not allowed.
    #[error("schedule name: {0}")]
    Name(#[source] NameError),
    /// The queue's name is not allowed.
    #[error("queue name: {0}")]
    QueueName(#[source] NameError),
    /// The kind is not allowed.
    #[error("kind: {0}")]
    Kind(#[source] NameError),
    /// The cron expression can't be read.
    #[error(transparent)]
    Expression(#[from] ExpressionError),
    /// No time zone has this name.
    #[error("unknown time zone {zone:?}{}", like.map(|like| format!("; did you mean {like}?")).unwrap_or_default())]
    Zone {
        /// The name given, cut to 64 characters.
        zone: String,
        /// A zone of a similar name.
        like: Option<&'static str>,
    },
    /// No time comes at which it would be due.
    #[error("{recurrence} never fires after {from}{}", until.map(|end| format!(" and up to its end, {end}")).unwrap_or_default())]
    NeverFires {
        /// The recurrence in words: the expression and zone, or the interval.
        recurrence: String,
        /// Where the search began.
        from: Timestamp,
        /// Where it ended, if the schedule has an end.
        until: Option<Timestamp>,
    },
    /// The interval is too short or too long.
    #[error("an interval of {given:?} is not between 1 second and 100 years")]
    Interval {
        /// The interval given.
        given: Duration,
    },
    /// The grace is too long.
    #[error("a grace of {given:?} is longer than a day")]
    Grace {
        /// The grace given.
        given: Duration,
    },
    /// The number of runs to catch up with is out of bounds.
    #[error("catching up with at most {given} runs: allowed are 1 to {limit}")]
    CatchUp {
        /// The number given.
        given: u32,
        /// The largest allowed.
        limit: u32,
    },
    /// The payload is larger than allowed.
    #[error("payload of {bytes} bytes is above the limit of {limit} for schedules")]
    PayloadTooLarge {
        /// Size as JSON.
        bytes: usize,
        /// Size allowed.
        limit: usize,
    },
    /// No schedule has this name.
    #[error("no schedule is named {0:?}")]
    Unknown(String),
    /// A schedule of this name is there already.
    #[error("a schedule named {0:?} exists")]
    Exists(String),
    /// What is stored under the name can't be read, maybe since a newer version wrote it.
    #[error("the stored schedule {name:?} can't be read: {fault}")]
    Broken {
        /// The schedule's name.
        name: String,
        /// What is wrong with it.
        fault: String,
    },
    /// Others changed the schedule again and again meanwhile.
    #[error("schedule {0:?} was changed by others at the same time, again and again")]
    Contended(String),
    /// The broker failed.
    #[error("{0}")]
    Broker(#[from] BrokerError),
}
