//! One shape and its figures.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::dialect::Dialect;
use super::fingerprint::Fingerprint;
use super::lock::lock;
use super::recent::{Calls, Recent};
use super::stats::{By, QueryStats};
use crate::figure::latency::share;
use crate::histogram::layout::{Layout, nanos};
use crate::histogram::snapshot::{bucket_of, duration};

/// The most that one call may add to a sum, so that no absurd one outweighs all others.
pub(super) const LONGEST_ADDED: Duration = Duration::from_secs(86_400);
/// Weight of a call beside its time, in nanoseconds, so that frequent shapes are kept too.
const WEIGHT_OF_A_CALL: u64 = 100_000;

/// The figures that a call adds to its shape.
#[derive(Clone, Copy)]
pub(super) struct Call {
    pub(super) elapsed: Duration,
    pub(super) rows: u64,
    pub(super) at_unix_ms: u64,
    pub(super) is_slow: bool,
}

pub(super) struct Entry {
    fingerprint: Fingerprint,
    text: Box<str>,
    dialect: Dialect,
    /// Decides who has to make room; read without the lock.
    weight: AtomicU64,
    tally: Mutex<Tally>,
}

/// Under one lock, so that all figures are of the same calls.
struct Tally {
    calls: u64,
    slow: u64,
    total_nanos: u128,
    max: Duration,
    rows: u64,
    first_unix_ms: u64,
    last_unix_ms: u64,
    recent: Recent,
    buckets: Box<[u32]>,
}

impl Entry {
    /// `weight` is that of the shape it replaces.
    pub(super) fn new(fingerprint: Fingerprint, text: &str, dialect: Dialect, weight: u64, layout: &Layout) -> Self {
        let tally = Tally {
            calls: 0,
            slow: 0,
            total_nanos: 0,
            max: Duration::ZERO,
            rows: 0,
            first_unix_ms: u64::MAX,
            last_unix_ms: 0,
            recent: Recent::default(),
            buckets: vec![0; layout.buckets()].into(),
        };
        Self { fingerprint, text: text.into(), dialect, weight: AtomicU64::new(weight), tally: Mutex::new(tally) }
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn weight(&self) -> u64 {
        self.weight.load(Ordering::Relaxed)
    }

    /// `now` is on the clock of the readings.
    pub(super) fn record(&self, call: Call, now: Duration, layout: &Layout) {
        let added = nanos(call.elapsed.min(LONGEST_ADDED));
        self.weight.fetch_add(added + WEIGHT_OF_A_CALL, Ordering::Relaxed);
        let mut tally = lock(&self.tally);
        tally.calls += 1;
        tally.slow += u64::from(call.is_slow);
        tally.total_nanos += u128::from(added);
        tally.max = tally.max.max(call.elapsed);
        tally.rows = tally.rows.saturating_add(call.rows);
        tally.first_unix_ms = tally.first_unix_ms.min(call.at_unix_ms);
        tally.last_unix_ms = tally.last_unix_ms.max(call.at_unix_ms);
        tally.recent.record(now, call.is_slow);
        let bucket = &mut tally.buckets[layout.index(nanos(call.elapsed))];
        *bucket = bucket.saturating_add(1);
    }

    /// Returns its calls of the last minutes. If several were slow within one minute, also the
    /// calls of that time.
    pub(super) fn recently(&self, now: Duration) -> (Calls, Option<Calls>) {
        let recent = &lock(&self.tally).recent;
        (recent.lately(now), recent.burst(now))
    }

    /// Returns the value that shapes are ranked by. Allocates nothing.
    pub(super) fn rank(&self, by: By, layout: &Layout) -> u128 {
        let tally = lock(&self.tally);
        match by {
            By::Total => tally.total_nanos,
            By::Mean => u128::from(tally.mean_nanos()),
            By::P99 => tally.p99(layout).as_nanos(),
            By::Calls => u128::from(tally.calls),
        }
    }

    /// `all` is the time of all shapes.
    pub(super) fn stats(&self, layout: &Layout, all: Duration) -> QueryStats {
        let tally = lock(&self.tally);
        let total = duration(tally.total_nanos);
        QueryStats {
            fingerprint: self.fingerprint,
            text: self.text.to_string(),
            dialect: self.dialect,
            calls: tally.calls,
            slow: tally.slow,
            total,
            mean: Duration::from_nanos(tally.mean_nanos()),
            p99: tally.p99(layout),
            max: tally.max,
            rows: tally.rows,
            share: share(nanos(total), nanos(all)),
            first_unix_ms: tally.first_unix_ms.min(tally.last_unix_ms),
            last_unix_ms: tally.last_unix_ms,
        }
    }
}

impl Tally {
    fn mean_nanos(&self) -> u64 {
        let mean = self.total_nanos.checked_div(u128::from(self.calls)).unwrap_or(0);
        u64::try_from(mean).unwrap_or(u64::MAX)
    }

    fn p99(&self, layout: &Layout) -> Duration {
        let counts = || self.buckets.iter().map(|&count| u64::from(count));
        let bucket = bucket_of(0.99, counts().sum(), counts());
        bucket.filter(|_| self.calls > 0).map(|bucket| layout.upper(bucket)).unwrap_or_default()
    }
}
