//! The registry where the parts of a node add sections, metrics, readings and listeners. Code that
//! shows, exports or judges them does not depend on the parts.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use prometheus_client::collector::Collector;
use serde_json::Value;
use tidegate_base::LogThrottle;
use tidegate_perfmon::{HealthReport, Reading, Registry};

/// One section of `/api/performance`.
pub trait Section: Send + Sync {
    /// Name in requests, such as `slow-queries`.
    fn name(&self) -> &'static str;

    /// Returns the content, at most `limit` entries of each list. Secrets are already masked.
    fn json(&self, limit: usize) -> Value;

    /// Returns the same content as rows. `None` if it has no rows.
    fn table(&self, limit: usize) -> Option<Table> {
        let _ = limit;
        None
    }
}

/// Rows with named columns. Each row has one cell for each column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Names of the columns.
    pub columns: &'static [&'static str],
    /// Cells of the rows.
    pub rows: Vec<Vec<String>>,
}

/// One second of the ticker, after its metrics were filed and judged.
pub struct Tick<'a> {
    /// Time on the registry's clock.
    pub now: Duration,
    /// Time in milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// The metrics.
    pub registry: &'a Registry,
    /// The health report on them.
    pub health: &'a HealthReport,
}

impl Table {
    /// Makes a row of each item. The cells are the members with the names of the columns. A name
    /// with dots addresses a nested member. The rows are taken from the JSON, so that both have the
    /// same content.
    pub fn of(columns: &'static [&'static str], items: &Value) -> Self {
        let items = items.as_array().map_or(&[][..], Vec::as_slice);
        let row = |item: &Value| columns.iter().map(|column| cell(member(item, column))).collect();
        Self { columns, rows: items.iter().map(row).collect() }
    }

    /// Makes a table of several lists of one object. The first column of each row is the name of
    /// its list.
    pub fn of_lists(columns: &'static [&'static str], lists: &[&'static str], told: &Value) -> Self {
        let named = |list: &&'static str| {
            let mut rows = Self::of(columns, &told[*list]).rows;
            rows.iter_mut().filter_map(|row| row.first_mut()).for_each(|first| (*list).clone_into(first));
            rows
        };
        Self { columns, rows: lists.iter().flat_map(named).collect() }
    }
}

impl Named {
    /// Name of a reading that is not critical.
    pub const fn warning(name: &'static str) -> Self {
        Self { name, is_critical: false }
    }

    /// Name of a critical reading: while it is unknown, the node is not healthy.
    pub const fn critical(name: &'static str) -> Self {
        Self { name, is_critical: true }
    }

    fn unknown(self) -> Reading {
        let reading = Reading::unknown(self.name, "reading it panicked");
        if self.is_critical { reading.critical() } else { reading }
    }
}

/// Takes readings. If that panics, returns unknown readings with the given names.
pub(super) fn taken(names: &[Named], read: impl FnOnce() -> Vec<Reading>) -> Vec<Reading> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        log_panic(names.first().map_or("", |named| named.name));
        names.iter().map(|named| named.unknown()).collect()
    })
}

/// Logs a panic, at most once a minute: the same panic comes each second. The panic hook reports
/// each one.
fn log_panic(what: &str) {
    static PANICS: LogThrottle = LogThrottle::new(Duration::from_secs(60));
    if let Some(unlogged) = PANICS.count() {
        tracing::error!(what, unlogged, "a part of the health evaluation panicked");
    }
}

fn member<'a>(item: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(item, |item, name| &item[name])
}

/// Formats a value as one cell: text without quotes, null as an empty cell, arrays and objects as
/// JSON.
pub fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Returns the names of the scalar members of an item, as a table names them. Arrays are left out.
#[cfg(test)]
pub(super) fn members(item: &Value) -> Vec<String> {
    fn walk(value: &Value, path: &str, into: &mut Vec<String>) {
        match value {
            Value::Object(members) => members.iter().for_each(|(name, value)| {
                walk(value, &if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, into);
            }),
            Value::Array(_) => {}
            _ => into.push(path.to_owned()),
        }
    }
    let mut all = Vec::new();
    walk(item, "", &mut all);
    all
}

type Answer = BoxFuture<'static, Option<Box<dyn Collector>>>;

/// Metrics that require a query.
struct Question {
    part: &'static str,
    ask: Box<dyn Fn() -> Answer + Send + Sync>,
    unanswered: AtomicU64,
}

type Figures = Box<dyn Fn() -> Box<dyn Collector> + Send + Sync>;

