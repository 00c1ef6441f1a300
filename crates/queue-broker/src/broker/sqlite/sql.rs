//! All statements in one file, so that a test can check the plan of each.
//!
//! State numbers: 0 ready, 1 delayed, 2 leased, 3 done, 4 dead, 5 cancelled, 6 waiting.

macro_rules! job_columns {
    () => {
        "seq, id, state, rank, at, ready_at, run_at, created_at, priority, kind, version, payload, \
         max_attempts, timeout_ms, delivery, nonce, failures, lost, furthest, cancel_requested, started_at, \
         finished_at, percent, message, result, history, note, expires_at, ordering_key, unique_key, \
         holds_key, job_group, checkpoint"
    };
}

pub(super) const MAKE_QUEUE: &str = "INSERT INTO queue (name, last_maintenance) VALUES (?1, ?2) \
    ON CONFLICT (name) DO NOTHING";
pub(super) const FIND_QUEUE: &str = "SELECT id, paused, ready, leased, max_running, rate_jobs, \
    rate_per_ms, full_at, events FROM queue WHERE name = ?1";
pub(super) const COUNT: &str = "UPDATE queue SET \
    ready = ready + ?2, delayed = delayed + ?3, leased = leased + ?4, done = done + ?5, \
    dead = dead + ?6, cancelled = cancelled + ?7, waiting = waiting + ?8, \
    completed_total = completed_total + ?9, failed_total = failed_total + ?10, \
    retried_total = retried_total + ?11, reclaimed_total = reclaimed_total + ?12, \
    stale_acks_total = stale_acks_total + ?13 \
    WHERE id = ?1";
pub(super) const CONFIGURE: &str = "UPDATE queue SET max_running = ?2, rate_jobs = ?3, rate_per_ms = ?4, \
    full_at = ?5, events = ?6 WHERE id = ?1";
pub(super) const TOKENS_TAKEN: &str = "UPDATE queue SET full_at = ?2 WHERE id = ?1";
pub(super) const PAUSE: &str = "UPDATE queue SET paused = ?2 WHERE id = ?1";

/// Rows as JSON arrays, numbered in order: `[state, id, priority, at, run_at, kind, version,
/// payload, max_attempts, timeout, extras]`. Extras are null or `[expires_at, group, trace_parent,
/// ordering_key, unique_key, holds_key]`.
pub(super) const ENQUEUE: &str = "INSERT INTO job (queue, id, state, rank, at, ready_at, run_at, \
    created_at, priority, kind, version, payload, max_attempts, timeout_ms, expires_at, job_group, \
    trace_parent, ordering_key, unique_key, holds_key) \
    SELECT ?2, r.value ->> 1, r.value ->> 0, CASE r.value ->> 0 WHEN 0 THEN r.value ->> 2 ELSE 0 END, r.value ->> 3, \
    r.value ->> 3, r.value ->> 4, ?3, r.value ->> 2, r.value ->> 5, r.value ->> 6, r.value ->> 7, \
    r.value ->> 8, r.value ->> 9, r.value ->> '$[10][0]', r.value ->> '$[10][1]', r.value ->> '$[10][2]', \
    r.value ->> '$[10][3]', r.value ->> '$[10][4]', coalesce(r.value ->> '$[10][5]', 0) \
    FROM json_each(?1) AS r WHERE true \
    ON CONFLICT (queue, id) DO NOTHING";

pub(super) const LAST_SEQ: &str = "SELECT coalesce(max(seq), 0) FROM job";
pub(super) const ADDED: &str = "SELECT id FROM job WHERE seq > ?1 AND queue = ?2";
pub(super) const KNOWN: &str = "SELECT 1 FROM job WHERE queue = ?1 AND id = ?2";

pub(super) const HOLDER_OF_KEY: &str = "SELECT job FROM unique_key WHERE queue = ?1 AND key = ?2 \
    AND (until IS NULL OR until > ?3)";
pub(super) const HOLD_KEY: &str = "INSERT INTO unique_key (queue, key, job, until) VALUES (?1, ?2, ?3, ?4) \
    ON CONFLICT (queue, key) DO UPDATE SET job = excluded.job, until = excluded.until";
