//! The lease: who holds a job, until when, and how it is given back.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::id::{GroupId, JobId, WorkerId};
use crate::state::Priority;

/// Names one lease of one job: `id.delivery.nonce`.
///
/// The delivery number grows with each lease of the job, the nonce is the worker's; a token that is
/// not the newest finds nothing to settle.
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

    /// Reads from the right, since an id may contain dots.
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

/// A job in the hands of a worker.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LeasedJob {
    /// Names the lease.
    pub token: LeaseToken,
    /// Kind of job.
    pub kind: String,
    /// Version of the payload.
    pub version: u32,
    /// JSON text.
    pub payload: String,
    /// Urgency.
    pub priority: Priority,
    /// Attempts allowed, where the producer set it.
    pub max_attempts: Option<u32>,
    /// Longest run, where the producer set it.
    pub timeout: Option<Duration>,
    /// Attempts that failed so far.
    pub failures: u32,
    /// When it was enqueued.
    pub created_at: Timestamp,
    /// When it last became ready.
    pub ready_at: Timestamp,
    /// When it was leased.
    pub leased_at: Timestamp,
    /// A run that begins later is not wanted.
    pub expires_at: Option<Timestamp>,
    /// The producer's W3C `traceparent`.
    pub trace_parent: Option<String>,
    /// The group that counts it.
    pub group: Option<GroupId>,
    /// What an earlier run left behind to go on from.
    pub checkpoint: Option<String>,
}

/// Success: consumes the lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The lease.
    pub token: LeaseToken,
    /// JSON text kept as the result.
    pub result: String,
}

/// Anything but success: consumes the lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nack {
    /// The lease.
    pub token: LeaseToken,
    /// What becomes of the job.
    pub action: NackAction,
}

/// What becomes of a job that was not done. A requested cancellation goes before any way back to
/// the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NackAction {
    /// Failed; again after `delay`. Burns an attempt and is written to the history.
    Retry {
        /// Time until the next attempt.
        delay: Duration,
        /// What went wrong.
        error: String,
    },
    /// Not now; again after `delay`. Burns nothing.
    Snooze {
        /// Time until the next attempt.
        delay: Duration,
        /// Shown with the record.
        note: Option<String>,
    },
    /// Failed for good.
    Dead {
        /// What went wrong.
        error: String,
    },
    /// Back to its place in the queue, as if never leased. Burns nothing.
    Release,
    /// Not wanted any more: cancelled, not dead.
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
    /// The same lease was settled by an earlier call, whose answer may have been lost.
    Before,
    /// The lease is no longer the newest, or the record is gone. Nothing was written.
    Superseded,
    /// The part of the store that holds the job did not answer, others did: ask again.
    Unanswered,
}

/// The broker's answer to a heartbeat. Tokens in neither list were extended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heartbeat {
    /// No longer the newest lease of their job.
    pub lost: Vec<LeaseToken>,
    /// Extended, but someone asked to cancel them.
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
