//! Statements for imports and their rejected lines.

use super::Sql;

/// `$1` id, `$2` tenant, `$3` and `$4` start position, `$5` now. Reopens an import that was given
/// up.
pub(crate) static OPEN: Sql = Sql::search(
    "INSERT INTO import (id, tenant_id, next_byte, next_line, imported, rejected, created_at)
     VALUES ($1, $2, $3, $4, 0, 0, $5)
     ON CONFLICT (id) DO UPDATE SET closed_at = NULL, failure = NULL WHERE import.finished_at IS NULL",
);

/// `$1` id, `$2` tenant. An open import is kept. The rejected lines are deleted with the row.
pub(crate) static REMOVE_CLOSED: Sql =
    Sql::search("DELETE FROM import WHERE id = $1 AND tenant_id = $2 AND closed_at IS NOT NULL");

/// `$1` id. The schedules of an earlier import stay, and a new import with that id can use their
/// line numbers again.
pub(crate) static DETACH: Sql =
    Sql::search("UPDATE schedule SET import_id = NULL, import_line = NULL WHERE import_id = $1");

/// Like [`OPEN`], for an id that does not exist yet.
pub(crate) static RESERVE: Sql = Sql::search(
    "INSERT INTO import (id, tenant_id, next_byte, next_line, imported, rejected, created_at)
     VALUES ($1, $2, $3, $4, 0, 0, $5) ON CONFLICT (id) DO NOTHING",
);

/// `$1` id, `$2` tenant.
pub(crate) static PROGRESS: Sql = Sql::search(
    "SELECT next_byte, next_line, imported, rejected, finished_at FROM import WHERE id = $1 AND tenant_id = $2",
);

/// `$1` to `$6` the new state, `$7` id, `$8` the previous position.
pub(crate) static MOVE: Sql = Sql::search(
    "UPDATE import SET next_byte = $1, next_line = $2, imported = $3, rejected = $4, finished_at = $5, closed_at = $6
     WHERE id = $7 AND next_byte = $8 AND finished_at IS NULL",
);

/// `$1` id, `$2` tenant.
pub(crate) static FAILURE: Sql =
    Sql::search("SELECT imported, rejected, failure FROM import WHERE id = $1 AND tenant_id = $2");

/// `$1` now, `$2` reason, `$3` id. A closed import can still get a reason: the last chunk may be
/// the one with too many rejected lines.
pub(crate) static CLOSE: Sql = Sql::search(
    "UPDATE import SET closed_at = $1, failure = $2
     WHERE id = $3 AND (closed_at IS NULL OR CAST($2 AS TEXT) IS NOT NULL)",
);

/// `$1` tenant.
pub(crate) static PENDING: Sql = Sql::search("SELECT id FROM import WHERE tenant_id = $1 AND closed_at IS NULL");

/// `$1` id, `$2` position. If the import has started nevertheless, its position must not be lost.
pub(crate) static RELEASE: Sql = Sql::search("DELETE FROM import WHERE id = $1 AND next_byte = $2");

/// After id `$1`, admitted before `$2`, at most `$3`.
pub(crate) static OLD: Sql =
    Sql::search("SELECT id, closed_at FROM import WHERE id > $1 AND created_at < $2 ORDER BY id LIMIT $3");

/// `$1` id.
pub(crate) static REMOVE: Sql = Sql::search("DELETE FROM import WHERE id = $1");

pub(crate) static INSERT_REJECT: Sql =
    Sql::search("INSERT INTO import_reject (import_id, line, reason) VALUES ($1, $2, $3)");

/// `$1` id, after line `$2`, at most `$3`.
pub(crate) static REJECTS: Sql =
    Sql::search("SELECT line, reason FROM import_reject WHERE import_id = $1 AND line > $2 ORDER BY line LIMIT $3");

/// `$1` id, at most `$2`.
pub(crate) static REMOVE_REJECTS: Sql = Sql::search(
    "DELETE FROM import_reject WHERE import_id = $1 AND line IN
     (SELECT line FROM import_reject WHERE import_id = $1 ORDER BY line LIMIT $2)",
);
