-- The number of the last batch of increments that was added, for each stream of batches. A batch that comes again is left out.
CREATE TABLE increment_stream (
    stream TEXT PRIMARY KEY,
    number INTEGER NOT NULL,
    at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX increment_stream_by_age ON increment_stream (at);

-- Reads of schedules, by day. Not in analytics_day: a process of the version before can't read its rows of another kind.
CREATE TABLE view_day (
    tenant_id TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    day       INTEGER NOT NULL, -- its first millisecond, UTC
    n         INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, day)
) STRICT, WITHOUT ROWID;
CREATE INDEX view_day_by_age ON view_day (day);
