-- What a tenant is told, by numbers without holes. `last` is taken under the lock of the row, so that the order of the numbers is that
-- of the commits; up to `gone` they were removed.
CREATE TABLE notification_stream (
    tenant_id TEXT COLLATE "C" PRIMARY KEY REFERENCES tenant (id) ON DELETE CASCADE,
    last      BIGINT NOT NULL,
    gone      BIGINT NOT NULL
);

CREATE TABLE notification (
    tenant_id TEXT COLLATE "C" NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    seq       BIGINT NOT NULL,
    source    TEXT COLLATE "C" NOT NULL, -- what it comes from, such as a job's id: one source is told of once
    user_id   TEXT COLLATE "C",          -- whom of the tenant's users it concerns; NULL for all
    kind      TEXT NOT NULL,
    body      TEXT NOT NULL, -- JSON
    at        BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, seq)
);
CREATE UNIQUE INDEX notification_of_source ON notification (tenant_id, source);
CREATE INDEX notification_by_age ON notification (at, tenant_id, seq);

CREATE TABLE webhook (
    tenant_id   TEXT COLLATE "C" NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    id          TEXT COLLATE "C" NOT NULL,
    url         TEXT NOT NULL,
    secret      TEXT NOT NULL, -- as it is, since deliveries are signed with it
    kinds       TEXT NOT NULL, -- a JSON array of texts; empty: all kinds
    created_at  BIGINT NOT NULL,
    disabled_at BIGINT,        -- since when its receiver wants nothing more
    PRIMARY KEY (tenant_id, id)
);