pub(super) const FREE_KEY: &str = "DELETE FROM unique_key \
    WHERE queue = ?1 AND key = ?2 AND job = ?3 AND until IS NULL";
pub(super) const FORGET_KEYS: &str = "DELETE FROM unique_key WHERE queue = ?1 AND key IN (SELECT key FROM unique_key \
    WHERE queue = ?1 AND until <= ?2 ORDER BY until LIMIT ?3)";

pub(super) const ACTIVE_OF_KEY: &str = "SELECT 1 FROM job \
    WHERE queue = ?1 AND ordering_key = ?2 AND state IN (0, 1, 2) LIMIT 1";
pub(super) const NEXT_OF_KEY: &str = "SELECT seq, run_at, priority FROM job \
    WHERE queue = ?1 AND ordering_key = ?2 AND state = 6 ORDER BY seq LIMIT 1";
pub(super) const COME_FORWARD: &str = "UPDATE job SET state = ?2, rank = ?3, at = ?4, ready_at = ?4 WHERE seq = ?1";

pub(super) const GROUP_GREW: &str = "INSERT INTO job_group (queue, id, total) VALUES (?1, ?2, ?3) \
    ON CONFLICT (queue, id) DO UPDATE SET total = total + excluded.total";
pub(super) const GROUP_CHANGED: &str = "UPDATE job_group SET done = done + ?3, dead = dead + ?4, \
    cancelled = cancelled + ?5 WHERE queue = ?1 AND id = ?2";
pub(super) const FORGET_GROUP: &str = "DELETE FROM job_group WHERE queue = ?1 AND id = ?2";
pub(super) const GROUP: &str = "SELECT total, done, dead, cancelled FROM job_group \
    WHERE queue = (SELECT id FROM queue WHERE name = ?1) AND id = ?2";

pub(super) const CHECKPOINT: &str = "UPDATE job SET checkpoint = ?5 \
    WHERE queue = ?1 AND id = ?2 AND state = 2 AND delivery = ?3 AND nonce = ?4";
pub(super) const LEASED_SEQ: &str = "SELECT seq FROM job \
    WHERE queue = ?1 AND id = ?2 AND state = 2 AND delivery = ?3 AND nonce = ?4";
pub(super) const LAST_LINE: &str = "SELECT coalesce(max(line), 0) FROM job_log WHERE job = ?1";
pub(super) const LOG: &str = "INSERT INTO job_log (job, line, at, delivery, text) VALUES (?1, ?2, ?3, ?4, ?5)";
pub(super) const TRIM_LOG: &str = "DELETE FROM job_log WHERE job = ?1 AND line <= ?2";
pub(super) const LOGS: &str = "SELECT at, delivery, text FROM job_log WHERE job = (SELECT seq FROM job \
    WHERE queue = (SELECT id FROM queue WHERE name = ?1) AND id = ?2) ORDER BY line";

pub(super) const LAST_EVENT: &str = "SELECT coalesce(max(number), 0) FROM event WHERE queue = ?1";
/// Events as JSON arrays: `[job, what]`.
pub(super) const ADD_EVENTS: &str = "INSERT INTO event (queue, number, at, job, what) \
    SELECT ?2, ?3 + r.key, ?4, r.value ->> 0, r.value ->> 1 FROM json_each(?1) AS r";
pub(super) const TRIM_EVENTS: &str = "DELETE FROM event WHERE queue = ?1 AND number <= ?2";
pub(super) const LATEST_EVENT: &str = "SELECT coalesce(max(number), 0) FROM event \
    WHERE queue = (SELECT id FROM queue WHERE name = ?1)";
pub(super) const EVENTS: &str = "SELECT number, at, job, what FROM event \
    WHERE queue = (SELECT id FROM queue WHERE name = ?1) AND number > ?2 ORDER BY number LIMIT ?3";

