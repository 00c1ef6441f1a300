//! Leases and their settlement.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::id::{GroupId, JobId, WorkerId};
use crate::state::Priority;
use crate::timestamp::Timestamp;

/// Identifies one lease of one job: `id.delivery.nonce`.
///
/// The delivery number grows with each lease of the job. The nonce is the worker's id. A token that
/// is not the newest can't settle the job.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LeaseToken {
    /// The job.
    pub id: JobId,
    /// Number of this lease, from 1.
    pub delivery: u32,
    /// The worker's identity.
    pub nonce: WorkerId,
}

impl fmt::Display for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.id, self.delivery, self.nonce)
    }
}

/// The text is not `id.delivery.nonce`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a lease token of the form id.delivery.nonce")]
pub struct TokenError;

impl FromStr for LeaseToken {
    type Err = TokenError;

    /// Splits from the right, since an id may contain dots.
    fn from_str(text: &str) -> Result<Self, TokenError> {
        let mut parts = text.rsplitn(3, '.');
        let (Some(nonce), Some(delivery), Some(id)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(TokenError);
        };
        if nonce.is_empty() {
            return Err(TokenError);
        }
        Ok(Self {
            id: JobId::new(id).map_err(|_| TokenError)?,
            delivery: delivery.parse().map_err(|_| TokenError)?,
            nonce: WorkerId::from_stored(nonce),
        })
    }
}

/// A job that is leased to a worker.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LeasedJob {
    /// Token of the lease.
    pub token: LeaseToken,
    /// Kind of job.
    pub kind: String,
    /// Version of the payload.
    pub version: u32,
    /// Payload as JSON text.
    pub payload: String,
    /// Priority.
    pub priority: Priority,
    /// Attempts allowed. `None` if the producer set none.
    pub max_attempts: Option<u32>,
    /// Longest run time. `None` if the producer set none.
    pub timeout: Option<Duration>,
    /// Number of failed attempts so far.
    pub failures: u32,
    /// When it was enqueued.
    pub created_at: Timestamp,
    /// When it last became ready.
    pub ready_at: Timestamp,
    /// When it was leased.
    pub leased_at: Timestamp,
    /// Latest time at which a run may start.
    pub expires_at: Option<Timestamp>,
    /// The producer's W3C `traceparent`.
    pub trace_parent: Option<String>,
    /// Its group.
    pub group: Option<GroupId>,
    /// State that an earlier run saved.
    pub checkpoint: Option<String>,
}

/// Settles the lease of a job that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The lease.
    pub token: LeaseToken,
    /// JSON text kept as the result.
    pub result: String,
}

/// Settles the lease of a job that is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nack {
    /// The lease.
    pub token: LeaseToken,
    /// The next state of the job.
    pub action: NackAction,
}

/// The next state of a job that was not done. If a cancellation was requested, the job is cancelled
/// instead of going back to the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NackAction {
    /// Failed; runs again after `delay`. Uses up an attempt and is written to the history.
    Retry {
        /// Time until the next attempt.
        delay: Duration,
        /// The error.
        error: String,
    },
    /// Postponed; runs again after `delay`. Uses up no attempt.
    Snooze {
        /// Time until the next attempt.
        delay: Duration,
        /// Shown with the record.
        note: Option<String>,
    },
    /// Failed for good.
    Dead {
        /// The error.
        error: String,
    },
    /// Goes back to its place in the queue, as if never leased. Uses up no attempt.
    Release,
    /// Cancelled, not dead.
    Discard {
        /// Shown with the record, as its note.
        reason: String,
    },
}

/// The broker's answer to an [`Ack`] or a [`Nack`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// This call settled the lease.
    Now,
    /// An earlier call settled the same lease; its answer may have been lost.
    Before,
    /// The lease is no longer the newest, or the record is gone. Nothing was written.
    Superseded,
    /// The partition that holds the job did not answer, while others did. Try again.
    Unanswered,
}

/// The broker's answer to a heartbeat. Leases in neither list were extended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heartbeat {
    /// Leases that are not the newest of their job.
    pub lost: Vec<LeaseToken>,
    /// Leases that were extended, but whose job is to be cancelled.
    pub cancelled: Vec<LeaseToken>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_text_even_with_dots_in_the_id() {
        let token = LeaseToken { id: JobId::new("a.b.7").unwrap(), delivery: 12, nonce: WorkerId::generate() };
        assert_eq!(token.to_string().parse::<LeaseToken>().unwrap(), token);
        for bad in ["", "a", "a.1", "a.x.n", ".1.n", "a.1."] {
            assert_eq!(bad.parse::<LeaseToken>(), Err(TokenError), "{bad}");
        }
    }
}
