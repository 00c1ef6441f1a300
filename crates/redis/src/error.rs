//! Errors, sorted by how a caller handles them.

use std::fmt;
use std::time::Duration;

use crate::config::ConfigError;

/// Kind of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Redis is unavailable and the breaker is open: nothing was sent.
    Unavailable,
    /// No reply in time. The command may have run, or may still run.
    Timeout,
    /// The connection was lost, or could not be used. The command may have run.
    Disconnected,
    /// This client's own buffer is full: nothing was sent.
    Busy,
    /// The server is a read-only replica, usually because the primary has changed. The command did
    /// not run. The client is already connecting to the new primary.
    ReadOnly,
    /// The server is still loading its data, or its cluster has no primary for the slot. The
    /// command did not run.
    Loading,
    /// The server requires a login that this client doesn't have, usually because its password has
    /// changed: `NOAUTH` or `WRONGPASS`. The command did not run.
    Login,
    /// The server returned an error. [`Error::code`] is its first word.
    Refused,
    /// The reply does not have the expected type.
    Decode,
    /// The server answers, but a channel delivers nothing: messages published there were missed.
    Silent,
    /// An invalid call, for example keys of several slots in one script. Nothing was sent.
    Invalid,
}

/// A command failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Error {
    kind: ErrorKind,
    detail: Box<str>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into().into_boxed_str() }
    }

    pub(crate) fn unavailable() -> Self {
        Self::new(ErrorKind::Unavailable, "Redis is not available")
    }

    pub(crate) fn timeout(after: Duration) -> Self {
        Self::new(ErrorKind::Timeout, format!("no reply from Redis within {after:?}"))
    }

    pub(crate) fn decode(expected: &str, found: &dyn fmt::Debug) -> Self {
        let mut found = format!("{found:?}");
        // A reply may be large, and may be confidential.
        if found.len() > 60 {
            found = found.chars().take(60).collect();
            found.push('…');
        }
        Self::new(ErrorKind::Decode, format!("expected {expected} from Redis, found {found}"))
    }

    /// The kind of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The first word of the server's error, such as `WRONGTYPE` or `OOM`. `None` if the error is
    /// not the server's.
    pub fn code(&self) -> Option<&str> {
        match self.kind {
            ErrorKind::Refused | ErrorKind::ReadOnly | ErrorKind::Loading | ErrorKind::Login => code_of(&self.detail),
            _ => None,
        }
    }

    /// Whether the same call may succeed later without a change of the program.
    pub fn is_transient(&self) -> bool {
        match self.kind {
            ErrorKind::Unavailable
            | ErrorKind::Timeout
            | ErrorKind::Disconnected
            | ErrorKind::Busy
            | ErrorKind::ReadOnly
            | ErrorKind::Loading
            | ErrorKind::Login
            | ErrorKind::Silent => true,
            ErrorKind::Refused => matches!(self.code(), Some("OOM" | "BUSY" | "TRYAGAIN" | "NOREPLICAS" | "MISCONF")),
            ErrorKind::Decode | ErrorKind::Invalid => false,
        }
    }

    /// Whether the server has reached `maxmemory` and refuses commands that need memory. The
    /// command did not run.
    pub fn is_full(&self) -> bool {
        self.code() == Some("OOM")
    }

    /// Whether the command may have run although there is no reply.
    pub fn may_have_run(&self) -> bool {
        matches!(self.kind, ErrorKind::Timeout | ErrorKind::Disconnected)
    }

    /// Whether the server can't be used now, so that the breaker opens.
    pub(crate) fn is_outage(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Timeout | ErrorKind::Disconnected | ErrorKind::ReadOnly | ErrorKind::Loading | ErrorKind::Login
        )
    }

    /// Converts fred's error.
    pub(crate) fn from_fred(error: &fred::error::Error) -> Self {
        use fred::error::ErrorKind as Fred;
        let detail = error.details();
        let kind = match error.kind() {
            Fred::Timeout => ErrorKind::Timeout,
            Fred::Auth => ErrorKind::Login,
            Fred::Backpressure => ErrorKind::Busy,
            Fred::Parse | Fred::NotFound | Fred::Protocol => ErrorKind::Decode,
            Fred::Canceled | Fred::IO | Fred::Routing | Fred::Tls | Fred::Sentinel => ErrorKind::Disconnected,
            _ => match code_of(detail) {
                Some("READONLY") => ErrorKind::ReadOnly,
                Some("NOAUTH" | "WRONGPASS") => ErrorKind::Login,
                Some("LOADING" | "CLUSTERDOWN" | "MASTERDOWN") => ErrorKind::Loading,
                Some(_) => ErrorKind::Refused,
                // An error text of fred, such as "Failed to route command."
                None => ErrorKind::Disconnected,
            },
        };
        match (kind, code_of(detail)) {
            (ErrorKind::Refused, Some("OOM")) => Self::new(kind, FULL),
            _ => Self::new(kind, detail),
        }
    }
}

/// Replaces the server's different texts for commands and scripts.
const FULL: &str = "OOM the server is full: it has reached maxmemory and refuses what takes memory; free some, or raise \
                    maxmemory";

