//! Classes of the errors of this crate and of common errors of others.

use std::fmt;
use std::time::Duration;

use super::class::{ErrorClass, JobError};
use crate::group::GroupError;
use tidegate_queue_broker::{BrokerError, EnqueueError};

/// Delay of a job after a transient broker error.
pub(super) const STORE_PAUSE: Duration = Duration::from_secs(5);

macro_rules! retried {
    ($($error:ty),* $(,)?) => { $( impl JobError for $error {} )* };
}

retried![
    String,
    &str,
    std::char::ParseCharError,
    std::convert::Infallible,
    fmt::Error,
    std::io::Error,
    std::net::AddrParseError,
    std::num::ParseFloatError,
    std::num::ParseIntError,
    std::num::TryFromIntError,
    std::str::ParseBoolError,
    std::str::Utf8Error,
    std::string::FromUtf8Error,
    serde_json::Error,
    tokio::task::JoinError,
    tokio::time::error::Elapsed,
];

/// A busy or full store is not the job's fault: the job is snoozed for 5 s. A job that a group
/// refuses is buried: a retry would be refused too.
impl JobError for BrokerError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Group(_) => ErrorClass::Bury,
            _ if self.is_transient() => ErrorClass::Snooze(STORE_PAUSE),
            _ => ErrorClass::Retry,
        }
    }
}

/// The class of the inner [`BrokerError`]. A duplicate is retried, invalid options are buried.
impl JobError for EnqueueError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Broker(error) => error.class(),
            Self::Duplicate { .. } => ErrorClass::Retry,
            _ => ErrorClass::Bury,
        }
    }
}

/// The class of the inner error, if there is one. [`Contended`](GroupError::Contended) is retried,
/// any other error buries the job.
impl JobError for GroupError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Enqueue(error) => error.class(),
            Self::Broker(error) => error.class(),
            Self::Contended(_) => ErrorClass::Retry,
            _ => ErrorClass::Bury,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_that_no_queue_accepts_are_buried() {
        let large = EnqueueError::PayloadTooLarge { bytes: 2, limit: 1 };
        let named = EnqueueError::QueueName(crate::check_queue_name("a b").unwrap_err());
        let held = EnqueueError::Duplicate { held_by: crate::JobId::generate() };
        assert_eq!([large, named, held].map(|e| e.class()), [ErrorClass::Bury, ErrorClass::Bury, ErrorClass::Retry]);
    }
}
