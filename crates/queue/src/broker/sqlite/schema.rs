//! The tables. One index, over state, rank, time and age, serves fetching, promoting, reclaiming,
//! trimming and listing; a job that changes state moves one entry of it.

/// Marks the file as ours (`PRAGMA application_id`): the letters `TgQu`.
pub(super) const APPLICATION_ID: i64 = 0x5467_5175;

/// Version of the tables below (`PRAGMA user_version`).
pub(super) const VERSION: i64 = 1;

/// Makes the tables of [`VERSION`].
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
