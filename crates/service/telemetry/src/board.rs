//! What the parts of a node hang up for whoever shows, exports or judges: nobody who shows has to know who measures.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use prometheus_client::collector::Collector;
use serde_json::Value;
use tidegate_base::Seldom;
use tidegate_perfmon::{HealthReport, Reading, Registry};

/// One part of what is shown, found by its name.
pub trait Section: Send + Sync {
    /// As it is asked for, such as `slow-queries`.
    fn name(&self) -> &'static str;

    /// What there is to tell, at most `limit` entries of each list. Secrets are masked already.
    fn json(&self, limit: usize) -> Value;

    /// The same as rows, where it has any.
    fn table(&self, limit: usize) -> Option<Table> {
        let _ = limit;
        None
    }
}

/// Rows under named columns. Each row has as many cells as there are columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The names.
    pub columns: &'static [&'static str],
    /// The cells.
    pub rows: Vec<Vec<String>>,
}

/// One second of the pulse, after its figures were filed and judged.
pub struct Beat<'a> {
    /// On the registry's clock.
    pub now: Duration,
    /// Milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// The figures.
    pub registry: &'a Registry,
    /// The verdict on them.
    pub health: &'a HealthReport,
}

impl Table {
    /// A row for each item, whose cells are its members of those names; a name with dots leads to a member of a member.
    /// Taken from the JSON, so that both tell the same.
    pub fn of(columns: &'static [&'static str], items: &Value) -> Self {
        let items = items.as_array().map_or(&[][..], Vec::as_slice);
        let row = |item: &Value| columns.iter().map(|column| cell(member(item, column))).collect();
        Self { columns, rows: items.iter().map(row).collect() }
    }

    /// The items of several lists of one object, each row with the list's name in the first column.
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
    /// Of a reading that is not critical.
    pub const fn warning(name: &'static str) -> Self {
        Self { name, is_critical: false }
    }

    /// Of a critical one: while it is unknown, nothing is healthy.
    pub const fn critical(name: &'static str) -> Self {
        Self { name, is_critical: true }
    }

    fn unknown(self) -> Reading {
        let reading = Reading::unknown(self.name, "reading it panicked");
        if self.is_critical { reading.critical() } else { reading }
    }
}

/// Readings, or those of these names as unknown ones where taking them panics.
pub(super) fn taken(names: &[Named], read: impl FnOnce() -> Vec<Reading>) -> Vec<Reading> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        log_panic(names.first().map_or("", |named| named.name));
        names.iter().map(|named| named.unknown()).collect()
    })
}

/// What panics does so each second; the panic hook tells of each.
fn log_panic(what: &str) {
    static PANICS: Seldom = Seldom::new(Duration::from_secs(60));
    if let Some(unlogged) = PANICS.count() {
        tracing::error!(what, unlogged, "a part of the verdict panicked");
    }
}

fn member<'a>(item: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(item, |item, name| &item[name])
}

/// A value as one cell: text without its quotes, nothing for null, and what has parts as JSON.
pub fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The members of an item that hold one value, as a table names them; of a list within it there is the list.
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

/// Figures that somebody has to be asked for.
struct Question {
    part: &'static str,
    ask: Box<dyn Fn() -> Answer + Send + Sync>,
    unanswered: AtomicU64,
}

type Figures = Box<dyn Fn() -> Box<dyn Collector> + Send + Sync>;

/// Readings that are taken together, and what they are called where they can't be.
struct Readings {
    names: Box<[Named]>,
    read: Box<dyn Fn() -> Vec<Reading> + Send + Sync>,
}

/// A reading's name, by which it is told where it can't be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named {
    name: &'static str,
    is_critical: bool,
}

type Listener = Arc<dyn Fn(&Beat<'_>) + Send + Sync>;

/// Where parts hang up what they have. Nothing is ever taken down.
#[derive(Default)]
pub struct Board {
    sections: RwLock<Vec<Arc<dyn Section>>>,
    figures: RwLock<Vec<Figures>>,
    questions: RwLock<Vec<Arc<Question>>>,
    readings: RwLock<Vec<Readings>>,
    listeners: RwLock<Vec<Listener>>,
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board").finish_non_exhaustive()
    }
}

impl Board {
    /// Hangs up a section. One that is shown by the same name is replaced.
    pub fn section(&self, section: Arc<dyn Section>) {
        let mut sections = self.sections.write().unwrap_or_else(PoisonError::into_inner);
        sections.retain(|present| present.name() != section.name());
        sections.push(section);
    }

    /// All sections, in the order in which they came.
    pub fn sections(&self) -> Vec<Arc<dyn Section>> {
        self.sections.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds figures to `/metrics`, collected at each scrape.
    pub fn figures(&self, collect: impl Fn() -> Box<dyn Collector> + Send + Sync + 'static) {
        self.figures.write().unwrap_or_else(PoisonError::into_inner).push(Box::new(collect));
    }

    /// Collects what [`figures`](Self::figures) added.
    pub fn collect_figures(&self) -> Vec<Box<dyn Collector>> {
        self.figures.read().unwrap_or_else(PoisonError::into_inner).iter().map(|collect| collect()).collect()
    }

    /// Adds figures to `/metrics` that somebody has to be asked for at each scrape, who may take his time, or not answer.
    pub(super) fn asked(&self, part: &'static str, ask: impl Fn() -> Answer + Send + Sync + 'static) {
        let question = Question { part, ask: Box::new(ask), unanswered: AtomicU64::new(0) };
        self.questions.write().unwrap_or_else(PoisonError::into_inner).push(Arc::new(question));
    }

    /// Asks for what [`asked`](Self::asked) added, all at the same time, and counts who has not answered.
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

    /// How often each part has not answered.
    pub(super) fn unanswered(&self) -> Vec<(&'static str, u64)> {
        let questions = self.questions();
        questions.iter().map(|question| (question.part, question.unanswered.load(Ordering::Relaxed))).collect()
    }

    fn questions(&self) -> Vec<Arc<Question>> {
        self.questions.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds readings to those that health is judged by. They are asked every second and must not wait. Where that panics, those of these
    /// names are unknown, and no others.
    pub fn readings<N: Into<Box<[Named]>>>(&self, names: N, read: impl Fn() -> Vec<Reading> + Send + Sync + 'static) {
        let readings = Readings { names: names.into(), read: Box::new(read) };
        self.readings.write().unwrap_or_else(PoisonError::into_inner).push(readings);
    }

    /// Takes what [`readings`](Self::readings) added.
    pub fn take_readings(&self) -> Vec<Reading> {
        let readings = self.readings.read().unwrap_or_else(PoisonError::into_inner);
        readings.iter().flat_map(|Readings { names, read }| taken(names, read)).collect()
    }

    /// Calls `listener` every second, after the second was judged. It must not wait.
    pub fn every_second(&self, listener: impl Fn(&Beat<'_>) + Send + Sync + 'static) {
        self.listeners.write().unwrap_or_else(PoisonError::into_inner).push(Arc::new(listener));
    }

    /// Tells all listeners of a beat.
    pub(super) fn tell(&self, beat: &Beat<'_>) {
        let listeners = self.listeners.read().unwrap_or_else(PoisonError::into_inner).clone();
        for listener in &*listeners {
            // The others are told all the same, and the panic hook has said where it was.
            if catch_unwind(AssertUnwindSafe(|| listener(beat))).is_err() {
                log_panic("who listens to the pulse");
            }
        }
    }
}
