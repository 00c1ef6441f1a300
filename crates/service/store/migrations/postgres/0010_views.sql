-- The number of the last batch of increments that was added, for each stream of batches. A batch that comes again is left out.
CREATE TABLE increment_stream (
    stream TEXT COLLATE "C" PRIMARY KEY,
    number BIGINT NOT NULL,
    at     BIGINT NOT NULL
);
CREATE INDEX increment_stream_by_age ON increment_stream (at);

-- Reads of schedules, by day. Not in analytics_day: a process of the version before can't read its rows of another kind.
CREATE TABLE view_day (
    tenant_id TEXT COLLATE "C" NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    day       BIGINT NOT NULL, -- its first millisecond, UTC
    n         BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, day)
);
CREATE INDEX view_day_by_age ON view_day (day);
