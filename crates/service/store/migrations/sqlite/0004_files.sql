-- A file that somebody may fetch. What it holds lies elsewhere, in a directory or a bucket, under a key of kind, tenant and id.
CREATE TABLE file (
    id           TEXT PRIMARY KEY,
    tenant_id    TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    kind         TEXT NOT NULL,
    name         TEXT NOT NULL, -- what it is called where it is saved
    content_type TEXT NOT NULL,
    bytes        INTEGER NOT NULL,
    sha256       TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX file_of_tenant ON file (tenant_id);
CREATE INDEX file_by_end ON file (expires_at, id);

-- An export. The row is there from the moment in which it was admitted, before its job, and goes after it.
CREATE TABLE export_run (
    id         TEXT PRIMARY KEY, -- the job's id
    tenant_id  TEXT NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    file_id    TEXT,    -- what came of it: of two runs of one job, the first that ends
    closed_at  INTEGER  -- since when it counts no more as pending
) STRICT, WITHOUT ROWID;
CREATE INDEX export_of_tenant ON export_run (tenant_id);
CREATE INDEX export_pending ON export_run (tenant_id) WHERE closed_at IS NULL;
CREATE INDEX export_by_age ON export_run (created_at, id);
