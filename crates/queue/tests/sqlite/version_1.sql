-- A file as the release with version 1 of the tables left it, with a job in each state.
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

PRAGMA application_id = 0x54675175;
PRAGMA user_version = 1;

INSERT INTO queue (id, name, ready, delayed, leased, done, dead, cancelled, completed_total, failed_total, retried_total)
VALUES (1, 'work', 1, 1, 1, 1, 1, 1, 1, 1, 1), (2, 'paused', 0, 0, 0, 0, 0, 0, 0, 0, 0);
UPDATE queue SET paused = 1 WHERE id = 2;
INSERT INTO job (queue, id, state, rank, at, ready_at, run_at, created_at, priority, kind, version, payload, max_attempts,
    delivery, nonce, failures, started_at, finished_at, result, history, note)
VALUES
    (1, 'ready', 0, 2, 1000, 1000, 1000, 1000, 2, 'test', 1, '{"n":1}', 3, 0, NULL, 0, NULL, NULL, NULL, NULL, NULL),
    (1, 'delayed', 1, 0, 60000, 60000, 60000, 1000, 1, 'test', 1, '{}', NULL, 1, '0123456789abcdef', 1, 1500, NULL, NULL,
        '[{"started_at":"1970-01-01T00:00:01.500Z","ended_at":"1970-01-01T00:00:02Z","error":"no luck"}]', NULL),
    (1, 'leased', 2, 0, 99999999999999, 1000, 1000, 1000, 2, 'test', 1, '{}', NULL, 1, '0123456789abcdef', 0, 1500, NULL,
        NULL, NULL, NULL),
    (1, 'done', 3, 0, 2000, 1000, 1000, 1000, 2, 'test', 1, '{}', NULL, 1, '0123456789abcdef', 0, 1500, 2000, '{"ok":true}',
        NULL, NULL),
    (1, 'dead', 4, 0, 2000, 1000, 1000, 1000, 2, 'test', 1, '{}', NULL, 1, '0123456789abcdef', 1, 1500, 2000, NULL,
        '[{"started_at":"1970-01-01T00:00:01.500Z","ended_at":"1970-01-01T00:00:02Z","error":"x"}]', NULL),
    (1, 'cancelled', 5, 0, 2000, 1000, 1000, 1000, 2, 'test', 1, '{}', NULL, 0, NULL, 0, NULL, 2000, NULL, NULL, 'told to');
