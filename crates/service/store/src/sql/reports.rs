//! Figures of a tenant's schedules, added up by the database over one page of them after the other.

use super::Sql;

/// How many of tenant `$1` start from `$2` on and before `$3`.
pub(crate) static COUNT: Sql =
    Sql::search("SELECT COUNT(*) AS rows FROM schedule WHERE tenant_id = $1 AND starts_at >= $2 AND starts_at < $3");

/// The last of a page of tenant `$1` that begins behind start `$2` and id `$3` and holds `$5` and one more, none of which starts at `$4` or
/// later. No row where there are fewer.
pub(crate) static END_OF_PAGE: Sql = Sql::search(
    "SELECT starts_at, id FROM schedule WHERE tenant_id = $1 AND (starts_at, id) > ($2, $3) AND starts_at < $4
     ORDER BY starts_at, id LIMIT 1 OFFSET $5",
);

/// Of tenant `$1`, behind start `$2` and id `$3`, up to start `$4` and id `$5`. Whole seconds, so that no sum of times runs over.
pub(crate) static DAYS: Sql = Sql::totals(
    "SELECT starts_at - starts_at % 86400000 AS day, COUNT(*) AS n, COUNT(recurrence) AS recurring,
            CAST(SUM((ends_at - starts_at) / 1000) AS BIGINT) AS seconds
     FROM schedule WHERE tenant_id = $1 AND (starts_at, id) > ($2, $3) AND (starts_at, id) <= ($4, $5) GROUP BY 1",
);

/// The same by title.
pub(crate) static TITLES: Sql = Sql::totals(
    "SELECT title AS name, COUNT(*) AS n, COUNT(recurrence) AS recurring,
            CAST(SUM((ends_at - starts_at) / 1000) AS BIGINT) AS seconds
     FROM schedule WHERE tenant_id = $1 AND (starts_at, id) > ($2, $3) AND (starts_at, id) <= ($4, $5) GROUP BY 1",
);

/// The same by attendee: a schedule counts for each that it has.
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
