//! Why a command did not succeed, what to do next, and the exit code that says so to a script.

mod refusal;

use std::io;

use reqwest::StatusCode;

pub(crate) use self::refusal::Refusal;

/// The request was refused, the thing was not found, or the work is incomplete.
const REFUSED: u8 = 1;
/// The command line, a file or a variable is not usable. `clap` ends with the same code.
const USAGE: u8 = 2;
/// No connection, or no answer in time.
const UNREACHABLE: u8 = 3;
/// The token is missing, unknown, or may not do this.
const UNAUTHORIZED: u8 = 4;
/// The server failed, or the answer is not Tidegate's.
const SERVER: u8 = 5;

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// An argument, a file or a variable is not usable. Nothing was sent.
    #[error("{0}")]
    Usage(String),
    /// The operator answered no.
    #[error("nothing was done")]
    Declined,
    /// Some of several items were done.
    #[error("{0}")]
    Incomplete(String),
    /// No connection, or it broke.
    #[error("{asked}: {reason}")]
    Unreachable {
        asked: String,
        reason: String,
        /// Whether the request may have changed something.
        may_have_run: bool,
        hint: &'static str,
    },
    /// An answer that is an error.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// An answer that no Tidegate gives.
    #[error("{asked}: the answer ({status}) is not Tidegate's: {reason}")]
    Foreign { asked: String, status: StatusCode, reason: String },
    /// The output can't be written.
    #[error("the output can't be written: {0}")]
    Output(io::Error),
    /// The reader of the output is gone, as with `| head`.
    #[error("the reader of the output is gone")]
    ReaderGone,
}

impl Failure {
    /// A fault of the command line, a file or a variable.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::Usage(text.into())
    }

    /// The exit code of the program.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::ReaderGone => 0,
            Self::Declined | Self::Incomplete(_) | Self::Output(_) => REFUSED,
            Self::Usage(_) => USAGE,
            Self::Unreachable { .. } => UNREACHABLE,
            Self::Foreign { .. } => SERVER,
            Self::Refused(refusal) => match refusal.status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => UNAUTHORIZED,
                status if status.is_server_error() => SERVER,
                _ => REFUSED,
            },
        }
    }

    /// The next step of the operator, if there is one to suggest.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { may_have_run, hint, .. } => {
                let mut text = (*hint).to_owned();
                if *may_have_run {
                    text.push_str("; the request may have been carried out: look before you send it again");
                }
                Some(text)
            }
            Self::Foreign { .. } => Some("check --url or TIDEGATE_URL: it names a Tidegate API".to_owned()),
            Self::Refused(refusal) => refusal.hint(),
            _ => None,
        }
    }
}
