//! What sqlx tells of one statement, read from the fields of its event.

use std::cell::RefCell;
use std::fmt::Debug;
use std::time::Duration;

use tidegate_perfmon::Dialect;
use tokio::runtime::Handle;
use tracing::Event;
use tracing::field::{Field, Visit};

/// A longer text is let go of with its memory; a thread that has read one keeps no more than this.
const LONGEST_KEPT: usize = 64 << 10;

thread_local! {
    /// What the last statement of this thread has left, for the next one to be read into.
    static KEPT: RefCell<Statement> = const { RefCell::new(Statement::empty()) };
}

/// One statement that has run. It can't be printed: its text may hold secrets.
pub(crate) struct Statement {
    /// The first words; all of it where there are no more than four.
    summary: String,
    /// All of it; empty where the summary is.
    whole: String,
    elapsed: Duration,
    affected: u64,
    returned: u64,
}

impl Statement {
    const fn empty() -> Self {
        Self { summary: String::new(), whole: String::new(), elapsed: Duration::ZERO, affected: 0, returned: 0 }
    }

    /// Reads an event, and hands it to whoever wants it, all of them at once: its text is copied but once, since an event lends
    /// it for a moment only. Allocates for a text that is longer than any before on this thread.
    pub(super) fn read(event: &Event<'_>, then: impl FnOnce(&Self)) {
        // Taken out and put back, so that an event within an event finds none, and begins anew.
        let mut statement = KEPT.try_with(|kept| kept.replace(Self::empty())).unwrap_or(Self::empty());
        event.record(&mut statement);
        then(&statement);
        statement.summary.clear();
        statement.whole.clear();
        if statement.summary.capacity().max(statement.whole.capacity()) <= LONGEST_KEPT {
            // A thread that ends keeps nothing.
            let _ = KEPT
                .try_with(|kept| kept.replace(Self { elapsed: Duration::ZERO, affected: 0, returned: 0, ..statement }));
        }
    }

    /// As it was written.
    pub(crate) fn sql(&self) -> &str {
        let whole = self.whole.trim();
        if whole.is_empty() { &self.summary } else { whole }
    }

    /// In which language. sqlx doesn't tell, but SQLite's connections have threads of their own, without a runtime, and
    /// PostgreSQL's are spoken to by the task that asks.
    pub(crate) fn dialect(&self) -> Dialect {
        if Handle::try_current().is_ok() { Dialect::Postgres } else { Dialect::Sqlite }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// How many rows it gave.
    #[cfg(feature = "otlp")]
    pub(crate) fn returned(&self) -> u64 {
        self.returned
    }

    /// How many rows it gave or changed. SQLite counts those of the last change also where a statement changes none, so
    /// only changes are asked for that.
    pub(crate) fn rows(&self) -> u64 {
        const CHANGES: [&str; 4] = ["insert", "update", "delete", "replace"];
        let verb = self.sql().split_whitespace().next().unwrap_or_default();
        let is_change = CHANGES.iter().any(|change| verb.eq_ignore_ascii_case(change));
        if is_change { self.affected.max(self.returned) } else { self.returned }
    }
}

impl Visit for Statement {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => value.clone_into(&mut self.summary),
            "db.statement" => value.clone_into(&mut self.whole),
            _ => {}
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "elapsed_secs" {
            self.elapsed = Duration::try_from_secs_f64(value).unwrap_or_default();
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "rows_affected" => self.affected = value,
            "rows_returned" => self.returned = value,
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}
