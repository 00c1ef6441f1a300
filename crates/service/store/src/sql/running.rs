//! The server's lock that nodes share and a restore has alone. Its name is the schema's: another one's nodes are no concern of it.

use super::{Only, Sql};

/// 1 where it was taken.
pub(crate) static JOIN: Sql = Sql::one_row(
    "SELECT CASE WHEN pg_try_advisory_lock_shared(1414087749, hashtext(coalesce(current_schema(), ''))) THEN 1 ELSE 0 END::bigint AS taken",
)
.only(Only::Postgres);

/// The same, alone.
pub(crate) static ALONE: Sql = Sql::one_row(
    "SELECT CASE WHEN pg_try_advisory_lock(1414087749, hashtext(coalesce(current_schema(), ''))) THEN 1 ELSE 0 END::bigint AS taken",
)
.only(Only::Postgres);
