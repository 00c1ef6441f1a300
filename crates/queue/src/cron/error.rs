//! Errors of schedules.

use std::time::Duration;

use super::expression::ExpressionError;
use tidegate_queue_broker::{BrokerError, NameError, Timestamp};

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
    /// The recurrence has no further due time.
    #[error("{recurrence} never fires after {from}{}", until.map(|end| format!(" and up to its end, {end}")).unwrap_or_default())]
    NeverFires {
        /// The recurrence in words: the expression and zone, or the interval.
        recurrence: String,
        /// Start of the search.
        from: Timestamp,
        /// End of the search. `None` if the schedule has no end.
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
    /// The limit on runs of a catch-up is out of bounds.
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
    /// A schedule with this name exists.
    #[error("a schedule named {0:?} exists")]
    Exists(String),
    /// The stored schedule can't be read, possibly because a newer version wrote it.
    #[error("the stored schedule {name:?} can't be read: {fault}")]
    Broken {
        /// The schedule's name.
        name: String,
        /// Description of the fault.
        fault: String,
    },
    /// Concurrent changes to the schedule made every attempt fail.
    #[error("schedule {0:?} was changed by others at the same time, again and again")]
    Contended(String),
    /// The broker failed.
    #[error("{0}")]
    Broker(#[from] BrokerError),
}
