//! Statements by shape: how often each runs, how long it takes, which are slow, and which a request runs again and again.

mod class;
mod dialect;
mod entry;
mod fingerprint;
mod keyword;
mod lexer;
mod lists;
mod recent;
mod repeated;
mod skeleton;
mod slow;
mod stats;
mod table;

use std::cmp::Reverse;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use self::dialect::Dialect;
use self::entry::Entry;
pub use self::fingerprint::{Fingerprint, fingerprint};
use self::recent::{BURST, Calls, MINUTES};
use self::repeated::Repeats;
pub(crate) use self::repeated::is_on_rows;
pub use self::repeated::{Repeated, RequestQueries};
use self::slow::SlowQueries;
pub use self::slow::SlowQuery;
pub use self::stats::{By, QueryStats};
use self::table::Table;
use crate::figure::latency::share;
use crate::health::reading::Reading;
use crate::histogram::bounds::EXPOSITION_BOUNDS;
use crate::histogram::layout::Layout;
use crate::request::trace_context::TraceContext;
use crate::time::clock::{Clock, SystemClock};

/// The limits of [`Queries`].
#[derive(Clone, Debug, PartialEq)]
pub struct QueryConfig {
    /// How many shapes are kept, at least one; 1,000. Each takes about 9 KiB.
    pub shapes: usize,
    /// A statement that took longer is slow; 1 s.
    pub slow: Duration,
    /// How many slow statements are listed; 100.
    pub slow_entries: usize,
    /// The share of slow calls of a shape that its reading should not exceed; 0.05: its 95th percentile is above [`slow`](Self::slow).
    pub slow_share: f64,
    /// More calls alike than this in one request are repeated ones; 5.
    pub alike: u32,
    /// From so many requests of a route on repeated calls are worth telling; 3. One alone is no issue.
    pub requests: u64,
}

impl Default for QueryConfig {
    fn default() -> Self {
        Self { shapes: 1_000, slow: Duration::from_secs(1), slow_entries: 100, slow_share: 0.05, alike: 5, requests: 3 }
    }
}

/// One statement that has run. It can't be printed: `sql` may hold secrets.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    /// As it was written, literals and all. Nothing of it is kept but its shape.
    pub sql: &'a str,
    /// Whose SQL it is.
    pub dialect: Dialect,
    /// How long it took.
    pub elapsed: Duration,
    /// How many rows it gave or changed.
    pub rows: u64,
    /// When it ended, in milliseconds since the Unix epoch.
    pub at_unix_ms: u64,
    /// The request it ran for.
    pub within: Option<&'a RequestQueries>,
    /// The trace it ran in.
    pub trace: Option<TraceContext>,
}

/// What is known of the statements that have run: no values, in bounded memory. Cheap to clone; clones are the same.
///
/// Memory: [`QueryConfig::shapes`] shapes of up to 13 KiB, usually 9. Whoever is new when all places are taken gets that of the shape which weighs
/// least (its time, and 100 µs a call), and its weight: a shape that has more than one in [`shapes`](QueryConfig::shapes) of all weight is always
/// there, whatever floods in. [`forgotten`](Self::forgotten) counts those that had to go.
///
/// Cost of [`record`](Self::record): a hash of the text, a reading of the clock and three uncontended locks; a text that is new also a [`fingerprint`].
///
/// Figures are those since a shape was first seen (or seen again after it was forgotten); those of [`readings`](Self::readings) are of
/// the last five minutes. Percentiles have the error of a [`Histogram`](crate::Histogram), counts of slow calls are exact.
#[derive(Clone)]
pub struct Queries(Arc<Inner>);

struct Inner {
    config: QueryConfig,
    clock: Box<dyn Clock>,
    layout: Arc<Layout>,
    table: Table,
    slow: Mutex<SlowQueries>,
    repeats: Mutex<Repeats>,
}

impl Queries {
    /// None seen yet.
    #[must_use]
    pub fn new(config: QueryConfig) -> Self {
        Self::with_clock(config, SystemClock::new())
    }

    /// The same, by whose minutes [`readings`](Self::readings) looks back; the machine's clock by default.
    #[must_use]
    pub fn with_clock(config: QueryConfig, clock: impl Clock) -> Self {
        let clock = Box::new(clock);
        let layout = Arc::new(Layout::new(EXPOSITION_BOUNDS));
        let table = Table::new(config.shapes);
        let slow = Mutex::new(SlowQueries::new(config.slow_entries));
        Self(Arc::new(Inner { config, clock, layout, table, slow, repeats: Mutex::default() }))
    }

