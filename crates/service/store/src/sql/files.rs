//! Statements for files that tenants may download.

use super::Sql;

/// `$1` id, `$2` tenant, `$3` kind, `$4` name, `$5` type, `$6` bytes, `$7` digest, `$8` now, `$9`
/// expiry.
pub(crate) static INSERT: Sql = Sql::search(
    "INSERT INTO file (id, tenant_id, kind, name, content_type, bytes, sha256, created_at, expires_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
);

/// `$1` id, `$2` tenant, `$3` now.
pub(crate) static FILE: Sql = Sql::search(
    "SELECT id, tenant_id, kind, name, content_type, bytes, sha256, created_at, expires_at
     FROM file WHERE id = $1 AND tenant_id = $2 AND expires_at > $3",
);

/// `$1` id. Of any owner and age.
pub(crate) static IS_THERE: Sql = Sql::search("SELECT 1 AS found FROM file WHERE id = $1");

/// At most `$2` files that have expired at `$1`.
pub(crate) static EXPIRED: Sql = Sql::search(
    "SELECT id, tenant_id, kind, name, content_type, bytes, sha256, created_at, expires_at
     FROM file WHERE expires_at <= $1 ORDER BY expires_at, id LIMIT $2",
);

/// `$1` id.
pub(crate) static REMOVE: Sql = Sql::search("DELETE FROM file WHERE id = $1");
