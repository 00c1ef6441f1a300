//! One statement, read from the fields of sqlx's event.

use std::cell::RefCell;
use std::fmt::Debug;
use std::time::Duration;

use tidegate_perfmon::Dialect;
use tokio::runtime::Handle;
use tracing::Event;
use tracing::field::{Field, Visit};

/// Target of sqlx's events about statements.
pub(crate) const STATEMENT_TARGET: &str = "sqlx::query";
/// Maximum capacity that a thread keeps for the next statement. A longer text is freed.
const LONGEST_KEPT: usize = 64 << 10;

thread_local! {
    /// The buffers of the last statement of this thread, which the next one reuses.
    static KEPT: RefCell<Statement> = const { RefCell::new(Statement::empty()) };
}

/// One statement that has run. It has no `Debug` output, since its text may contain secrets.
pub(crate) struct Statement {
    /// The first words. The whole text if it has at most four words.
    summary: String,
    /// The whole text. Empty if the summary is the whole text.
    whole: String,
    elapsed: Duration,
    affected: u64,
    returned: u64,
}

impl Statement {
    const fn empty() -> Self {
        Self { summary: String::new(), whole: String::new(), elapsed: Duration::ZERO, affected: 0, returned: 0 }
    }

    /// Reads an event and passes the statement to `then`, once for all consumers: the event lends
    /// the text only for a moment, so it is copied once. Allocates only if the text is longer than
    /// all earlier ones of this thread.
    pub(super) fn read(event: &Event<'_>, then: impl FnOnce(&Self)) {
        // Taken out and put back, so that an event inside an event finds none and starts with empty
        // buffers.
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

    /// The text as it was written.
    pub(crate) fn sql(&self) -> &str {
        let whole = self.whole.trim();
        if whole.is_empty() { &self.summary } else { whole }
    }

    /// The dialect. sqlx does not report it, but SQLite's connections have their own threads
    /// without a runtime, and PostgreSQL's run in the task of the caller.
    pub(crate) fn dialect(&self) -> Dialect {
        if Handle::try_current().is_ok() { Dialect::Postgres } else { Dialect::Sqlite }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Number of rows that were returned.
    #[cfg(feature = "otlp")]
    pub(crate) fn returned(&self) -> u64 {
        self.returned
    }

    /// Number of rows that were returned or changed. SQLite reports the rows of the last change
    /// even for a statement that changes none, so that number is only used for changes.
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
