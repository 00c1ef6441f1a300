//! What other libraries count through the facade of the crate `metrics`.

pub(crate) mod figure;
mod name;
mod scale;
mod series;
mod shelves;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use ::metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

use self::figure::BridgedSeries;
use self::name::{cut, family_name, labels_of};
use self::series::{Level, Samples};
use self::shelves::{Described, Handle, Kind, Shelves, Shown};
use crate::mask::mask;

const DEFAULT_CAP: usize = 512;

/// Collects what libraries count through `metrics`, so that exporters can show it beside our own
/// figures. Clones share it.
///
/// Libraries choose names and labels, sometimes from client input. So the bridge trusts none of it:
///
/// - the number of series is capped, 512 by default; a later series gets a handle that does
///   nothing, and is counted in [`dropped`](Self::dropped);
/// - names are changed to valid Prometheus names and cut after 256 bytes; label values go through
///   [`mask`] and are cut after 256 bytes;
/// - 16 labels a series at most; of two labels with one name the first stays;
/// - names that begin with `tidegate_`, `cache_` or `process_` are reserved, and a name keeps the
///   kind of its first use; others are counted in [`refused`](Self::refused);
/// - histograms reject NaN, negative and infinite values, and gauges reject values that are not
///   finite: these are counted in [`rejected`](Self::rejected).
///
/// A histogram's unit is the one that was described before its first use, or else the one that its
/// name ends with (`_seconds`, `_ms`, `_bytes`, …). It never changes. Times are shown in seconds,
/// data sizes in bytes, and the name says so; everything else is a plain number. Values are exact
/// to 1.6 % within these ranges, and values outside count as the end of the range: times to 137.4
/// s, data to 137 GB, numbers from a thousandth to 137 million. All buckets are exact. Times have
/// those of [`EXPOSITION_BOUNDS`](crate::EXPOSITION_BOUNDS), data those from 64 B to 1 GiB in steps
/// of four, numbers 1, 2, 5, 10 … 1,000, then in steps of ten to a million.
///
/// A macro of `metrics` cleans and looks up its name at each call, which takes a microsecond or
/// more. A handle that is kept costs one addition. A histogram takes 8 KiB for each thread that
/// records, nine times that at most.
///
/// ```
/// use metrics::{counter, histogram, with_local_recorder};
/// use tidegate_perfmon::{Bridge, BridgedFigure};
///
/// let bridge = Bridge::new();
/// with_local_recorder(&bridge, || {
///     counter!("mailer.sent", "host" => "mx1").increment(2);
///     histogram!("mailer_seconds").record(0.25);
///     histogram!("mailer_seconds").record(f64::NAN);
/// });
/// let [seconds, sent] = &bridge.series()[..] else { panic!("two series") };
/// assert_eq!((sent.name.as_str(), &sent.labels[0].1[..]), ("mailer_sent", "mx1"));
/// assert_eq!(sent.figure, BridgedFigure::Counter(2));
/// let BridgedFigure::Histogram { count, sum, .. } = seconds.figure else { panic!("a histogram") };
/// assert_eq!((count, sum, bridge.rejected()), (1, 0.25, 1));
/// ```
///
/// `metrics::set_global_recorder(bridge.clone())` installs it for the process.
#[derive(Clone)]
pub struct Bridge {
    inner: Arc<Inner>,
}

struct Inner {
    cap: usize,
    shelves: RwLock<Shelves>,
    dropped: AtomicU64,
    refused: AtomicU64,
    rejected: Arc<AtomicU64>,
}

impl Bridge {
    /// With room for 512 series.
    pub fn new() -> Self {
        Self::with_cap(DEFAULT_CAP)
    }

