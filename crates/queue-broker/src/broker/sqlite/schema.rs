//! The tables. One index, over state, rank, time and age, serves fetching, promoting, reclaiming,
//! trimming and listing. A state change of a job moves one entry of it.

/// Marks the file as a job store (`PRAGMA application_id`): the letters `TgQu`.
pub(super) const APPLICATION_ID: i64 = 0x5467_5175;

/// Version of the tables below (`PRAGMA user_version`).
pub(super) const VERSION: i64 = 2;

/// Creates the tables of version 1.
pub(super) const CREATE: &str = "
CREATE TABLE queue (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    paused INTEGER NOT NULL DEFAULT 0,
    ready INTEGER NOT NULL DEFAULT 0,
    delayed INTEGER NOT NULL DEFAULT 0,
    leased INTEGER NOT NULL DEFAULT 0,
    done INTEGER NOT NULL DEFAULT 0,
    dead INTEGER NOT NULL DEFAULT 0,
    cancelled INTEGER NOT NULL DEFAULT 0,
    completed_total INTEGER NOT NULL DEFAULT 0,
    failed_total INTEGER NOT NULL DEFAULT 0,
    retried_total INTEGER NOT NULL DEFAULT 0,
    reclaimed_total INTEGER NOT NULL DEFAULT 0,
    stale_acks_total INTEGER NOT NULL DEFAULT 0,
    last_maintenance INTEGER,
    reclaim_from INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE job (
    seq INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL,
    id TEXT NOT NULL,
    state INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    at INTEGER NOT NULL,
    ready_at INTEGER NOT NULL,
    run_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    kind TEXT NOT NULL,
    version INTEGER NOT NULL,
    payload TEXT NOT NULL,
    max_attempts INTEGER,
    timeout_ms INTEGER,
    delivery INTEGER NOT NULL DEFAULT 0,
    nonce TEXT,
    failures INTEGER NOT NULL DEFAULT 0,
    lost INTEGER NOT NULL DEFAULT 0,
    furthest INTEGER NOT NULL DEFAULT 0,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    started_at INTEGER,
    finished_at INTEGER,
    percent INTEGER,
    message TEXT,
    result TEXT,
    history TEXT,
    note TEXT
) STRICT;
CREATE UNIQUE INDEX job_by_id ON job (queue, id);
CREATE INDEX job_by_state ON job (queue, state, rank, at);

CREATE TABLE worker (
    id TEXT PRIMARY KEY,
    info TEXT NOT NULL,
    last_seen INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX worker_by_last_seen ON worker (last_seen);
";

/// Changes of version 2: keys, groups, settings, checkpoints, logs, events, documents.
///
/// `holds_key` is set if the end of the job releases its unique key. A job that waits for an
/// earlier one of its ordering key has state 6. Logs are deleted with their job.
pub(super) const TO_VERSION_2: &str = "
ALTER TABLE queue ADD COLUMN waiting INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN max_running INTEGER;
ALTER TABLE queue ADD COLUMN rate_jobs INTEGER;
ALTER TABLE queue ADD COLUMN rate_per_ms INTEGER;
ALTER TABLE queue ADD COLUMN full_at REAL NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN events INTEGER NOT NULL DEFAULT 0;

ALTER TABLE job ADD COLUMN expires_at INTEGER;
ALTER TABLE job ADD COLUMN ordering_key TEXT;
ALTER TABLE job ADD COLUMN unique_key TEXT;
ALTER TABLE job ADD COLUMN holds_key INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN job_group TEXT;
ALTER TABLE job ADD COLUMN trace_parent TEXT;
ALTER TABLE job ADD COLUMN checkpoint TEXT;
CREATE INDEX job_by_ordering_key ON job (queue, ordering_key, state, seq) WHERE ordering_key IS NOT NULL;

CREATE TABLE unique_key (
    queue INTEGER NOT NULL,
    key TEXT NOT NULL,
    job TEXT NOT NULL,
    until INTEGER,
    PRIMARY KEY (queue, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX unique_key_by_end ON unique_key (queue, until) WHERE until IS NOT NULL;

CREATE TABLE job_group (
    queue INTEGER NOT NULL,
    id TEXT NOT NULL,
    total INTEGER NOT NULL DEFAULT 0,
    done INTEGER NOT NULL DEFAULT 0,
    dead INTEGER NOT NULL DEFAULT 0,
    cancelled INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (queue, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE job_log (
    job INTEGER NOT NULL REFERENCES job (seq) ON DELETE CASCADE,
    line INTEGER NOT NULL,
    at INTEGER NOT NULL,
    delivery INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (job, line)
) STRICT, WITHOUT ROWID;

CREATE TABLE event (
    queue INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    job TEXT NOT NULL,
    what TEXT NOT NULL,
    PRIMARY KEY (queue, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE document (
    collection TEXT NOT NULL,
    name TEXT NOT NULL,
    revision INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (collection, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE revision (latest INTEGER NOT NULL) STRICT;
INSERT INTO revision (latest) VALUES (0);
";
