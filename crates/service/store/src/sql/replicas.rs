//! Statements for the position of a server in the primary's log, in bytes.

use super::{Only, Sql};

/// Insert position of the primary: everything committed is before it.
pub(crate) static SAID: Sql =
    Sql::one_row("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint AS position").only(Only::Postgres);

/// Replay position of a replica. NULL if the server is not a replica.
pub(crate) static DONE: Sql = Sql::one_row(
    "SELECT CASE WHEN pg_is_in_recovery() THEN pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0') END::bigint AS position",
)
.only(Only::Postgres);
