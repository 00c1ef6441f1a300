//! Statements for invalidations, which commits publish to the caches of other processes.

use super::{Only, Sql};

pub(crate) static INSERT: Sql =
    Sql::search("INSERT INTO invalidation (origin, kind, name, class, at) VALUES ($1, $2, $3, $4, $5)");

/// After id `$1`.
pub(crate) static BEHIND: Sql =
    Sql::search("SELECT origin, kind, name, class FROM invalidation WHERE id > $1 ORDER BY id");

/// Returns a row from before `$1`, if there is any.
pub(crate) static IS_OLD: Sql = Sql::search("SELECT 1 AS found FROM invalidation WHERE at < $1 ORDER BY at LIMIT 1");

/// From before `$1`.
pub(crate) static REMOVE_OLD: Sql = Sql::search("DELETE FROM invalidation WHERE at < $1");

/// The highest id that was ever assigned.
pub(crate) static LAST: Sql =
    Sql::one_row("SELECT seq FROM sqlite_sequence WHERE name = 'invalidation'").only(Only::Sqlite);

/// Sends `$2` to the listeners of channel `$1`, when the transaction is committed.
pub(crate) static NOTIFY: Sql = Sql::one_row("SELECT pg_notify($1, $2)").only(Only::Postgres);