pub(super) const DOCUMENT: &str = "SELECT revision, body FROM document WHERE collection = ?1 AND name = ?2";
pub(super) const DOCUMENTS: &str = "SELECT name, revision, body FROM document WHERE collection = ?1 ORDER BY name";
pub(super) const NEXT_REVISION: &str = "UPDATE revision SET latest = latest + 1 RETURNING latest";
pub(super) const PUT_DOCUMENT: &str = "INSERT INTO document (collection, name, revision, body) \
    VALUES (?1, ?2, ?3, ?4) \
    ON CONFLICT (collection, name) DO UPDATE SET revision = excluded.revision, body = excluded.body";
pub(super) const REMOVE_DOCUMENT: &str = "DELETE FROM document WHERE collection = ?1 AND name = ?2";

pub(super) const FETCH: &str = "UPDATE job SET state = 2, rank = 0, at = ?2, \
    delivery = delivery + 1, nonce = ?3, started_at = ?4, percent = NULL, message = NULL, note = NULL \
    WHERE seq IN (SELECT seq FROM job WHERE queue = ?1 AND state = 0 ORDER BY rank, at, seq LIMIT ?5) \
    RETURNING seq, id, delivery, kind, version, payload, priority, max_attempts, timeout_ms, \
    failures, created_at, ready_at, expires_at, trace_parent, job_group, checkpoint";

/// The jobs whose current lease is that of a token. Tokens are JSON arrays: `[id, delivery, nonce,
/// result]`. The cross join fixes the order; otherwise the planner reads every leased job for every
/// token.
macro_rules! held {
    () => {
        "WITH held AS MATERIALIZED (SELECT j.seq AS seq, t.value ->> 3 AS result \
         FROM json_each(?1) AS t CROSS JOIN job AS j \
         WHERE j.queue = ?2 AND j.id = t.value ->> 0 AND j.state = 2 \
         AND j.delivery = t.value ->> 1 AND j.nonce = t.value ->> 2) "
    };
}

pub(super) const ACK: &str = concat!(
    held!(),
    "UPDATE job SET state = 3, rank = 0, at = ?3, finished_at = ?3, result = held.result \
    FROM held WHERE job.seq = held.seq \
    RETURNING seq, id, delivery, nonce, ordering_key, unique_key, holds_key, job_group"
);
pub(super) const EXTEND: &str = concat!(
    held!(),
    "UPDATE job SET at = ?3 FROM held WHERE job.seq = held.seq \
    RETURNING id, delivery, nonce, cancel_requested"
);

pub(super) const PROGRESS: &str = "UPDATE job SET percent = ?5, message = ?6, \
    lost = CASE WHEN ?5 > furthest THEN 0 ELSE lost END, furthest = MAX(furthest, ?5) \
    WHERE queue = ?1 AND id = ?2 AND state = 2 AND delivery = ?3 AND nonce = ?4";

pub(super) const HOLDER: &str = "SELECT state FROM job WHERE queue = ?1 AND id = ?2 AND delivery = ?3 AND nonce = ?4";

pub(super) const PROMOTE: &str = "UPDATE job SET state = 0, rank = priority, ready_at = at \
    WHERE seq IN (SELECT seq FROM job WHERE queue = ?1 AND state = 1 AND rank = 0 AND at <= ?2 \
    ORDER BY at, seq LIMIT ?3)";
pub(super) const NEXT_DUE: &str = "SELECT at FROM job \
    WHERE queue = ?1 AND state = 1 AND rank = 0 ORDER BY at LIMIT 1";

pub(super) const NEXT_DEADLINE: &str = "SELECT at FROM job \
    WHERE queue = ?1 AND state = 2 AND rank = 0 ORDER BY at LIMIT 1";
/// Jobs of one state, in order.
pub(super) const OF_STATE: &str =
    concat!("SELECT ", job_columns!(), " FROM job WHERE queue = ?1 AND state = ?2 ORDER BY rank, at, seq LIMIT ?3");

pub(super) const MAINTENANCE: &str = "SELECT last_maintenance, reclaim_from FROM queue WHERE id = ?1";
pub(super) const MAINTAINED: &str = "UPDATE queue SET last_maintenance = ?2, reclaim_from = ?3 WHERE id = ?1";
pub(super) const SHORTEN: &str = "UPDATE job SET at = ?2 \
    WHERE queue = ?1 AND state = 2 AND rank = 0 AND at > ?2";
