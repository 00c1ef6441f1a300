//! Statements for the counts of tenants' activity by day.

use super::Sql;

/// `$1` id, `$2` tenant, `$3` kind, `$4` count, `$5` now.
pub(crate) static INSERT: Sql =
    Sql::search("INSERT INTO activity (id, tenant_id, kind, n, at) VALUES ($1, $2, $3, $4, $5)");

/// Removes and returns at most `$2` rows up to `$1`.
pub(crate) static TAKE: Sql = Sql::search(
    "DELETE FROM activity WHERE id IN (SELECT id FROM activity WHERE at <= $1 ORDER BY at LIMIT $2)
     RETURNING tenant_id, kind, n, at",
);

/// `$1` tenant, `$2` day, `$3` kind, `$4` count to add.
pub(crate) static ADD: Sql = Sql::search(
    "INSERT INTO analytics_day (tenant_id, day, kind, n) VALUES ($1, $2, $3, $4)
     ON CONFLICT (tenant_id, day, kind) DO UPDATE SET n = analytics_day.n + excluded.n",
);

/// For tenant `$1`, from the start of day `$2` to the start of day `$3`: rolled rows, and the sums
/// of rows that are not rolled yet. The database adds the latter, since there may be many if no
/// worker rolls. One statement, so that a row is never in both or in neither during a roll.
pub(crate) static SPAN: Sql = Sql::totals(
    "SELECT day, kind, n FROM analytics_day WHERE tenant_id = $1 AND day >= $2 AND day < $3
     UNION ALL
     SELECT day, 'viewed' AS kind, n FROM view_day WHERE tenant_id = $1 AND day >= $2 AND day < $3
     UNION ALL
     SELECT at - at % 86400000 AS day, kind, CAST(SUM(n) AS BIGINT) AS n FROM activity
     WHERE tenant_id = $1 AND at >= $2 AND at < $3 GROUP BY 1, 2",
);

/// Raises the number of stream `$1` to `$2`, at `$3`. No row if that batch was added before.
pub(crate) static RAISE_STREAM: Sql = Sql::search(
    "INSERT INTO increment_stream (stream, number, at) VALUES ($1, $2, $3)
     ON CONFLICT (stream) DO UPDATE SET number = excluded.number, at = excluded.at
     WHERE increment_stream.number < excluded.number",
);

/// `$1` tenant, `$2` day, `$3` views to add. Writes nothing if the tenant is deleted.
pub(crate) static ADD_VIEWS: Sql = Sql::search(
    "INSERT INTO view_day (tenant_id, day, n) SELECT id, $2, $3 FROM tenant WHERE id = $1
     ON CONFLICT (tenant_id, day) DO UPDATE SET n = view_day.n + excluded.n",
);

/// Streams without a batch since `$1`, whose processes have ended.
pub(crate) static REMOVE_STREAMS: Sql = Sql::search("DELETE FROM increment_stream WHERE at < $1");

/// Days before `$1`.
pub(crate) static REMOVE_OLD: Sql = Sql::search("DELETE FROM analytics_day WHERE day < $1");

/// Views of days before `$1`.
pub(crate) static REMOVE_OLD_VIEWS: Sql = Sql::search("DELETE FROM view_day WHERE day < $1");

/// Number of rows of tenant `$1` that are not rolled yet.
#[cfg(test)]
pub(crate) static COUNT: Sql = Sql::search("SELECT COUNT(*) AS waiting FROM activity WHERE tenant_id = $1");
