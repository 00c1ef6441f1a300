//! Statements for webhooks.

use super::Sql;

/// `$1` tenant.
pub(crate) static OF_TENANT: Sql =
    Sql::search("SELECT id, url, secret, kinds, created_at, disabled_at FROM webhook WHERE tenant_id = $1 ORDER BY id");

/// `$1` tenant, `$2` id.
pub(crate) static WEBHOOK: Sql =
    Sql::search("SELECT id, url, secret, kinds, created_at, disabled_at FROM webhook WHERE tenant_id = $1 AND id = $2");

pub(crate) static INSERT: Sql = Sql::search(
    "INSERT INTO webhook (tenant_id, id, url, secret, kinds, created_at) VALUES ($1, $2, $3, $4, $5, $6)
     ON CONFLICT (tenant_id, id) DO NOTHING",
);

/// `$1` now, `$2` tenant, `$3` id.
pub(crate) static DISABLE: Sql =
    Sql::search("UPDATE webhook SET disabled_at = $1 WHERE tenant_id = $2 AND id = $3 AND disabled_at IS NULL");

/// `$1` tenant, `$2` id.
pub(crate) static DELETE: Sql = Sql::search("DELETE FROM webhook WHERE tenant_id = $1 AND id = $2");
