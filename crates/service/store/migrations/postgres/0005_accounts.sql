-- Keys are named, so that one can be listed and revoked by whoever doesn't have its text.
ALTER TABLE api_key ADD COLUMN id TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE api_key ADD COLUMN name TEXT NOT NULL DEFAULT 'first';
UPDATE api_key SET id = gen_random_uuid()::text;
CREATE UNIQUE INDEX api_key_by_id ON api_key (tenant_id, id);
DROP INDEX api_key_of_tenant;

CREATE TABLE app_user (
    tenant_id  TEXT COLLATE "C" NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    id         TEXT COLLATE "C" NOT NULL,
    email      TEXT COLLATE "C" NOT NULL, -- in lower case
    name       TEXT NOT NULL,
    password   TEXT NOT NULL, -- what Argon2 makes of it, with salt and costs
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX app_user_by_email ON app_user (tenant_id, email);

-- A session is known by the digest of its token, which only the browser has.
CREATE TABLE session (
    digest     BYTEA PRIMARY KEY,
    tenant_id  TEXT COLLATE "C" NOT NULL,
    user_id    TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    FOREIGN KEY (tenant_id, user_id) REFERENCES app_user (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX session_of_user ON session (tenant_id, user_id, created_at);
CREATE INDEX session_by_end ON session (expires_at);

CREATE TABLE preference (
    tenant_id  TEXT COLLATE "C" NOT NULL,
    user_id    TEXT COLLATE "C" NOT NULL,
    body       TEXT NOT NULL, -- a JSON object
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, user_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES app_user (tenant_id, id) ON DELETE CASCADE
);
