//! Statements for reminders of occurrences.

use super::Sql;

/// Schedules due for a check up to `$1`, after time `$2` and id `$3`, at most `$4`.
pub(crate) static SCHEDULES: Sql = Sql::search(
    "SELECT id, tenant_id, starts_at, recurrence, next_at FROM schedule
     WHERE next_at <= $1 AND (next_at, id) > ($2, $3) ORDER BY next_at, id LIMIT $4",
);

/// `$1` next time, `$2` id. `$3`, `$4` and `$5` are the values that it was computed from: a
/// schedule that has changed since is not advanced.
pub(crate) static MOVE: Sql = Sql::search(
    "UPDATE schedule SET next_at = $1 WHERE id = $2 AND next_at = $3 AND starts_at = $4 AND coalesce(recurrence, '') = $5",
);

/// `$1` schedule, `$2` start, `$3` tenant, `$4` now.
pub(crate) static INSERT: Sql = Sql::search(
    "INSERT INTO reminder (schedule_id, at, tenant_id, created_at, mails) VALUES ($1, $2, $3, $4, 0)
     ON CONFLICT (schedule_id, at) DO NOTHING",
);

/// For tenant `$1`, from `$2` to before `$3`: number of reminders and of their mails.
pub(crate) static OF_DAY: Sql = Sql::search(
    "SELECT COUNT(*) AS reminders, CAST(coalesce(SUM(mails), 0) AS BIGINT) AS mails
     FROM reminder WHERE tenant_id = $1 AND at >= $2 AND at < $3",
);

/// Unsent reminders of occurrences from `$1` to `$2`, both included, after start `$3` and schedule
/// `$4`, at most `$5`.
pub(crate) static PENDING: Sql = Sql::search(
    "SELECT schedule_id, at, tenant_id, created_at FROM reminder
     WHERE sent_at IS NULL AND at >= $1 AND at <= $2 AND (at, schedule_id) > ($3, $4)
     ORDER BY at, schedule_id LIMIT $5",
);

/// `$1` now, `$2` mails, `$3` schedule, `$4` start, `$5` tenant. Of two concurrent senders, only
/// the first updates a row.
pub(crate) static SEND: Sql = Sql::search(
    "UPDATE reminder SET sent_at = $1, mails = $2
     WHERE schedule_id = $3 AND at = $4 AND tenant_id = $5 AND sent_at IS NULL",
);

/// `$1` schedule, `$2` start.
pub(crate) static MAILS: Sql = Sql::search("SELECT mails FROM reminder WHERE schedule_id = $1 AND at = $2");

/// `$1` schedule. Removes its unsent reminders.
pub(crate) static FORGET: Sql = Sql::search("DELETE FROM reminder WHERE schedule_id = $1 AND sent_at IS NULL");

/// Reminders of occurrences before `$1`.
pub(crate) static REMOVE_OLD: Sql = Sql::search("DELETE FROM reminder WHERE at < $1");
