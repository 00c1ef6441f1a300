//! Statements for the sums of a tenant's schedules, one stretch after the other.

use super::Sql;

/// Number of schedules of tenant `$1` that start from `$2` to before `$3`.
pub(crate) static COUNT: Sql =
    Sql::search("SELECT COUNT(*) AS rows FROM schedule WHERE tenant_id = $1 AND starts_at >= $2 AND starts_at < $3");

/// Last schedule of a stretch of tenant `$1`. The stretch begins after start `$2` and id `$3`, and
/// has `$5` + 1 schedules that all start before `$4`. No row if there are fewer.
pub(crate) static END_OF_PAGE: Sql = Sql::search(
    "SELECT starts_at, id FROM schedule WHERE tenant_id = $1 AND (starts_at, id) > ($2, $3) AND starts_at < $4
     ORDER BY starts_at, id LIMIT 1 OFFSET $5",
);

/// For tenant `$1`, after start `$2` and id `$3`, up to start `$4` and id `$5`. Uses whole seconds,
/// so that no sum of durations overflows.
pub(crate) static DAYS: Sql = Sql::totals(
    "SELECT starts_at - starts_at % 86400000 AS day, COUNT(*) AS n, COUNT(recurrence) AS recurring,
            CAST(SUM((ends_at - starts_at) / 1000) AS BIGINT) AS seconds
     FROM schedule WHERE tenant_id = $1 AND (starts_at, id) > ($2, $3) AND (starts_at, id) <= ($4, $5) GROUP BY 1",
);

/// Like [`DAYS`], by title.
pub(crate) static TITLES: Sql = Sql::totals(
    "SELECT title AS name, COUNT(*) AS n, COUNT(recurrence) AS recurring,
            CAST(SUM((ends_at - starts_at) / 1000) AS BIGINT) AS seconds
     FROM schedule WHERE tenant_id = $1 AND (starts_at, id) > ($2, $3) AND (starts_at, id) <= ($4, $5) GROUP BY 1",
);

/// Like [`DAYS`], by attendee. A schedule counts for each of its attendees.
pub(crate) static ATTENDEES: Sql = Sql::totals(
    "SELECT attendee.value AS name, COUNT(*) AS n, COUNT(recurrence) AS recurring,
            CAST(SUM((ends_at - starts_at) / 1000) AS BIGINT) AS seconds
     FROM schedule, json_each(schedule.attendees) AS attendee
     WHERE schedule.tenant_id = $1 AND (schedule.starts_at, schedule.id) > ($2, $3)
           AND (schedule.starts_at, schedule.id) <= ($4, $5) GROUP BY 1",
)
.on_postgres(
    "SELECT attendee.value AS name, COUNT(*) AS n, COUNT(recurrence) AS recurring,
            CAST(SUM((ends_at - starts_at) / 1000) AS BIGINT) AS seconds
     FROM schedule CROSS JOIN LATERAL json_array_elements_text(CAST(schedule.attendees AS JSON)) AS attendee (value)
     WHERE schedule.tenant_id = $1 AND (schedule.starts_at, schedule.id) > ($2, $3)
           AND (schedule.starts_at, schedule.id) <= ($4, $5) GROUP BY 1",
);
