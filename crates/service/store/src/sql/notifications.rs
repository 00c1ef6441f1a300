//! Statements for notifications.

use super::Sql;

/// `$1` tenant. The row stays locked until the end of the change.
pub(crate) static NEXT: Sql = Sql::search(
    "INSERT INTO notification_stream (tenant_id, last, gone) VALUES ($1, 1, 0)
     ON CONFLICT (tenant_id) DO UPDATE SET last = notification_stream.last + 1
     RETURNING last",
);

/// `$1` tenant, `$2` source.
pub(crate) static OF_SOURCE: Sql =
    Sql::search("SELECT seq, user_id, kind, body, at FROM notification WHERE tenant_id = $1 AND source = $2");

pub(crate) static INSERT: Sql = Sql::search(
    "INSERT INTO notification (tenant_id, seq, source, user_id, kind, body, at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
);

/// `$1` tenant, after number `$2`, at most `$3`.
pub(crate) static BEHIND: Sql = Sql::search(
    "SELECT seq, user_id, kind, body, at FROM notification WHERE tenant_id = $1 AND seq > $2 ORDER BY seq LIMIT $3",
);

/// `$1` tenant, `$2` number.
pub(crate) static NOTIFICATION: Sql =
    Sql::search("SELECT seq, user_id, kind, body, at FROM notification WHERE tenant_id = $1 AND seq = $2");

/// `$1` tenant.
pub(crate) static ENDS: Sql = Sql::search("SELECT last, gone FROM notification_stream WHERE tenant_id = $1");

/// From before `$1`, at most `$2`, oldest first.
pub(crate) static OLD: Sql =
    Sql::search("SELECT tenant_id, seq FROM notification WHERE at < $1 ORDER BY at, tenant_id, seq LIMIT $2");

/// `$1` last removed number, `$2` tenant.
pub(crate) static FORGET: Sql =
    Sql::search("UPDATE notification_stream SET gone = $1 WHERE tenant_id = $2 AND gone < $1");

/// `$1` last number to remove, `$2` tenant.
pub(crate) static REMOVE: Sql = Sql::search("DELETE FROM notification WHERE tenant_id = $2 AND seq <= $1");
