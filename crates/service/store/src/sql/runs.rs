//! Statements for runs that make files: exports and reports. The table is named after exports, its
//! only use in earlier versions.

use super::Sql;

/// `$1` id, `$2` tenant, `$3` kind, `$4` now. The row may already exist, for example after a
/// repeated request. It may also have been removed if its job waited for a long time. A run that
/// was given up is reopened.
pub(crate) static OPEN: Sql = Sql::search(
    "INSERT INTO export_run (id, tenant_id, kind, created_at) VALUES ($1, $2, $3, $4)
     ON CONFLICT (id) DO UPDATE SET closed_at = NULL WHERE export_run.file_id IS NULL",
);

/// `$1` tenant, `$2` kind.
pub(crate) static PENDING: Sql =
    Sql::search("SELECT id, created_at FROM export_run WHERE tenant_id = $1 AND kind = $2 AND closed_at IS NULL");

/// `$1` id.
pub(crate) static FILES_OF: Sql = Sql::search("SELECT file_id, second_file_id FROM export_run WHERE id = $1");

/// `$1` file, `$2` second file of a pair, `$3` now, `$4` id. Of two runs of one job, only the first
/// updates a row.
pub(crate) static FINISH: Sql = Sql::search(
    "UPDATE export_run SET file_id = $1, second_file_id = $2, closed_at = $3 WHERE id = $4 AND file_id IS NULL",
);

/// `$1` now, `$2` id.
pub(crate) static CLOSE: Sql = Sql::search("UPDATE export_run SET closed_at = $1 WHERE id = $2 AND closed_at IS NULL");

/// `$1` id. A finished run stays, since its files are found through it.
pub(crate) static RELEASE: Sql = Sql::search("DELETE FROM export_run WHERE id = $1 AND file_id IS NULL");

/// `$1` id.
pub(crate) static REMOVE: Sql = Sql::search("DELETE FROM export_run WHERE id = $1");

/// Admitted before `$1`, after time `$2` and id `$3`, at most `$4`.
pub(crate) static OLD: Sql = Sql::search(
    "SELECT id, kind, created_at, closed_at FROM export_run
     WHERE created_at < $1 AND (created_at, id) > ($2, $3) ORDER BY created_at, id LIMIT $4",
);