/// The first word of a server's error: it consists of capitals.
fn code_of(detail: &str) -> Option<&str> {
    let word = detail.split([' ', '\r', '\n']).next()?;
    (word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')).then_some(word)
}

/// There is no usable server at the URL.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL or a file that it names is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No server answers at the address.
    #[error("can't reach Redis at {address}: {detail}; is it running, and is the address right?")]
    Unreachable {
        /// The address, without the password.
        address: String,
        /// The network error.
        detail: String,
    },
    /// The handshake of TLS failed.
    #[error(
        "TLS with Redis at {address} failed: {detail}; if the server speaks plain text use redis:// in place of \
         rediss://, if its certificate is your own name the authority with ?ca=/path.pem"
    )]
    Tls {
        /// The address, without the password.
        address: String,
        /// The error.
        detail: String,
    },
    /// The server refuses the user or the password, or requires one.
    #[error("Redis at {address} refuses the login: {detail}; check user and password in the URL")]
    Login {
        /// The address, without the password.
        address: String,
        /// The server's error.
        detail: String,
    },
    /// The server is too old.
    #[error("Redis at {address} is version {version}; at least 7.0 is needed")]
    TooOld {
        /// The address, without the password.
        address: String,
        /// Its version.
        version: String,
    },
    /// The durable role would lose data under memory pressure.
    #[error(
        "Redis at {address} evicts keys (maxmemory-policy {policy}), so jobs would be lost; set `maxmemory-policy \
         noeviction`, or keep the cache on a server of its own and give the durable data one that doesn't evict"
    )]
    Evicts {
        /// The address, without the password.
        address: String,
        /// Its policy.
        policy: String,
    },
    /// The server is a read-only replica.
    #[error(
        "Redis at {address} is a read-only replica of {primary}; give the address of the primary, or of its Sentinels"
    )]
    Replica {
        /// The address, without the password.
        address: String,
        /// Its primary.
        primary: String,
    },
    /// The server does not match the URL, or it refuses a command of the check.
    #[error("Redis at {address} can't be used: {detail}")]
    Unsuitable {
        /// The address, without the password.
        address: String,
        /// The reason and how to fix it.
        detail: String,
    },
}

impl ConnectError {
    /// Whether the same call may succeed later without a change of settings: the server is
    /// unreachable, is loading its data or has lost its primary.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Unsuitable { detail, .. } => {
                matches!(code_of(detail), Some("LOADING" | "MASTERDOWN" | "CLUSTERDOWN"))
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_server(text: &str) -> Error {
        Error::from_fred(&fred::error::Error::new(fred::error::ErrorKind::Unknown, text.to_owned()))
    }

    #[test]
    fn a_servers_error_keeps_its_code() {
        let error = from_server("WRONGTYPE Operation against a key holding the wrong kind of value");
        assert_eq!((error.kind(), error.code(), error.is_transient()), (ErrorKind::Refused, Some("WRONGTYPE"), false));
        assert!(from_server("OOM command not allowed when used memory > 'maxmemory'.").is_transient());
    }

    #[test]
    fn a_server_that_loads_is_read_only_or_wants_a_login_is_an_outage() {
        for (text, kind) in [
            ("READONLY You can't write against a read only replica.", ErrorKind::ReadOnly),
            ("LOADING Redis is loading the dataset in memory", ErrorKind::Loading),
            ("CLUSTERDOWN The cluster is down", ErrorKind::Loading),
            ("NOAUTH Authentication required.", ErrorKind::Login),
            ("WRONGPASS invalid username-password pair or user is disabled.", ErrorKind::Login),
        ] {
            let error = from_server(text);
            assert_eq!(error.kind(), kind, "{text}");
            assert!(error.is_outage() && error.is_transient() && !error.may_have_run(), "{text}");
        }
    }

    #[test]
    fn a_connection_is_worth_another_try_where_the_server_is_away_or_loads() {
        let unsuitable = |detail: &str| {
            let detail = detail.to_owned();
            ConnectError::Unsuitable { address: "a:1".to_owned(), detail }
        };
        let (address, detail) = ("a:1".to_owned(), "refused".to_owned());
        assert!(ConnectError::Unreachable { address, detail }.is_transient());
        assert!(unsuitable("LOADING Redis is loading the dataset in memory").is_transient());
        assert!(!unsuitable("ERR max number of clients reached").is_transient());
        let (address, detail) = ("a:1".to_owned(), "WRONGPASS".to_owned());
        assert!(!ConnectError::Login { address, detail }.is_transient());
    }

    #[test]
    fn a_silent_channel_may_speak_again_and_is_no_outage() {
        let error = Error::new(ErrorKind::Silent, "nothing comes");
        assert!(error.is_transient() && !error.is_outage() && !error.may_have_run() && error.code().is_none());
    }

    #[test]
    fn the_clients_own_words_are_no_code() {
        assert_eq!(from_server("Failed to route command.").kind(), ErrorKind::Disconnected);
        assert_eq!(from_server("A sentence.").code(), None);
    }

    #[test]
    fn a_large_reply_is_not_repeated_in_the_error() {
        assert!(Error::decode("an integer", &"x".repeat(10_000)).to_string().len() < 200);
    }
}
