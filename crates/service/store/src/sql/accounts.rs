//! Statements for API keys, users, their sessions and preferences.

use super::Sql;

/// `$1` digest, `$2` tenant, `$3` id, `$4` name, `$5` now.
pub(crate) static INSERT_KEY: Sql = Sql::search(
    "INSERT INTO api_key (digest, tenant_id, id, name, created_at) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (digest) DO NOTHING",
);

/// `$1` tenant, at most `$2`.
pub(crate) static KEYS: Sql =
    Sql::search("SELECT id, name, created_at FROM api_key WHERE tenant_id = $1 ORDER BY id LIMIT $2");

/// `$1` tenant, `$2` id.
pub(crate) static DIGEST_OF_KEY: Sql = Sql::search("SELECT digest FROM api_key WHERE tenant_id = $1 AND id = $2");

/// `$1` digest.
pub(crate) static DELETE_KEY: Sql = Sql::search("DELETE FROM api_key WHERE digest = $1");

/// `$1` tenant.
pub(crate) static COUNT_USERS: Sql = Sql::search("SELECT COUNT(*) AS users FROM app_user WHERE tenant_id = $1");

/// `$1` tenant, `$2` id, `$3` e-mail, `$4` name, `$5` password, `$6` now.
pub(crate) static INSERT_USER: Sql = Sql::search(
    "INSERT INTO app_user (tenant_id, id, email, name, password, created_at) VALUES ($1, $2, $3, $4, $5, $6)
     ON CONFLICT (tenant_id, email) DO NOTHING",
);

/// `$1` tenant, `$2` id.
pub(crate) static USER: Sql =
    Sql::search("SELECT id, email, name, created_at FROM app_user WHERE tenant_id = $1 AND id = $2");

/// `$1` tenant, after id `$2`, at most `$3`.
pub(crate) static USERS: Sql = Sql::search(
    "SELECT id, email, name, created_at FROM app_user WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3",
);

/// `$1` tenant, `$2` e-mail.
pub(crate) static USER_OF_EMAIL: Sql =
    Sql::search("SELECT id, email, name, created_at, password FROM app_user WHERE tenant_id = $1 AND email = $2");

/// `$1` tenant, `$2` id. For a change that decides by the row, which stays locked until its end.
pub(crate) static PASSWORD: Sql = Sql::search("SELECT password FROM app_user WHERE tenant_id = $1 AND id = $2")
    .on_postgres("SELECT password FROM app_user WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE");

/// `$1` password, `$2` tenant, `$3` id.
pub(crate) static SET_PASSWORD: Sql = Sql::search("UPDATE app_user SET password = $1 WHERE tenant_id = $2 AND id = $3");

/// `$1` tenant, `$2` id. Also deletes the sessions and preferences.
pub(crate) static DELETE_USER: Sql = Sql::search("DELETE FROM app_user WHERE tenant_id = $1 AND id = $2");

/// `$1` digest, `$2` tenant, `$3` user, `$4` now, `$5` expiry.
pub(crate) static INSERT_SESSION: Sql = Sql::search(
    "INSERT INTO session (digest, tenant_id, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (digest) DO NOTHING",
);

/// `$1` digest.
pub(crate) static SESSION: Sql = Sql::search("SELECT tenant_id, user_id, expires_at FROM session WHERE digest = $1");

/// `$1` digest.
pub(crate) static DELETE_SESSION: Sql = Sql::search("DELETE FROM session WHERE digest = $1");

/// `$1` tenant, `$2` user.
pub(crate) static DELETE_SESSIONS: Sql = Sql::search("DELETE FROM session WHERE tenant_id = $1 AND user_id = $2");

/// All but the newest `$3` sessions of tenant `$1` and user `$2`, at most 100.
pub(crate) static OLDEST_SESSIONS: Sql = Sql::search(
    "SELECT digest FROM session WHERE tenant_id = $1 AND user_id = $2 ORDER BY created_at DESC LIMIT 100 OFFSET $3",
);

/// Returns a session that expired before `$1`, if there is any.
pub(crate) static IS_ENDED: Sql =
    Sql::search("SELECT 1 AS found FROM session WHERE expires_at < $1 ORDER BY expires_at LIMIT 1");

/// At most `$2` sessions that expired before `$1`.
pub(crate) static REMOVE_ENDED: Sql = Sql::search(
    "DELETE FROM session WHERE digest IN (SELECT digest FROM session WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)",
);

/// `$1` tenant, `$2` user. For a user without preferences the row is NULL.
pub(crate) static PREFERENCES: Sql = Sql::search(
    "SELECT preference.body FROM app_user
     LEFT JOIN preference ON preference.tenant_id = app_user.tenant_id AND preference.user_id = app_user.id
     WHERE app_user.tenant_id = $1 AND app_user.id = $2",
);

/// `$1` tenant, `$2` user, `$3` body, `$4` now.
pub(crate) static PUT_PREFERENCES: Sql = Sql::search(
    "INSERT INTO preference (tenant_id, user_id, body, updated_at) VALUES ($1, $2, $3, $4)
     ON CONFLICT (tenant_id, user_id) DO UPDATE SET body = excluded.body, updated_at = excluded.updated_at",
);
