//! Statements for the number of connections and the log position of a PostgreSQL server.

use super::{Only, Sql};

/// Client connections, their maximum, and the insert position of the primary. The `backend_type` of
/// another login's sessions is NULL unless this login may see it.
pub(crate) static USE: Sql = Sql::one_row(
    "SELECT (SELECT count(*) FROM pg_stat_activity \
             WHERE datid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend') AS connections, \
            current_setting('max_connections')::bigint AS most, \
            pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint AS position",
)
.only(Only::Postgres);
