//! How far a server has come, in bytes of the log that its replicas follow.

use super::{Only, Sql};

/// What the primary has said: whatever is committed lies before it.
pub(crate) static SAID: Sql =
    Sql::one_row("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint AS position").only(Only::Postgres);

/// What a replica has done of it. None where it follows nobody.
pub(crate) static DONE: Sql = Sql::one_row(
    "SELECT CASE WHEN pg_is_in_recovery() THEN pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0') END::bigint AS position",
)
.only(Only::Postgres);