pub(super) const EXPIRED: &str = concat!(
    "SELECT ",
    job_columns!(),
    " FROM job \
    WHERE queue = ?1 AND state = 2 AND rank = 0 AND at <= ?2 ORDER BY at, seq LIMIT ?3"
);

pub(super) const LOAD: &str = concat!("SELECT ", job_columns!(), " FROM job WHERE queue = ?1 AND id = ?2");
pub(super) const SAVE: &str = "UPDATE job SET state = ?2, rank = ?3, at = ?4, ready_at = ?5, \
    run_at = ?6, nonce = ?7, failures = ?8, lost = ?9, cancel_requested = ?10, finished_at = ?11, \
    percent = ?12, message = ?13, history = ?14, note = ?15, furthest = ?16 WHERE seq = ?1";

pub(super) const REMOVE: &str = "DELETE FROM job WHERE seq IN (SELECT seq FROM job \
    WHERE queue = ?1 AND state = ?2 AND rank = 0 AND at <= ?3 ORDER BY at, seq LIMIT ?4)";
pub(super) const REMOVE_ONE: &str = "DELETE FROM job WHERE seq = ?1";
pub(super) const KEPT: &str = "SELECT done, dead, cancelled FROM queue WHERE id = ?1";

pub(super) const WORK: &str = "SELECT \
    EXISTS (SELECT 1 FROM job WHERE queue = q.id AND state = 0) AS has_ready, \
    (SELECT at FROM job WHERE queue = q.id AND state = 1 AND rank = 0 ORDER BY at LIMIT 1) AS next_due, \
    paused, leased, max_running, rate_jobs, rate_per_ms, full_at, events \
    FROM queue AS q WHERE q.name = ?1";
pub(super) const JOB: &str = concat!(
    "SELECT ",
    job_columns!(),
    " FROM job \
    WHERE queue = (SELECT id FROM queue WHERE name = ?1) AND id = ?2"
);
pub(super) const LIST_UP: &str = concat!(
    "SELECT ",
    job_columns!(),
    " FROM job \
    WHERE queue = (SELECT id FROM queue WHERE name = ?1) AND state = ?2 \
    AND (rank, at, seq) > (?3, ?4, ?5) ORDER BY rank, at, seq LIMIT ?6"
);
pub(super) const LIST_DOWN: &str = concat!(
    "SELECT ",
    job_columns!(),
    " FROM job \
    WHERE queue = (SELECT id FROM queue WHERE name = ?1) AND state = ?2 \
    AND (rank, at, seq) < (?3, ?4, ?5) ORDER BY rank DESC, at DESC, seq DESC LIMIT ?6"
);
pub(super) const OVERVIEWS: &str = "WITH level (rank) AS (VALUES (0), (1), (2), (3), (4)) \
    SELECT r.key AS nth, q.paused, q.ready, q.delayed, q.waiting, q.leased, q.done, q.dead, q.cancelled, \
    q.completed_total, q.failed_total, q.retried_total, q.reclaimed_total, q.stale_acks_total, \
    q.max_running, q.rate_jobs, q.rate_per_ms, q.full_at, q.events, \
    (SELECT min((SELECT at FROM job WHERE queue = q.id AND state = 0 AND job.rank = level.rank \
    ORDER BY at LIMIT 1)) FROM level) AS oldest_ready \
    FROM json_each(?1) AS r CROSS JOIN queue AS q ON q.name = r.value";
pub(super) const RUNNING: &str = concat!(
    "SELECT (SELECT name FROM queue WHERE queue.id = job.queue) AS of_queue, ",
    job_columns!(),
    " FROM job WHERE seq IN (SELECT leased.seq FROM json_each(?1) AS r CROSS JOIN job AS leased \
    ON leased.seq IN (SELECT seq FROM job WHERE queue = (SELECT id FROM queue WHERE name = r.value) \
    AND state = 2 AND rank = 0 ORDER BY at, seq LIMIT ?2))"
);
pub(super) const QUEUES: &str = "SELECT name FROM queue ORDER BY name";

pub(super) const ANNOUNCE: &str = "INSERT INTO worker (id, info, last_seen) VALUES (?1, ?2, ?3) \
    ON CONFLICT (id) DO UPDATE SET info = excluded.info, last_seen = excluded.last_seen";