/// Readings that are taken together, and their names in case they can't be taken.
struct Readings {
    names: Box<[Named]>,
    read: Box<dyn Fn() -> Vec<Reading> + Send + Sync>,
}

/// Name of a reading, which is reported if it can't be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named {
    name: &'static str,
    is_critical: bool,
}

type Listener = Arc<dyn Fn(&Tick<'_>) + Send + Sync>;

/// The registry of sections, metrics, readings and listeners. Nothing is ever removed.
#[derive(Default)]
pub struct Sources {
    sections: RwLock<Vec<Arc<dyn Section>>>,
    figures: RwLock<Vec<Figures>>,
    questions: RwLock<Vec<Arc<Question>>>,
    readings: RwLock<Vec<Readings>>,
    listeners: RwLock<Vec<Listener>>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}

impl Sources {
    /// Adds a section. Replaces a section with the same name.
    pub fn section(&self, section: Arc<dyn Section>) {
        let mut sections = self.sections.write().unwrap_or_else(PoisonError::into_inner);
        sections.retain(|present| present.name() != section.name());
        sections.push(section);
    }

    /// Returns all sections in the order in which they were added.
    pub fn sections(&self) -> Vec<Arc<dyn Section>> {
        self.sections.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds metrics to `/metrics`. They are collected at each scrape.
    pub fn figures(&self, collect: impl Fn() -> Box<dyn Collector> + Send + Sync + 'static) {
        self.figures.write().unwrap_or_else(PoisonError::into_inner).push(Box::new(collect));
    }

    /// Collects the metrics of [`figures`](Self::figures).
    pub fn collect_figures(&self) -> Vec<Box<dyn Collector>> {
        self.figures.read().unwrap_or_else(PoisonError::into_inner).iter().map(|collect| collect()).collect()
    }

    /// Adds metrics to `/metrics` that require a query at each scrape. The query may be slow or
    /// fail.
    pub(super) fn asked(&self, part: &'static str, ask: impl Fn() -> Answer + Send + Sync + 'static) {
        let question = Question { part, ask: Box::new(ask), unanswered: AtomicU64::new(0) };
        self.questions.write().unwrap_or_else(PoisonError::into_inner).push(Arc::new(question));
    }

    /// Runs the queries of [`asked`](Self::asked) concurrently, and counts those without an answer
    /// within `patience`.
    pub(super) async fn ask(&self, patience: Duration) -> Vec<Box<dyn Collector>> {
        let answers = self.questions().into_iter().map(|question| async move {
            let answer = tokio::time::timeout(patience, (question.ask)()).await.ok().flatten();
            if answer.is_none() {
                question.unanswered.fetch_add(1, Ordering::Relaxed);
            }
            answer
        });
        join_all(answers).await.into_iter().flatten().collect()
    }

    /// Returns how many queries of each part had no answer.
    pub(super) fn unanswered(&self) -> Vec<(&'static str, u64)> {
        let questions = self.questions();
        questions.iter().map(|question| (question.part, question.unanswered.load(Ordering::Relaxed))).collect()
    }

    fn questions(&self) -> Vec<Arc<Question>> {
        self.questions.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds readings for the health report. They are taken every second and must not block. If
    /// `read` panics, the readings with these names are unknown, and no others.
    pub fn readings<N: Into<Box<[Named]>>>(&self, names: N, read: impl Fn() -> Vec<Reading> + Send + Sync + 'static) {
        let readings = Readings { names: names.into(), read: Box::new(read) };
        self.readings.write().unwrap_or_else(PoisonError::into_inner).push(readings);
    }

    /// Takes the readings of [`readings`](Self::readings).
    pub fn take_readings(&self) -> Vec<Reading> {
        let readings = self.readings.read().unwrap_or_else(PoisonError::into_inner);
        readings.iter().flat_map(|Readings { names, read }| taken(names, read)).collect()
    }

    /// Calls `listener` every second, after the second was judged. It must not block.
    pub fn every_second(&self, listener: impl Fn(&Tick<'_>) + Send + Sync + 'static) {
        self.listeners.write().unwrap_or_else(PoisonError::into_inner).push(Arc::new(listener));
    }

    /// Calls all listeners.
    pub(super) fn notify(&self, tick: &Tick<'_>) {
        let listeners = self.listeners.read().unwrap_or_else(PoisonError::into_inner).clone();
        for listener in &*listeners {
            // The other listeners are still called. The panic hook has reported the location.
            if catch_unwind(AssertUnwindSafe(|| listener(tick))).is_err() {
                log_panic("a listener of the tick");
            }
        }
    }
}
