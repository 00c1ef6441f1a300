-- Times are milliseconds since the Unix epoch, UTC. Numbers of migrations are SQLite's, so that one number is one schema: this
-- one has all that came before it there.
--
-- Ids are compared byte by byte, as SQLite does: by the collation of the database, a page could end in the midst of another.

-- Tells this database from any other: what is kept elsewhere about it, such as the second tier of the cache, names it.
CREATE TABLE installation (
    id TEXT NOT NULL
);
INSERT INTO installation (id) VALUES (replace(gen_random_uuid()::text, '-', ''));

CREATE TABLE tenant (
    id         TEXT COLLATE "C" PRIMARY KEY,
    name       TEXT NOT NULL,
    tier       TEXT NOT NULL CHECK (tier IN ('free', 'basic', 'premium', 'enterprise')),
    -- Limits of its own that override the tier's; NULL leaves the tier's.
    per_minute BIGINT CHECK (per_minute > 0),
    per_hour   BIGINT CHECK (per_hour > 0),
    per_day    BIGINT CHECK (per_day > 0),
    max_users  BIGINT CHECK (max_users > 0),
    created_at BIGINT NOT NULL,
    -- Which of two plans of a tenant is the newer: milliseconds since 1970, and greater with each change.
    plan_epoch BIGINT NOT NULL
);

-- A key is known by its digest only: the text is shown once, when it is issued.
CREATE TABLE api_key (
    digest     BYTEA PRIMARY KEY,
    tenant_id  TEXT COLLATE "C" NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL
);
CREATE INDEX api_key_of_tenant ON api_key (tenant_id);

CREATE TABLE schedule (
    id          TEXT COLLATE "C" PRIMARY KEY,
    tenant_id   TEXT COLLATE "C" NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    title       TEXT NOT NULL,
    starts_at   BIGINT NOT NULL,
    ends_at     BIGINT NOT NULL,
    recurrence  TEXT,
    attendees   TEXT NOT NULL, -- a JSON array of texts
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    -- Which line of which import made the row: what makes a repeated chunk harmless.
    import_id   TEXT COLLATE "C",
    import_line BIGINT
);
CREATE INDEX schedule_in_order ON schedule (tenant_id, starts_at, id);
CREATE UNIQUE INDEX schedule_of_import ON schedule (import_id, import_line) WHERE import_id IS NOT NULL;

-- How far an import has come. It moves in the same transaction as the rows it counts. The row is there from the moment
-- in which its upload was admitted, and goes after its job.
CREATE TABLE import (
    id          TEXT COLLATE "C" PRIMARY KEY, -- the job's id
    tenant_id   TEXT COLLATE "C" NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    next_byte   BIGINT NOT NULL,
    next_line   BIGINT NOT NULL,
    imported    BIGINT NOT NULL,
    rejected    BIGINT NOT NULL,
    finished_at BIGINT, -- when the end of the file was reached
    closed_at   BIGINT, -- since when it counts no more as pending: finished, given up, or its job is over
    failure     TEXT CHECK (failure IN ('too-many-rejects', 'upload-gone', 'unreadable')), -- why it was given up
    created_at  BIGINT NOT NULL
);
CREATE INDEX import_of_tenant ON import (tenant_id);
CREATE INDEX import_pending ON import (tenant_id) WHERE closed_at IS NULL;

CREATE TABLE import_reject (
    import_id TEXT COLLATE "C" NOT NULL REFERENCES import (id) ON DELETE CASCADE,
    line      BIGINT NOT NULL,
    reason    TEXT NOT NULL,
    PRIMARY KEY (import_id, line)
);

-- What a commit made stale in the shared cache, written by that very commit: a process that ends before it has told the cache
-- leaves it to whoever starts next. Other processes' own caches are told by NOTIFY.
CREATE TABLE invalidation (
    id     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    origin BIGINT NOT NULL, -- the process that had acted on it before it was written; 0 for none
    kind   TEXT NOT NULL CHECK (kind IN ('key', 'tag', 'pattern', 'class', 'all')),
    name   TEXT NOT NULL, -- empty for 'all'
    class  TEXT,          -- narrows a pattern to one class of entries
    at     BIGINT NOT NULL
);
CREATE INDEX invalidation_by_age ON invalidation (at);
