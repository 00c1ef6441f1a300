//! Statements by shape: how often each runs, how long it takes, which are slow, and which one
//! request repeats.

mod class;
mod config;
mod dialect;
mod entry;
mod fingerprint;
mod keyword;
mod lexer;
mod lists;
mod lock;
mod readings;
mod recent;
mod repeated;
mod seen;
mod shape;
mod skeleton;
mod slow;
mod stats;
mod table;

use std::cmp::Reverse;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_clock::Clock;

pub use self::config::QueryConfig;
pub use self::dialect::Dialect;
use self::entry::{Call, Entry};
pub use self::fingerprint::{Fingerprint, fingerprint};
use self::lock::lock;
use self::repeated::Repeats;
pub(crate) use self::repeated::is_on_rows;
pub use self::repeated::{Repeated, RequestQueries};
pub use self::seen::Seen;
use self::slow::SlowQueries;
pub use self::slow::SlowQuery;
pub use self::stats::{By, QueryStats};
use self::table::Table;
use crate::histogram::bounds::EXPOSITION_BOUNDS;
use crate::histogram::layout::Layout;
use crate::request::trace_context::TraceContext;

/// Figures of the statements that have run: no values, in bounded memory. Clones are cheap and
/// share the figures.
///
/// Memory: [`QueryConfig::shapes`] shapes of up to 13 KiB, usually 9. When all places are taken, a
/// new shape replaces the shape with the lowest weight (its time, and 100 µs a call), and inherits
/// that weight. So a shape with more than one part in [`shapes`](QueryConfig::shapes) of the total
/// weight is always kept, whatever else arrives. [`forgotten`](Self::forgotten) counts the replaced
/// shapes.
///
/// Cost of [`record`](Self::record): a hash of the text, a clock read and three uncontended locks.
/// A new text also costs a [`fingerprint`].
///
/// Figures start when a shape is first seen, or seen again after it was forgotten. Those of
/// [`readings`](Self::readings) cover the last five minutes. Percentiles have the error of a
/// [`Histogram`](crate::Histogram); counts of slow calls are exact.
#[derive(Clone)]
pub struct Queries(Arc<Inner>);

struct Inner {
    config: QueryConfig,
    clock: Clock,
    layout: Arc<Layout>,
    table: Table,
    slow: Mutex<SlowQueries>,
    repeats: Mutex<Repeats>,
}

impl Queries {
    /// None seen yet.
    #[must_use]
    pub fn new(config: QueryConfig) -> Self {
        Self::with_clock(config, Clock::system())
    }

    /// Does the same as [`new`](Self::new), with a clock for the minutes of
    /// [`readings`](Self::readings). The default is the machine's clock.
    #[must_use]
    pub fn with_clock(config: QueryConfig, clock: impl Into<Clock>) -> Self {
        let clock = clock.into();
        let layout = Arc::new(Layout::new(EXPOSITION_BOUNDS));
        let table = Table::new(config.shapes);
        let slow = Mutex::new(SlowQueries::new(config.slow_entries));
        Self(Arc::new(Inner { config, clock, layout, table, slow, repeats: Mutex::default() }))
    }

    /// Counts one statement that has run. Returns the name of its shape.
    pub fn record(&self, seen: &Seen<'_>) -> Fingerprint {
        let inner = &*self.0;
        let entry = inner.table.entry(seen.sql, seen.dialect, &inner.layout);
        let Seen { elapsed, rows, at_unix_ms, .. } = *seen;
        let fingerprint = entry.fingerprint();
        let call = Call { elapsed, rows, at_unix_ms, is_slow: elapsed > inner.config.slow };
        entry.record(call, inner.clock.now(), &inner.layout);
        inner.table.add(elapsed);
        if call.is_slow {
            lock(&inner.slow).push(SlowQuery::of(&entry, seen));
        }
        if let Some(request) = seen.within {
            request.add(entry, elapsed);
        }
        fingerprint
    }

    /// Ends a request of `route`, and notes which statements it ran more than
    /// [`QueryConfig::alike`] times. Returns the total number of their calls. Pass the route's
    /// template: one entry is kept for each distinct name.
    pub fn finish(&self, route: &str, request: &RequestQueries, at_unix_ms: u64, trace: Option<TraceContext>) -> u64 {
        let repeated = request.more_than(self.0.config.alike);
        if repeated.is_empty() {
            return 0;
        }
        let mut repeats = lock(&self.0.repeats);
        for (entry, calls, elapsed) in &repeated {
            repeats.add(route, entry, *calls, *elapsed, at_unix_ms, trace);
        }
        repeated.iter().map(|(_, calls, _)| u64::from(*calls)).sum()
    }

    /// Returns the shapes with the highest values, in descending order. Costs a look at every
    /// shape; [`By::P99`] also costs a pass over its buckets. Allocates only for the returned
    /// shapes.
    #[must_use]
    pub fn top(&self, by: By, limit: usize) -> Vec<QueryStats> {
        let Inner { table, layout, .. } = &*self.0;
        let all = table.total();
        let rank = |entry: Arc<Entry>| (Reverse((entry.rank(by, layout), entry.fingerprint())), entry);
        let mut ranked: Vec<_> = table.entries().into_iter().map(rank).collect();
        if limit < ranked.len() {
            ranked.select_nth_unstable_by_key(limit, |(rank, _)| *rank);
            ranked.truncate(limit);
        }
        let mut stats: Vec<QueryStats> = ranked.iter().map(|(_, entry)| entry.stats(layout, all)).collect();
        // By the figures that are returned: statements have run meanwhile.
        stats.sort_by_cached_key(|stats| Reverse((by.of(stats), stats.fingerprint)));
        stats
    }

    /// The slowest statements of an hour, at most five of one shape, the slowest first.
    #[must_use]
    pub fn slow(&self, limit: usize) -> Vec<SlowQuery> {
        lock(&self.0.slow).slowest(limit)
    }

    /// Returns the statements that requests repeat, if at least [`QueryConfig::requests`] requests
    /// of a route did so. The longest total time comes first.
    #[must_use]
    pub fn repeated(&self, limit: usize) -> Vec<Repeated> {
        lock(&self.0.repeats).list(self.0.config.requests, limit)
    }

    /// How many shapes had to make room for others.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.0.table.forgotten()
    }

    /// How many statements have run, and how long they took together, forgotten ones included.
    #[must_use]
    pub fn totals(&self) -> (u64, Duration) {
        (self.0.table.calls(), self.0.table.total())
    }
}

impl Default for Queries {
    fn default() -> Self {
        Self::new(QueryConfig::default())
    }
}

impl fmt::Debug for Queries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queries").field("config", &self.0.config).finish_non_exhaustive()
    }
}
