-- Keys are named, so that one can be listed and revoked by whoever doesn't have its text.
ALTER TABLE api_key ADD COLUMN id TEXT NOT NULL DEFAULT '';
ALTER TABLE api_key ADD COLUMN name TEXT NOT NULL DEFAULT 'first';
UPDATE api_key SET id = lower(
    hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-8'
    || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))
);
CREATE UNIQUE INDEX api_key_by_id ON api_key (tenant_id, id);
DROP INDEX api_key_of_tenant;

CREATE TABLE app_user (
    tenant_id  TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    id         TEXT NOT NULL,
    email      TEXT NOT NULL, -- in lower case
    name       TEXT NOT NULL,
    password   TEXT NOT NULL, -- what Argon2 makes of it, with salt and costs
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX app_user_by_email ON app_user (tenant_id, email);

-- A session is known by the digest of its token, which only the browser has.
CREATE TABLE session (
    digest     BLOB PRIMARY KEY,
    tenant_id  TEXT NOT NULL,
    user_id    TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    FOREIGN KEY (tenant_id, user_id) REFERENCES app_user (tenant_id, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX session_of_user ON session (tenant_id, user_id, created_at);
CREATE INDEX session_by_end ON session (expires_at);

CREATE TABLE preference (
    tenant_id  TEXT NOT NULL,
    user_id    TEXT NOT NULL,
    body       TEXT NOT NULL, -- a JSON object
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, user_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES app_user (tenant_id, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
