//! Times of one thing, with the windows of the registry.

pub(crate) mod grain;
pub(crate) mod window;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::figure::totals::Totals;
use crate::histogram::layout::Layout;
use crate::histogram::snapshot::duration;
use crate::outcome::status::StatusClass;
use crate::record::meter::grain::Grain;
use crate::record::meter::window::MeterWindow;
use crate::series::Series;
use crate::series::delta::Scratch;
use crate::time::window::Window;

/// Times of events that are neither requests nor runs of a [`Kind`](crate::Kind): waits for a
/// connection, runs of jobs. Clones share one meter.
///
/// A registry ticks it ([`Registry::meter`](crate::Registry::meter),
/// [`Registry::adopt`](crate::Registry::adopt)). Without one its windows do not advance, while its
/// [`totals`](Self::totals) do. Record, windows and guarantees are those of an endpoint. So is the
/// memory: 8 KiB for each thread that records, 8 KiB for the last reading, and the rings.
#[derive(Clone)]
pub struct Meter(Arc<Inner>);

struct Inner {
    name: String,
    grain: Grain,
    series: Series,
    bounds: Box<[Bound]>,
    /// Samples that ticks have filed, between each bound and the one before; then those above the
    /// last.
    filed: Mutex<Box<[u64]>>,
    is_adopted: AtomicBool,
}

struct Bound {
    seconds: f64,
    /// The number of buckets at or below it.
    buckets: usize,
}

impl Meter {
    /// Creates a meter without a registry, for [`Registry::adopt`](crate::Registry::adopt). Its
    /// totals and windows are exact at `bounds`.
    pub fn new(name: impl Into<String>, grain: Grain, bounds: impl IntoIterator<Item = Duration>) -> Self {
        let mut bounds: Vec<Duration> = bounds.into_iter().collect();
        bounds.sort_unstable();
        bounds.dedup();
        let layout = Arc::new(Layout::new(bounds.iter().map(|bound| *bound / grain.nanos())));
        let places = bounds
            .iter()
            .map(|bound| Bound { seconds: bound.as_secs_f64(), buckets: layout.buckets_up_to(*bound / grain.nanos()) });
        Self(Arc::new(Inner {
            name: name.into(),
            grain,
            bounds: places.collect(),
            filed: Mutex::new(vec![0; bounds.len() + 1].into()),
            series: Series::new(layout, Duration::ZERO),
            is_adopted: AtomicBool::new(false),
        }))
    }

    /// Its name, or [`OTHER`](crate::OTHER).
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Counts one.
    #[inline]
    pub fn record(&self, time: Duration) {
        self.0.series.record(StatusClass::Success as usize, self.0.grain.filed(time));
    }

    /// Returns its figures in a window, up to the last tick.
    pub fn window(&self, window: Window) -> MeterWindow {
        let interval = self.0.series.window(window);
        MeterWindow { grain: self.0.grain, latency: interval.latency, covered: interval.covered }
    }

    /// Everything since the start, what no tick has read yet included, at its own bounds.
    pub fn totals(&self) -> Totals {
        let (filed, mut scratch) = (self.filed(), Scratch::default());
        let sum_nanos = self.0.series.peek(&mut scratch) * u128::from(self.0.grain.nanos());
        let mut ranges = filed.clone();
        self.0.add(&scratch, &mut ranges);
        let mut below = 0;
        let up_to = |(bound, samples): (&Bound, &u64)| {
            below += samples;
            (bound.seconds, below)
        };
        let buckets = self.0.bounds.iter().zip(&ranges).map(up_to).collect();
        Totals { buckets, count: ranges.iter().sum(), sum_seconds: duration(sum_nanos).as_secs_f64() }
    }

    /// Begins with a registry's time, unless a registry has it already. Returns whether none had.
    pub(crate) fn adopt(&self, elapsed: Duration) -> bool {
        let is_free = !self.0.is_adopted.swap(true, Ordering::Relaxed);
        if is_free {
            self.0.series.begin(elapsed);
        }
        is_free
    }

    /// Whether both are the same meter.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn tick(&self, elapsed: Duration, scratch: &mut Scratch) {
        let mut filed = self.filed();
        self.0.series.tick(elapsed, scratch);
        self.0.add(scratch, &mut filed);
    }

    pub(crate) fn bytes(&self) -> usize {
        let own =
            size_of::<Inner>() + self.0.name.len() + self.0.bounds.len() * (size_of::<Bound>() + size_of::<u64>());
        own + self.0.series.bytes()
    }

    /// While it is held, filed and unfiled samples are of one moment.
    fn filed(&self) -> MutexGuard<'_, Box<[u64]>> {
        self.0.filed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Adds what was just read of the series.
    fn add(&self, read: &Scratch, ranges: &mut [u64]) {
        for &(bucket, count) in &read.delta.buckets {
            let range = self.bounds.partition_point(|bound| bound.buckets <= bucket as usize);
            ranges[range] += u64::from(count);
        }
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").field("name", &self.0.name).field("grain", &self.0.grain).finish_non_exhaustive()
    }
}
