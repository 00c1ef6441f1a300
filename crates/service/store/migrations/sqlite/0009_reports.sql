-- Reports are runs that make files, as exports are. The table keeps its name: processes of the version before go on with theirs, and so do
-- backups of it.
ALTER TABLE export_run ADD COLUMN kind TEXT NOT NULL DEFAULT 'export';
-- What came of it beside `file_id`, of a run that makes a pair.
ALTER TABLE export_run ADD COLUMN second_file_id TEXT;
DROP INDEX export_pending;
CREATE INDEX run_pending ON export_run (tenant_id, kind) WHERE closed_at IS NULL;
