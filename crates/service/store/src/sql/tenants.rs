//! Statements for tenants and the owners of API keys.

use super::Sql;

/// `$1` id.
pub(crate) static TENANT: Sql = Sql::search(
    "SELECT name, tier, per_minute, per_hour, per_day, max_users, plan_epoch, created_at FROM tenant WHERE id = $1",
);

/// After id `$1`, at most `$2`.
pub(crate) static TENANTS: Sql = Sql::search(
    "SELECT id, name, tier, per_minute, per_hour, per_day, max_users, plan_epoch, created_at FROM tenant WHERE id > $1
     ORDER BY id LIMIT $2",
);

/// Like [`TENANT`], for a change that decides by the row, which stays locked until its end.
pub(crate) static TENANT_TO_CHANGE: Sql = Sql::search(
    "SELECT name, tier, per_minute, per_hour, per_day, max_users, plan_epoch, created_at FROM tenant WHERE id = $1",
)
.on_postgres(
    "SELECT name, tier, per_minute, per_hour, per_day, max_users, plan_epoch, created_at FROM tenant WHERE id = $1
     FOR NO KEY UPDATE",
);

/// `$1` digest.
pub(crate) static TENANT_OF_KEY: Sql = Sql::search("SELECT tenant_id FROM api_key WHERE digest = $1");

pub(crate) static INSERT_TENANT: Sql = Sql::search(
    "INSERT INTO tenant (id, name, tier, per_minute, per_hour, per_day, max_users, plan_epoch, created_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO NOTHING",
);

/// `$1` to `$6` the plan, `$7` id.
pub(crate) static UPDATE_PLAN: Sql = Sql::search(
    "UPDATE tenant SET tier = $1, per_minute = $2, per_hour = $3, per_day = $4, max_users = $5, plan_epoch = $6
     WHERE id = $7",
);

/// The id of this installation.
pub(crate) static INSTALLATION: Sql = Sql::one_row("SELECT id FROM installation");
