//! The cause of a failed attempt, and whether to retry.

use std::time::Duration;

use tidegate_outgoing::email::SendError;
use tidegate_outgoing::webhook::{self, Answer};

/// Maximum delay that a receiver may request.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// The cause of a failed attempt. It contains no URL, which is often secret, and no address.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    NotPosted(#[from] webhook::Failure),
    #[error("the receiver answered {status}")]
    Answer { status: u16, retry_after: Option<Duration> },
    #[error("the alert can't be written as JSON")]
    NotWritten(#[from] serde_json::Error),
    #[error(transparent)]
    NotMailed(#[from] SendError),
}

/// The consequence of a failure.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// Another attempt may succeed, but not before this time has passed.
    TryAgain { after: Duration },
    /// No further attempt can succeed until an operator changes something.
    GiveUp,
}

impl Failure {
    pub(super) fn next(&self) -> Retry {
        match self {
            Self::Answer { status: 408 | 429 | 500.., retry_after } => {
                Retry::TryAgain { after: retry_after.unwrap_or_default().min(LONGEST_WAIT) }
            }
            Self::Answer { status: 400..500, .. }
            | Self::NotPosted(webhook::Failure::Private(_))
            | Self::NotWritten(_) => Retry::GiveUp,
            Self::NotMailed(error) if error.is_for_good() => Retry::GiveUp,
            Self::Answer { .. } | Self::NotPosted(_) | Self::NotMailed(_) => Retry::TryAgain { after: Duration::ZERO },
        }
    }
}

/// Any 2xx status accepts the message.
pub(super) fn taken(answer: Answer) -> Result<(), Failure> {
    let Answer { status, retry_after } = answer;
    if (200..300).contains(&status) { Ok(()) } else { Err(Failure::Answer { status, retry_after }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, retry_after: Option<u64>) -> Retry {
        taken(Answer { status, retry_after: retry_after.map(Duration::from_secs) }).unwrap_err().next()
    }

    #[test]
    fn a_refusal_is_final_and_an_unavailable_receiver_is_retried_when_it_says() {
        for status in [400, 401, 403, 404, 410, 422] {
            assert_eq!(answer(status, Some(1)), Retry::GiveUp, "{status}");
        }
        for status in [301, 408, 429, 500, 503] {
            assert_eq!(answer(status, None), Retry::TryAgain { after: Duration::ZERO }, "{status}");
        }
        assert_eq!(answer(429, Some(30)), Retry::TryAgain { after: Duration::from_secs(30) });
        assert_eq!(answer(503, Some(86_400)), Retry::TryAgain { after: LONGEST_WAIT });
        assert!(taken(Answer { status: 202, retry_after: None }).is_ok());
    }
}
