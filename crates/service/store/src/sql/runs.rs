//! Runs that make files: exports and reports, in the table that was the exports' alone.

use super::Sql;

/// `$1` id, `$2` tenant, `$3` kind, `$4` now. The row may exist, for example of a request that is
/// repeated, or be gone after its job waited for long. A run that was given up is opened again.
pub(crate) static OPEN: Sql = Sql::search(
    "INSERT INTO export_run (id, tenant_id, kind, created_at) VALUES ($1, $2, $3, $4)
     ON CONFLICT (id) DO UPDATE SET closed_at = NULL WHERE export_run.file_id IS NULL",
);

/// `$1` tenant, `$2` kind.
pub(crate) static PENDING: Sql =
    Sql::search("SELECT id, created_at FROM export_run WHERE tenant_id = $1 AND kind = $2 AND closed_at IS NULL");

/// `$1` id.
pub(crate) static FILES_OF: Sql = Sql::search("SELECT file_id, second_file_id FROM export_run WHERE id = $1");

/// `$1` file, `$2` the other of a pair, `$3` now, `$4` id. Of two runs of one job only the first has rows.
pub(crate) static FINISH: Sql = Sql::search(
    "UPDATE export_run SET file_id = $1, second_file_id = $2, closed_at = $3 WHERE id = $4 AND file_id IS NULL",
);

/// `$1` now, `$2` id.
pub(crate) static CLOSE: Sql = Sql::search("UPDATE export_run SET closed_at = $1 WHERE id = $2 AND closed_at IS NULL");

/// `$1` id. A finished run stays: its files are found by it.
pub(crate) static RELEASE: Sql = Sql::search("DELETE FROM export_run WHERE id = $1 AND file_id IS NULL");

/// `$1` id.
pub(crate) static REMOVE: Sql = Sql::search("DELETE FROM export_run WHERE id = $1");

/// From before `$1`, behind `$2` and id `$3`, at most `$4`.
pub(crate) static OLD: Sql = Sql::search(
    "SELECT id, kind, created_at, closed_at FROM export_run
     WHERE created_at < $1 AND (created_at, id) > ($2, $3) ORDER BY created_at, id LIMIT $4",
);
