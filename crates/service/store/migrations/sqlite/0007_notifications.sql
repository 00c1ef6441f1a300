-- What a tenant is told, by numbers without holes. `last` is taken under the lock of the row, so that the order of the numbers is that
-- of the commits; up to `gone` they were removed.
CREATE TABLE notification_stream (
    tenant_id TEXT PRIMARY KEY REFERENCES tenant (id) ON DELETE CASCADE,
    last      INTEGER NOT NULL,
    gone      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE notification (
    tenant_id TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    seq       INTEGER NOT NULL,
    source    TEXT NOT NULL, -- what it comes from, such as a job's id: one source is told of once
    user_id   TEXT,          -- whom of the tenant's users it concerns; NULL for all
    kind      TEXT NOT NULL,
    body      TEXT NOT NULL, -- JSON
    at        INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, seq)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX notification_of_source ON notification (tenant_id, source);
CREATE INDEX notification_by_age ON notification (at, tenant_id, seq);

CREATE TABLE webhook (
    tenant_id   TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    id          TEXT NOT NULL,
    url         TEXT NOT NULL,
    secret      TEXT NOT NULL, -- as it is, since deliveries are signed with it
    kinds       TEXT NOT NULL, -- a JSON array of texts; empty: all kinds
    created_at  INTEGER NOT NULL,
    disabled_at INTEGER,       -- since when its receiver wants nothing more
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;