    /// With room for `cap` series.
    pub fn with_cap(cap: usize) -> Self {
        let inner = Inner {
            cap,
            shelves: RwLock::default(),
            dropped: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            rejected: Arc::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Every series, in the order of names and labels.
    pub fn series(&self) -> Vec<BridgedSeries> {
        let shelves = self.shelves();
        let mut all: Vec<_> = shelves
            .series
            .iter()
            .map(|((name, labels), handle)| BridgedSeries {
                name: name.clone(),
                help: shelves.help(name).to_owned(),
                labels: labels.clone(),
                figure: handle.figure(),
            })
            .collect();
        drop(shelves);
        all.sort_by(|one, other| (&one.name, &one.labels).cmp(&(&other.name, &other.labels)));
        all
    }

    /// How often a handle was asked for that there was no room for.
    pub fn dropped(&self) -> u64 {
        self.inner.dropped.load(Ordering::Relaxed)
    }

    /// How often a handle was asked for by a name that is ours, or is one of another kind.
    pub fn refused(&self) -> u64 {
        self.inner.refused.load(Ordering::Relaxed)
    }

    /// Values that were no samples.
    pub fn rejected(&self) -> u64 {
        self.inner.rejected.load(Ordering::Relaxed)
    }

    /// The series of a key; `None` where it gets none.
    fn resolve(&self, kind: Kind, key: &Key) -> Option<Handle> {
        let Some(given) = family_name(key.name()) else { return refuse(&self.inner.refused) };
        let labels = labels_of(key);
        let shelves = self.shelves();
        let Some(family) = shelves.family(kind, &given) else { return refuse(&self.inner.refused) };
        let place = (family.name.clone(), labels);
        if let Some(present) = shelves.series.get(&place) {
            return Some(present.clone());
        }
        drop(shelves);

        let mut shelves = self.shelves_mut();
        // Another thread may have been here in between.
        let Some(family) = shelves.family(kind, &given) else { return refuse(&self.inner.refused) };
        if let Some(present) = shelves.series.get(&place) {
            return Some(present.clone());
        }
        if shelves.series.len() >= self.inner.cap {
            return refuse(&self.inner.dropped);
        }
        let rejected = || Arc::clone(&self.inner.rejected);
        let handle = match kind {
            Kind::Counter => Handle::Counter(Arc::default()),
            Kind::Gauge => Handle::Gauge(Arc::new(Level::new(rejected()))),
            Kind::Histogram => Handle::Histogram(Arc::new(Samples::new(family.scale, rejected()))),
        };
        shelves.shown.entry(family.name.clone()).or_insert_with(|| Shown { kind, given: given.clone() });
        shelves.families.entry(given).or_insert(family);
        shelves.series.insert(place, handle.clone());
        Some(handle)
    }

    fn describe(&self, name: &KeyName, unit: Option<Unit>, help: &str) {
        let Some(name) = family_name(name.as_str()) else { return };
        let help = cut(&mask(help)).to_owned();
        let mut shelves = self.shelves_mut();
        // It holds at most twice as many descriptions as there may be series.
        if shelves.described.len() < self.inner.cap.saturating_mul(2) || shelves.described.contains_key(&name) {
            shelves.described.insert(name, Described { unit, help });
        }
    }

    fn shelves(&self) -> RwLockReadGuard<'_, Shelves> {
        self.inner.shelves.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn shelves_mut(&self) -> RwLockWriteGuard<'_, Shelves> {
        self.inner.shelves.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts what gets no series.
fn refuse(counter: &AtomicU64) -> Option<Handle> {
    counter.fetch_add(1, Ordering::Relaxed);
    None
}

impl Default for Bridge {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge").field("cap", &self.inner.cap).field("dropped", &self.dropped()).finish_non_exhaustive()
    }
}

impl Recorder for Bridge {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        self.describe(&name, unit, description.as_ref());
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        self.describe(&name, unit, description.as_ref());
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        self.describe(&name, unit, description.as_ref());
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match self.resolve(Kind::Counter, key) {
            Some(Handle::Counter(count)) => Counter::from_arc(count),
            _ => Counter::noop(),
        }
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        match self.resolve(Kind::Gauge, key) {
            Some(Handle::Gauge(level)) => Gauge::from_arc(level),
            _ => Gauge::noop(),
        }
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        match self.resolve(Kind::Histogram, key) {
            Some(Handle::Histogram(samples)) => Histogram::from_arc(samples),
            _ => Histogram::noop(),
        }
    }
}
