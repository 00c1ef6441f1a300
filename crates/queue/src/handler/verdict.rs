//! What the end of a handler says about its job.

use super::chain::in_chain;
use super::class::BoxError;
use super::error::PayloadTooNew;
use super::failure::Failure;
use super::outcome::Outcome;

/// Result of running a handler.
pub(crate) enum Verdict {
    Ended(Outcome),
    /// The payload is of a newer version; another worker may know it.
    NotForUs(String),
}

impl Verdict {
    pub(crate) fn of(result: Result<Outcome, BoxError>) -> Self {
        match result {
            Ok(outcome) => Self::Ended(outcome),
            // Layers may have wrapped it.
            Err(error) => match in_chain::<PayloadTooNew>(&*error) {
                Some(too_new) => Self::NotForUs(too_new.to_string()),
                None => Self::Ended(Failure::from(error).into()),
            },
        }
    }
}
