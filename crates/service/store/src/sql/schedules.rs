//! Statements for schedules.

use super::Sql;

/// `$1` id, `$2` tenant.
pub(crate) static SCHEDULE: Sql = Sql::search(
    "SELECT id, title, starts_at, ends_at, recurrence, attendees, created_at, updated_at
     FROM schedule WHERE id = $1 AND tenant_id = $2",
);

/// `$1` tenant, after start `$2` and id `$3`, at most `$4`.
pub(crate) static PAGE: Sql = Sql::search(
    "SELECT id, title, starts_at, ends_at, recurrence, attendees, created_at, updated_at
     FROM schedule WHERE tenant_id = $1 AND (starts_at, id) > ($2, $3)
     ORDER BY starts_at, id LIMIT $4",
);

/// At most `$1`. Ids grow with time.
pub(crate) static NEWEST: Sql = Sql::walk("SELECT id, tenant_id FROM schedule ORDER BY id DESC LIMIT $1");

/// `$1` id, `$2` tenant. For a change, during which the row must not be deleted.
pub(crate) static CREATED_AT: Sql = Sql::search("SELECT created_at FROM schedule WHERE id = $1 AND tenant_id = $2")
    .on_postgres("SELECT created_at FROM schedule WHERE id = $1 AND tenant_id = $2 FOR NO KEY UPDATE");

/// `$10` and `$11` are the import and the line that it comes from. `$12` is when its occurrences
/// are due for a check. An existing id is from a commit whose answer was lost, since ids are
/// unique.
pub(crate) static INSERT: Sql = Sql::search(
    "INSERT INTO schedule (id, tenant_id, title, starts_at, ends_at, recurrence, attendees, created_at,
                           updated_at, import_id, import_line, next_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (id) DO NOTHING",
);

/// Like [`INSERT`], unless the idempotency key was used: `$10` is the key and `$11` is 0.
pub(crate) static INSERT_ONCE: Sql = Sql::search(
    "INSERT INTO schedule (id, tenant_id, title, starts_at, ends_at, recurrence, attendees, created_at,
                           updated_at, import_id, import_line, next_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING",
);

/// `$1` idempotency key, `$2` tenant.
pub(crate) static MADE_BEFORE: Sql = Sql::search(
    "SELECT id, title, starts_at, ends_at, recurrence, attendees, created_at, updated_at
     FROM schedule
     WHERE import_id = $1 AND import_line = 0 AND tenant_id = $2",
);

/// `$1` to `$6` the content, `$7` when its occurrences are due for a check, `$8` id, `$9` tenant.
pub(crate) static REPLACE: Sql = Sql::search(
    "UPDATE schedule SET title = $1, starts_at = $2, ends_at = $3, recurrence = $4, attendees = $5, updated_at = $6,
                         next_at = $7
     WHERE id = $8 AND tenant_id = $9",
);

/// `$1` when its occurrences are due for a check, `$2` id, `$3` tenant; `$4` start and `$5`
/// recurrence that `$1` was computed from.
pub(crate) static REINDEX: Sql = Sql::search(
    "UPDATE schedule SET next_at = $1
     WHERE id = $2 AND tenant_id = $3 AND starts_at = $4 AND coalesce(recurrence, '') = $5",
);

/// `$1` id, `$2` tenant.
pub(crate) static DELETE: Sql = Sql::search("DELETE FROM schedule WHERE id = $1 AND tenant_id = $2");

/// `$1` tenant.
pub(crate) static COUNT: Sql = Sql::search("SELECT COUNT(*) AS rows FROM schedule WHERE tenant_id = $1");