pub(super) const WITHDRAW: &str = "DELETE FROM worker WHERE id = ?1";
pub(super) const FORGET: &str = "DELETE FROM worker WHERE last_seen <= ?1";
pub(super) const WORKERS: &str = "SELECT info FROM worker WHERE last_seen > ?1";

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::{Connection, Row};

    /// Each statement must find its rows through an index or the row number. A statement may scan
    /// only its own input (JSON, constants) and the list of queue names.
    #[tokio::test]
    async fn every_statement_uses_an_index() {
        let mut conn = sqlx::SqliteConnection::connect("sqlite::memory:").await.unwrap();
        for step in [super::super::schema::CREATE, super::super::schema::TO_VERSION_2] {
            sqlx::raw_sql(step).execute(&mut conn).await.unwrap();
        }
        let all = [
            MAKE_QUEUE,
            FIND_QUEUE,
            COUNT,
            CONFIGURE,
            TOKENS_TAKEN,
            PAUSE,
            ENQUEUE,
            LAST_SEQ,
            ADDED,
            KNOWN,
            HOLDER_OF_KEY,
            HOLD_KEY,
            FREE_KEY,
            FORGET_KEYS,
            ACTIVE_OF_KEY,
            NEXT_OF_KEY,
            COME_FORWARD,
            GROUP_GREW,
            GROUP_CHANGED,
            FORGET_GROUP,
            GROUP,
            CHECKPOINT,
            LEASED_SEQ,
            LAST_LINE,
            LOG,
            TRIM_LOG,
            LOGS,
            LAST_EVENT,
            ADD_EVENTS,
            TRIM_EVENTS,
            LATEST_EVENT,
            EVENTS,
            DOCUMENT,
            DOCUMENTS,
            NEXT_REVISION,
            PUT_DOCUMENT,
            REMOVE_DOCUMENT,
            NEXT_DEADLINE,
            OF_STATE,
            FETCH,
            ACK,
            EXTEND,
            PROGRESS,
            HOLDER,
            PROMOTE,
            NEXT_DUE,
            MAINTENANCE,
            MAINTAINED,
            SHORTEN,
            EXPIRED,
            LOAD,
            SAVE,
            REMOVE,
            REMOVE_ONE,
            KEPT,
            WORK,
            JOB,
            LIST_UP,
            LIST_DOWN,
            OVERVIEWS,
            RUNNING,
            QUEUES,
            ANNOUNCE,
            WITHDRAW,
            FORGET,
            WORKERS,
        ];
        // A statement in this file that is not in the list would not be checked.
        let declared = include_str!("sql.rs").matches("pub(super) const ").count();
        assert_eq!(declared, all.len() + 1, "list every statement here (one match is this test's)");
        for statement in all {
            let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
            let plan = sqlx::query(explain).fetch_all(&mut conn).await.unwrap();
            for step in plan {
                let step: String = step.get("detail");
                let fine = step.starts_with("SEARCH ")
                    || step.starts_with("SCAN r VIRTUAL TABLE")
                    || step.starts_with("SCAN t VIRTUAL TABLE")
                    || step.starts_with("SCAN level")
                    || step.contains("CONSTANT ROW")
                    || step.starts_with("LIST SUBQUERY")
                    || step.starts_with("SCALAR SUBQUERY")
                    || step.starts_with("CORRELATED SCALAR SUBQUERY")
                    || step.starts_with("CORRELATED LIST SUBQUERY")
                    || step.starts_with("CO-ROUTINE level")
                    || step.starts_with("MATERIALIZE level")
                    || step == "CREATE BLOOM FILTER"
                    || step == "MATERIALIZE held"
                    || step == "SCAN held"
                    || step == "SCAN queue USING COVERING INDEX sqlite_autoindex_queue_1"
                    // One row.
                    || step == "SCAN revision";
                assert!(fine, "{statement}\n  {step}");
                let by_token = step.starts_with("SEARCH j USING");
                assert!(!by_token || step.contains("job_by_id (queue=? AND id=?)"), "{step}");
            }
        }
    }
}
