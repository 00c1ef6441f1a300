//! Why an enqueue failed.

use std::sync::Arc;

use tidegate_redis::Error;

use super::durability::NotDurable;
use super::reply::{Unreadable, failed, unreadable};
use crate::error::BrokerError;

const ENQUEUE: &str = "enqueue";

/// Why a step failed. Returned to each caller whose jobs were in it.
#[derive(Clone)]
pub(super) enum Failure {
    Client(Error),
    Reply(Arc<str>),
    NotDurable(NotDurable),
    Connect(Arc<str>),
    /// The jobs are stored, but their new queue is not registered.
    Unregistered(Error),
    /// The task that stored the jobs ended without an answer.
    Gone,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Client(error)
    }
}

impl From<Unreadable> for Failure {
    fn from(error: Unreadable) -> Self {
        Self::Reply(error.to_string().into())
    }
}

impl From<Failure> for BrokerError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Client(error) => failed(ENQUEUE)(error),
            Failure::Reply(error) => unreadable(ENQUEUE)(error.as_ref().into()),
            Failure::NotDurable(why) => {
                let transient = why.is_transient();
                Self::Store { operation: ENQUEUE, transient, may_have_run: true, source: Box::new(why) }
            }
            Failure::Connect(error) => Self::Store {
                operation: "connect for durable enqueues",
                transient: true,
                may_have_run: false,
                source: error.as_ref().into(),
            },
            Failure::Unregistered(error) => partly(failed(ENQUEUE)(error)),
            Failure::Gone => Self::Store {
                operation: ENQUEUE,
                transient: false,
                may_have_run: true,
                source: "the task that stored the jobs ended".into(),
            },
        }
    }
}

/// The error of a batch of which some jobs may be stored. Never [`BrokerError::Full`], which says
/// that nothing was changed.
pub(super) fn partly(error: BrokerError) -> BrokerError {
    BrokerError::Store {
        operation: ENQUEUE,
        transient: error.is_transient(),
        may_have_run: true,
        source: Box::new(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_of_which_jobs_are_stored_is_no_full_store() {
        let full = BrokerError::Full { operation: ENQUEUE, source: "OOM".into() };
        let error = partly(full);
        assert!(error.may_have_run() && error.is_transient() && !error.is_full(), "{error:?}");
        assert!(BrokerError::from(Failure::Gone).may_have_run());
    }
}
