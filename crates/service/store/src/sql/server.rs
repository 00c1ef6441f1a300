//! How full a PostgreSQL server is, and how far it has come.

use super::{Only, Sql};

/// Connections of clients, their maximum, and what the primary has said. Another login's sessions
/// have no `backend_type` unless the login may see it.
pub(crate) static USE: Sql = Sql::one_row(
    "SELECT (SELECT count(*) FROM pg_stat_activity \
             WHERE datid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend') AS connections, \
            current_setting('max_connections')::bigint AS most, \
            pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint AS position",
)
.only(Only::Postgres);
