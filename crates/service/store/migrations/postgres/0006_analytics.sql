-- What was done, a row with each act, in the transaction of the act. It goes when it is rolled into its day.
CREATE TABLE activity (
    id        TEXT COLLATE "C" PRIMARY KEY,
    tenant_id TEXT COLLATE "C" NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    kind      TEXT NOT NULL CHECK (kind IN ('created', 'updated', 'imported', 'reminded')),
    n         BIGINT NOT NULL,
    at        BIGINT NOT NULL
);
CREATE INDEX activity_by_age ON activity (at);
CREATE INDEX activity_of_tenant ON activity (tenant_id, at);

CREATE TABLE analytics_day (
    tenant_id TEXT COLLATE "C" NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    day       BIGINT NOT NULL, -- its first millisecond, UTC
    kind      TEXT NOT NULL,
    n         BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, day, kind)
);
CREATE INDEX analytics_day_by_age ON analytics_day (day);
