//! The advisory lock that nodes share and a restore takes exclusively. Its name contains the
//! schema, so that nodes of other schemas are independent.

use super::{Only, Sql};

/// Returns 1 if the lock was taken.
pub(crate) static JOIN: Sql = Sql::one_row(
    "SELECT CASE WHEN pg_try_advisory_lock_shared(1414087749, hashtext(coalesce(current_schema(), ''))) THEN 1 ELSE 0 END::bigint AS taken",
)
.only(Only::Postgres);

/// Takes the lock exclusively.
pub(crate) static ALONE: Sql = Sql::one_row(
    "SELECT CASE WHEN pg_try_advisory_lock(1414087749, hashtext(coalesce(current_schema(), ''))) THEN 1 ELSE 0 END::bigint AS taken",
)
.only(Only::Postgres);
