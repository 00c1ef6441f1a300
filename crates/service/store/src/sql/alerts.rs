//! Statements for the alerts of all processes. Each of the tables is kept small.

use super::Sql;

pub(crate) static SILENCES: Sql = Sql::walk(
    "SELECT rule, whole, subject, until_at, reason FROM alert_silence ORDER BY rule, whole, subject LIMIT 1000",
);

/// `$1` rule, `$2` whether it covers all subjects, `$3` subject, `$4` end, `$5` reason, `$6` now.
pub(crate) static PUT_SILENCE: Sql = Sql::search(
    "INSERT INTO alert_silence (rule, whole, subject, until_at, reason, created_at) VALUES ($1, $2, $3, $4, $5, $6)
     ON CONFLICT (rule, whole, subject)
     DO UPDATE SET until_at = excluded.until_at, reason = excluded.reason, created_at = excluded.created_at",
);

/// `$1` rule, `$2` whether it covers all subjects, `$3` subject.
pub(crate) static LIFT_SILENCE: Sql =
    Sql::search("DELETE FROM alert_silence WHERE rule = $1 AND whole = $2 AND subject = $3");

/// Like [`LIFT_SILENCE`], unless it was renewed: `$4` its end.
pub(crate) static END_SILENCE: Sql =
    Sql::search("DELETE FROM alert_silence WHERE rule = $1 AND whole = $2 AND subject = $3 AND until_at = $4");

/// The newest first: those of running processes.
pub(crate) static REPORTS: Sql = Sql::walk(
    "SELECT process, rule, subject, firing, direct, beat, source, alert FROM alert_report
     ORDER BY seen_at DESC LIMIT 10000",
);

/// `$1` process, `$2` rule, `$3` subject, `$4` firing, `$5` direct, `$6` beat, `$7` source, `$8`
/// alert. [`MOVE_BEAT`] follows and sets the time.
pub(crate) static PUT_REPORT: Sql = Sql::search(
    "INSERT INTO alert_report (process, rule, subject, firing, direct, beat, seen_at, source, alert)
     VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8)
     ON CONFLICT (process, rule, subject)
     DO UPDATE SET firing = excluded.firing, direct = excluded.direct, beat = excluded.beat,
                   source = excluded.source, alert = excluded.alert",
);

/// `$1` beat, `$2` process. Uses the database's time, so that the clocks of two machines are never
/// compared.
pub(crate) static MOVE_BEAT: Sql = Sql::search(
    "UPDATE alert_report SET beat = $1, seen_at = CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)
     WHERE process = $2",
)
.on_postgres(
    "UPDATE alert_report SET beat = $1, seen_at = CAST(extract(epoch FROM now()) * 1000 AS BIGINT)
     WHERE process = $2",
);

/// `$1` process.
pub(crate) static REMOVE_REPORTS: Sql = Sql::search("DELETE FROM alert_report WHERE process = $1");

/// Like [`REMOVE_REPORTS`], unless they were written since: `$2` beat.
pub(crate) static REMOVE_DEAD_REPORTS: Sql = Sql::search("DELETE FROM alert_report WHERE process = $1 AND beat = $2");

/// `$1` process, `$2` rule, `$3` subject.
pub(crate) static REMOVE_REPORT: Sql =
    Sql::search("DELETE FROM alert_report WHERE process = $1 AND rule = $2 AND subject = $3");

/// Removes the reports of processes that were not seen for `$1` milliseconds by the database's
/// clock.
pub(crate) static REMOVE_OLD_REPORTS: Sql = Sql::search(
    "DELETE FROM alert_report WHERE seen_at < CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) - $1",
)
.on_postgres("DELETE FROM alert_report WHERE seen_at < CAST(extract(epoch FROM now()) * 1000 AS BIGINT) - $1");

pub(crate) static STATES: Sql =
    Sql::walk("SELECT rule, subject, told, source, alert FROM alert_state ORDER BY rule, subject LIMIT 10000");

/// `$1` rule, `$2` subject, `$3` whether receivers were notified, `$4` source, `$5` alert.
pub(crate) static PUT_STATE: Sql = Sql::search(
    "INSERT INTO alert_state (rule, subject, told, source, alert) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (rule, subject)
     DO UPDATE SET told = excluded.told, source = excluded.source, alert = excluded.alert",
);

/// `$1` rule, `$2` subject.
pub(crate) static REMOVE_STATE: Sql = Sql::search("DELETE FROM alert_state WHERE rule = $1 AND subject = $2");

pub(crate) static SENDER: Sql = Sql::search("SELECT holder, name, turn, notices FROM alert_sender WHERE one = 1");

/// Takes or keeps the role of the sender, unless the row has changed: `$1` process, `$2` its name,
/// `$3` the turn that was read.
pub(crate) static CLAIM_SENDER: Sql =
    Sql::search("UPDATE alert_sender SET holder = $1, name = $2, turn = turn + 1 WHERE one = 1 AND turn = $3");

/// As the sender: `$1` number of the last notice, `$2` process, `$3` the turn that was read.
pub(crate) static MOVE_SENDER: Sql =
    Sql::search("UPDATE alert_sender SET notices = $1, turn = turn + 1 WHERE one = 1 AND holder = $2 AND turn = $3");

/// `$1` number, `$2` now, `$3` the notice.
pub(crate) static INSERT_NOTICE: Sql = Sql::search("INSERT INTO alert_notice (id, at, body) VALUES ($1, $2, $3)");

/// Up to number `$1`.
pub(crate) static REMOVE_NOTICES: Sql = Sql::search("DELETE FROM alert_notice WHERE id <= $1");

/// After number `$1`, not older than `$2`.
pub(crate) static NOTICES_BEHIND: Sql =
    Sql::search("SELECT id, body FROM alert_notice WHERE id > $1 AND at >= $2 ORDER BY id LIMIT 256");

/// `$1` receiver.
pub(crate) static SETTLED: Sql = Sql::search("SELECT settled FROM alert_receiver WHERE way = $1");

/// `$1` receiver, `$2` number. It never decreases.
pub(crate) static SETTLE: Sql = Sql::search(
    "INSERT INTO alert_receiver (way, settled) VALUES ($1, $2)
     ON CONFLICT (way) DO UPDATE SET settled = excluded.settled WHERE alert_receiver.settled < excluded.settled",
);
