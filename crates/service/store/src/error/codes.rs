//! Error codes of PostgreSQL after which a retry may help.

use sqlx::Error;

/// Whether the server is unreachable, shutting down, starting up, or not the primary. The same
/// statement may succeed in a moment.
pub(crate) fn is_lost(error: &Error) -> bool {
    match error {
        Error::Io(_) | Error::PoolTimedOut => true,
        Error::Database(error) => error.code().is_some_and(|code| {
            // Class 08 is a connection error. Class 40 is a rollback because of another
            // transaction.
            code.len() == 5 && (code.starts_with("08") || code.starts_with("40") || AWAY.contains(&&*code))
        }),
        _ => false,
    }
}

/// Read-only (a primary that has become a replica); too many connections; shutdown, crash,
/// start-up.
const AWAY: [&str; 5] = ["25006", "53300", "57P01", "57P02", "57P03"];

/// Whether waiting may help: the disk or memory is full, or another transaction holds a lock.
pub(crate) fn is_busy(code: &str) -> bool {
    matches!(code, "53000" | "53100" | "53200" | "55P03" | "57014")
}
