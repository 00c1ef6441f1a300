//! Statistics of statements from sqlx's events: which run, how long they take, and which one
//! request repeats.

mod database;
mod event;
mod figures;
mod layer;
mod request;
mod section;
mod slow_log;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tidegate_base::Times;
use tidegate_base::clock;
use tidegate_perfmon::{By, Fingerprint, OperationHandle, Queries, QueryConfig, QueryStats, Registry, Repeated, Seen};

use self::database::Database;
pub(super) use self::event::STATEMENT_TARGET;
pub(crate) use self::event::Statement;
use self::figures::Figures;
pub(super) use self::layer::layer;
use self::request::Request;
pub use self::request::set_request_trace;
use self::section::SlowQueriesSection;
use self::slow_log::{Line, SlowLog};
use super::{Named, Operations, Sources};

/// The statistics of this process: several nodes in it share a subscriber, and so these.
static OF_PROCESS: OnceLock<Arc<Statements>> = OnceLock::new();

/// Statistics of statements. Contains no values.
pub(super) struct Statements {
    queries: Queries,
    slow: std::time::Duration,
    slow_log: SlowLog,
    /// By [`Database`].
    times: [Times; Database::ALL.len()],
    /// By [`Database`], the operations of the first node.
    measured: OnceLock<[Option<Arc<OperationHandle>>; Database::ALL.len()]>,
    repeated: AtomicU64,
    /// Shapes of the job store. An operator can't change them, so there is no advice about them.
    of_job_store: Mutex<BTreeSet<Fingerprint>>,
}

impl Statements {
    fn new(config: &QueryConfig) -> Self {
        Self {
            queries: Queries::new(config.clone()),
            slow: config.slow,
            slow_log: SlowLog::default(),
            times: Database::ALL.map(|database| Times::new(format!("statements.{}", database.name()))),
            measured: OnceLock::new(),
            repeated: AtomicU64::new(0),
            of_job_store: Mutex::default(),
        }
    }

    /// Returns the statistics of this process, with the limits of the first caller.
    pub(super) fn of_process(config: &QueryConfig) -> Arc<Self> {
        Arc::clone(OF_PROCESS.get_or_init(|| Arc::new(Self::new(config))))
    }

    /// Records statements as operations from now on, and files their durations into the windows of
    /// that registry. Only the first call has an effect: nodes of one process share their
    /// statements, which count for the first node.
    pub(super) fn measure_as(&self, operations: &Operations, registry: &Registry) {
        self.times.iter().for_each(|times| times.file_by(registry));
        let handles = [Some(Arc::clone(&operations.app_statements)), operations.queue_statements.clone()];
        // `set` fails in a second call: the first handles stay.
        let _ = self.measured.set(handles);
    }

    /// Statistics by shape.
    pub(super) fn queries(&self) -> &Queries {
        &self.queries
    }

    /// Returns the shapes that advice may name, and those that requests repeat. Shapes of the job
    /// store are left out.
    pub(super) fn advisable(&self) -> (Vec<QueryStats>, Vec<Repeated>) {
        let (mut shapes, mut repeated) = (self.queries.top(By::Total, usize::MAX), self.queries.repeated(usize::MAX));
        let of_job_store = self.of_job_store.lock().unwrap_or_else(PoisonError::into_inner);
        shapes.retain(|shape| !of_job_store.contains(&shape.fingerprint));
        repeated.retain(|repeated| !of_job_store.contains(&repeated.fingerprint));
        (shapes, repeated)
    }

    fn record(&self, statement: &Statement, database: Database, request: Option<&Request>) {
        let seen = Seen {
            sql: statement.sql(),
            dialect: statement.dialect(),
            elapsed: statement.elapsed(),
            rows: statement.rows(),
            at_unix_ms: clock::unix_ms(),
            within: request.map(Request::queries),
            trace: request.and_then(Request::trace),
        };
        let fingerprint = self.queries.record(&seen);
        if database == Database::Queue {
            self.of_job_store.lock().unwrap_or_else(PoisonError::into_inner).insert(fingerprint);
        }
        self.times[database as usize].record(seen.elapsed);
        if let Some(operation) = self.measured.get().and_then(|measured| measured[database as usize].as_ref()) {
            operation.record(seen.elapsed);
        }
        if seen.elapsed > self.slow {
            self.slow_log.push(Line::of(&seen, database, request.and_then(Request::id)));
        }
    }

    /// Processes a request that has ended, together with everything spawned in its span.
    fn ended(&self, request: &Request) {
        let repeated = self.queries.finish(request.route(), request.queries(), clock::unix_ms(), request.trace());
        self.repeated.fetch_add(repeated, Ordering::Relaxed);
    }

    fn figures(&self) -> Figures {
        let times = Database::ALL.map(|database| (database.name(), self.times[database as usize].totals()));
        Figures { times, repeated: self.repeated.load(Ordering::Relaxed) }
    }

    /// Logs the slow statements that were not logged yet.
    pub(super) fn log_slow(&self) {
        self.slow_log.write();
    }
}

/// Registers section, readings and metrics, and logs the slow statements each second.
pub(super) fn register(statements: &Arc<Statements>, sources: &Sources, min_samples: u64) {
    sources.section(Arc::new(SlowQueriesSection(statements.queries.clone())));
    let (judged, counted, logged) = (statements.queries.clone(), Arc::clone(statements), Arc::clone(statements));
    sources.readings([Named::warning("slow_statements")], move || judged.readings(min_samples));
    sources.figures(move || Box::new(counted.figures()));
    sources.every_second(move |_| logged.log_slow());
}
