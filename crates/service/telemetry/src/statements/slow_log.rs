//! Logs slow statements by shape, with fewer lines than statements.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tidegate_perfmon::{Fingerprint, Seen, TraceContext, fingerprint};

use super::database::Database;

/// Maximum number of shapes that are logged in one second.
const LINES: usize = 8;
/// Maximum bytes of a shape that are shown.
const LONGEST_SHOWN: usize = 500;

/// Lines that wait to be logged: the listener that receives statements must not log itself.
#[derive(Default)]
pub(super) struct SlowLog(Mutex<Pending>);

#[derive(Default)]
struct Pending {
    lines: Vec<Line>,
    /// Number of statements of shapes without room.
    left_out: u64,
}

pub(super) struct Line {
    fingerprint: Fingerprint,
    /// Text without values.
    text: String,
    elapsed: Duration,
    rows: u64,
    database: Database,
    request_id: Option<String>,
    trace: Option<TraceContext>,
    /// Number of other statements of its shape, which were not slower.
    alike: u64,
}

impl Line {
    pub(super) fn of(seen: &Seen<'_>, database: Database, request_id: Option<&str>) -> Self {
        let mut text = String::new();
        let fingerprint = fingerprint(seen.sql, seen.dialect, &mut text);
        text.truncate(text.floor_char_boundary(LONGEST_SHOWN));
        let request_id = request_id.map(str::to_owned);
        let &Seen { elapsed, rows, trace, .. } = seen;
        Self { fingerprint, text, elapsed, rows, database, request_id, trace, alike: 0 }
    }

    fn write(&self) {
        tracing::warn!(
            database = self.database.name(),
            elapsed = ?self.elapsed,
            rows = self.rows,
            request_id = self.request_id,
            trace_id = self.trace.map(|trace| format!("{:032x}", trace.trace_id())),
            alike = self.alike,
            fingerprint = %self.fingerprint,
            statement = self.text,
            "slow statement"
        );
    }
}

impl SlowLog {
    /// Keeps a line for the next [`write`](Self::write): the slowest of each shape, and the number
    /// of the others.
    pub(super) fn push(&self, line: Line) {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_alike = |known: &&mut Line| known.fingerprint == line.fingerprint && known.database == line.database;
        if let Some(known) = pending.lines.iter_mut().find(is_alike) {
            let alike = known.alike + 1;
            if known.elapsed < line.elapsed {
                *known = line;
            }
            known.alike = alike;
        } else if pending.lines.len() < LINES {
            pending.lines.push(line);
        } else {
            // The slowest shapes are kept: a start has many that are slightly slow.
            let fastest = pending.lines.iter_mut().min_by_key(|known| known.elapsed);
            let left_out = match fastest.filter(|fastest| fastest.elapsed < line.elapsed) {
                Some(fastest) => std::mem::replace(fastest, line),
                None => line,
            };
            pending.left_out += 1 + left_out.alike;
        }
    }

    /// Logs the lines since the last call.
    pub(super) fn write(&self) {
        let Pending { lines, left_out } = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        lines.iter().for_each(Line::write);
        if left_out > 0 {
            tracing::warn!(statements = left_out, "more statements of other shapes were slow");
        }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_perfmon::Dialect;

    use super::*;

    fn line(sql: &str, millis: u64) -> Line {
        let seen = Seen {
            sql,
            dialect: Dialect::Sqlite,
            elapsed: Duration::from_millis(millis),
            rows: 1,
            at_unix_ms: 0,
            within: None,
            trace: None,
        };
        Line::of(&seen, Database::App, None)
    }

    #[test]
    fn a_shape_is_kept_once_with_its_slowest_and_others_only_up_to_a_bound() {
        let log = SlowLog::default();
        for millis in [10, 30, 20] {
            log.push(line("SELECT 'secret' FROM a", millis));
        }
        for table in 0..10 {
            log.push(line(&format!("SELECT x FROM t{table}"), 10));
        }
        let pending = log.0.lock().unwrap();
        let first = &pending.lines[0];
        assert_eq!(
            (first.text.as_str(), first.elapsed, first.alike),
            ("select ? from a", Duration::from_millis(30), 2)
        );
        assert_eq!((pending.lines.len(), pending.left_out), (LINES, 3));
        drop(pending);
        log.push(line("SELECT x FROM slowest", 40));
        let pending = log.0.lock().unwrap();
        assert!(pending.lines.iter().any(|line| line.text == "select x from slowest"));
        assert_eq!((pending.lines.len(), pending.left_out), (LINES, 4));
        drop(pending);
        log.write();
        assert!(log.0.lock().unwrap().lines.is_empty());
    }
}
