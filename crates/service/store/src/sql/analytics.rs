//! What tenants did, by day.

use super::Sql;

/// `$1` id, `$2` tenant, `$3` kind, `$4` how many, `$5` now.
pub(crate) static INSERT: Sql =
    Sql::search("INSERT INTO activity (id, tenant_id, kind, n, at) VALUES ($1, $2, $3, $4, $5)");

/// At most `$2` of those up to `$1`, and takes them out.
pub(crate) static TAKE: Sql = Sql::search(
    "DELETE FROM activity WHERE id IN (SELECT id FROM activity WHERE at <= $1 ORDER BY at LIMIT $2)
     RETURNING tenant_id, kind, n, at",
);

/// `$1` tenant, `$2` day, `$3` kind, `$4` how many more.
pub(crate) static ADD: Sql = Sql::search(
    "INSERT INTO analytics_day (tenant_id, day, kind, n) VALUES ($1, $2, $3, $4)
     ON CONFLICT (tenant_id, day, kind) DO UPDATE SET n = analytics_day.n + excluded.n",
);

/// Of tenant `$1`, from the beginning of the day `$2` to that of the day `$3`: what is rolled, and what isn't yet added up by the database, of
/// which much may wait where nobody rolls. One statement, so that nothing is in both or in neither while it is rolled.
pub(crate) static SPAN: Sql = Sql::totals(
    "SELECT day, kind, n FROM analytics_day WHERE tenant_id = $1 AND day >= $2 AND day < $3
     UNION ALL
     SELECT day, 'viewed' AS kind, n FROM view_day WHERE tenant_id = $1 AND day >= $2 AND day < $3
     UNION ALL
     SELECT at - at % 86400000 AS day, kind, CAST(SUM(n) AS BIGINT) AS n FROM activity
     WHERE tenant_id = $1 AND at >= $2 AND at < $3 GROUP BY 1, 2",
);

/// Raises the number of stream `$1` to `$2`, at `$3`. No row where that batch was added before.
pub(crate) static RAISE_STREAM: Sql = Sql::search(
    "INSERT INTO increment_stream (stream, number, at) VALUES ($1, $2, $3)
     ON CONFLICT (stream) DO UPDATE SET number = excluded.number, at = excluded.at
     WHERE increment_stream.number < excluded.number",
);

/// `$1` tenant, `$2` day, `$3` how many more views. It writes nothing if the tenant is deleted.
pub(crate) static ADD_VIEWS: Sql = Sql::search(
    "INSERT INTO view_day (tenant_id, day, n) SELECT id, $2, $3 FROM tenant WHERE id = $1
     ON CONFLICT (tenant_id, day) DO UPDATE SET n = view_day.n + excluded.n",
);

/// Streams of processes that are gone: without a batch since `$1`.
pub(crate) static REMOVE_STREAMS: Sql = Sql::search("DELETE FROM increment_stream WHERE at < $1");

/// From before the day `$1`.
pub(crate) static REMOVE_OLD: Sql = Sql::search("DELETE FROM analytics_day WHERE day < $1");

/// Views from before the day `$1`.
pub(crate) static REMOVE_OLD_VIEWS: Sql = Sql::search("DELETE FROM view_day WHERE day < $1");

/// How many wait to be rolled, of tenant `$1`.
#[cfg(test)]
pub(crate) static COUNT: Sql = Sql::search("SELECT COUNT(*) AS waiting FROM activity WHERE tenant_id = $1");