    /// Counts one statement that has run. Returns the name of its shape.
    pub fn record(&self, seen: &Seen<'_>) -> Fingerprint {
        let inner = &*self.0;
        let entry = inner.table.entry(seen.sql, seen.dialect, &inner.layout);
        let (fingerprint, is_slow) = (entry.fingerprint(), seen.elapsed > inner.config.slow);
        entry.record(seen, is_slow, inner.clock.now(), &inner.layout);
        inner.table.add(seen.elapsed);
        if is_slow {
            lock(&inner.slow).push(SlowQuery::of(&entry, seen));
        }
        if let Some(request) = seen.within {
            request.add(entry, seen.elapsed);
        }
        fingerprint
    }

    /// At the end of a request of `route` (its template: as many are kept as there are names): which statements it ran more than
    /// [`QueryConfig::alike`] times. Returns how many calls of them it made, together.
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

    /// The shapes with the most of something, in falling order. Costs a look at every shape, by [`By::P99`] a pass over its buckets, and
    /// allocates for those that are returned.
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
        // By what is told: statements have run meanwhile.
        stats.sort_by_cached_key(|stats| Reverse((by.of(stats), stats.fingerprint)));
        stats
    }

    /// The slowest statements of an hour, at most five of one shape, the slowest first.
    #[must_use]
    pub fn slow(&self, limit: usize) -> Vec<SlowQuery> {
        lock(&self.0.slow).slowest(limit)
    }

    /// What requests run again and again, where at least [`QueryConfig::requests`] of a route did so; first what took longest in all.
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

    /// One reading, `slow_statements`: the share of slow calls of the shape with the highest one, over the last five to six minutes.
    /// Shapes with fewer than `min_samples` calls are passed over; without any other, the reading has the calls of the most called one,
    /// too few to judge. None where nothing has run in that time.
    ///
    /// A shape that seldom runs is judged too, once three of its calls within a minute were slow, and more than
    /// [`QueryConfig::slow_share`] of those about that time. It is until a minute has passed without another.
    #[must_use]
    pub fn readings(&self, min_samples: u64) -> Vec<Reading> {
        let config = &self.0.config;
        let now = self.0.clock.now();
        let mut worst: Option<(Recently, Arc<Entry>)> = None;
        for entry in self.0.table.entries() {
            let (calls, burst) = entry.recently(now);
            let burst = burst.filter(|burst| share(burst.slow, burst.calls) > config.slow_share);
            let lately = Recently { calls, is_known: calls.calls >= min_samples, is_burst: false };
            let burst = burst.map(|calls| Recently { calls, is_known: true, is_burst: true });
            // What both find is told with the figures of five minutes.
            for recently in [Some(lately), burst].into_iter().flatten() {
                if calls.calls > 0 && worst.as_ref().is_none_or(|(worst, _)| recently.is_worse_than(worst)) {
                    worst = Some((recently, Arc::clone(&entry)));
                }
            }
        }
        let Some((Recently { calls: Calls { calls, slow }, is_burst, .. }, entry)) = worst else { return Vec::new() };
        let reading = Reading::new("slow_statements", share(slow, calls), config.slow_share);
        let (text, limit) = (entry.text(), config.slow);
        vec![if is_burst {
            let detail =
                format!("{slow} of {calls} calls took over {limit:?}, {BURST} or more within a minute: {text}");
            reading.detail(detail)
        } else {
            let detail = format!("{slow} of {calls} calls in {MINUTES} min took over {limit:?}: {text}");
            reading.samples(calls).detail(detail)
        }]
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

struct Recently {
    calls: Calls,
    /// Whether they are enough to judge by.
    is_known: bool,
    is_burst: bool,
}

impl Recently {
    fn is_worse_than(&self, other: &Self) -> bool {
        match (self.is_known, other.is_known) {
            // slow / calls, compared without a division.
            (true, true) => {
                let [mine, theirs] = [self.calls, other.calls];
                u128::from(mine.slow) * u128::from(theirs.calls) > u128::from(theirs.slow) * u128::from(mine.calls)
            }
            (false, false) => self.calls.calls > other.calls.calls,
            (is_known, _) => is_known,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
