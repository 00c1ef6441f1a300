-- Times are milliseconds since the Unix epoch, UTC.

CREATE TABLE tenant (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    tier       TEXT NOT NULL CHECK (tier IN ('free', 'basic', 'premium', 'enterprise')),
    -- Limits of its own that override the tier's; NULL leaves the tier's.
    per_minute INTEGER CHECK (per_minute > 0),
    per_hour   INTEGER CHECK (per_hour > 0),
    per_day    INTEGER CHECK (per_day > 0),
    max_users  INTEGER CHECK (max_users > 0),
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A key is known by its digest only: the text is shown once, when it is issued.
CREATE TABLE api_key (
    digest     BLOB PRIMARY KEY,
    tenant_id  TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX api_key_of_tenant ON api_key (tenant_id);

CREATE TABLE schedule (
    id          TEXT PRIMARY KEY,
    tenant_id   TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    title       TEXT NOT NULL,
    starts_at   INTEGER NOT NULL,
    ends_at     INTEGER NOT NULL,
    recurrence  TEXT,
    attendees   TEXT NOT NULL, -- a JSON array of texts
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    -- Which line of which import made the row: what makes a repeated chunk harmless.
    import_id   TEXT,
    import_line INTEGER
) STRICT;
CREATE INDEX schedule_in_order ON schedule (tenant_id, starts_at, id);
CREATE UNIQUE INDEX schedule_of_import ON schedule (import_id, import_line) WHERE import_id IS NOT NULL;

-- How far an import has come. It moves in the same transaction as the rows it counts. The row is there from the moment
-- in which its upload was admitted, and goes after its job.
CREATE TABLE import (
    id          TEXT PRIMARY KEY, -- the job's id
    tenant_id   TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    next_byte   INTEGER NOT NULL,
    next_line   INTEGER NOT NULL,
    imported    INTEGER NOT NULL,
    rejected    INTEGER NOT NULL,
    finished_at INTEGER, -- when the end of the file was reached
    closed_at   INTEGER, -- since when it counts no more as pending: finished, given up, or its job is over
    failure     TEXT CHECK (failure IN ('too-many-rejects', 'upload-gone', 'unreadable')), -- why it was given up
    created_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX import_of_tenant ON import (tenant_id);
CREATE INDEX import_pending ON import (tenant_id) WHERE closed_at IS NULL;

CREATE TABLE import_reject (
    import_id TEXT NOT NULL REFERENCES import (id) ON DELETE CASCADE,
    line      INTEGER NOT NULL,
    reason    TEXT NOT NULL,
    PRIMARY KEY (import_id, line)
) STRICT, WITHOUT ROWID;

-- What a commit made stale in the caches of other processes, written by that very commit.
-- AUTOINCREMENT: an id is never used again, so a reader knows where it stands.
CREATE TABLE invalidation (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    origin INTEGER NOT NULL, -- the process that had acted on it before it was written; 0 for none
    kind   TEXT NOT NULL CHECK (kind IN ('key', 'tag', 'pattern', 'class', 'all')),
    name   TEXT NOT NULL, -- empty for 'all'
    class  TEXT,          -- narrows a pattern to one class of entries
    at     INTEGER NOT NULL
) STRICT;
CREATE INDEX invalidation_by_age ON invalidation (at);
