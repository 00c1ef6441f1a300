//! The slowest statements.

use std::time::Duration;

use serde::Serialize;

use super::entry::Entry;
use super::fingerprint::Fingerprint;
use super::seen::Seen;
use crate::figure::{millis, trace_id};
use crate::request::trace_context::TraceContext;

/// Older entries are replaced first.
const HOUR_MS: u64 = 3_600_000;
/// One shape that is always slow must not fill the list.
const OF_ONE_SHAPE: usize = 5;

/// A statement that took longer than [`QueryConfig::slow`](crate::QueryConfig::slow).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SlowQuery {
    /// Its shape.
    pub fingerprint: Fingerprint,
    /// The shape as text, without values.
    pub text: String,
    /// How long it took.
    #[serde(rename = "elapsed_ms", serialize_with = "millis::required")]
    pub elapsed: Duration,
    /// How many rows it gave or changed.
    pub rows: u64,
    /// When it ended, in milliseconds since the Unix epoch.
    pub at_unix_ms: u64,
    /// The trace it ran in; in JSON the member `trace_id`, 32 hexadecimal digits.
    #[serde(rename = "trace_id", serialize_with = "trace_id::optional")]
    pub trace: Option<TraceContext>,
}

impl SlowQuery {
    pub(super) fn of(entry: &Entry, seen: &Seen<'_>) -> Self {
        Self {
            fingerprint: entry.fingerprint(),
            text: entry.text().to_owned(),
            elapsed: seen.elapsed,
            rows: seen.rows,
            at_unix_ms: seen.at_unix_ms,
            trace: seen.trace,
        }
    }
}

/// A bounded list. If a shape has too many entries, its fastest is replaced. If the list is full,
/// an entry that is over an hour old is replaced, or else the fastest.
pub(super) struct SlowQueries {
    capacity: usize,
    entries: Vec<SlowQuery>,
}

impl SlowQueries {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, entries: Vec::new() }
    }

    pub(super) fn push(&mut self, slow: SlowQuery) {
        let now = slow.at_unix_ms;
        let rank = |entry: &SlowQuery| {
            let is_fresh = entry.at_unix_ms.saturating_add(HOUR_MS) >= now;
            if is_fresh { (true, entry.elapsed) } else { (false, Duration::from_millis(entry.at_unix_ms)) }
        };
        let alike = self.entries.iter().filter(|entry| entry.fingerprint == slow.fingerprint).count();
        let rivals = self.entries.iter().enumerate();
        let rivals: Vec<(usize, &SlowQuery)> = if alike >= OF_ONE_SHAPE {
            rivals.filter(|(_, entry)| entry.fingerprint == slow.fingerprint).collect()
        } else if self.entries.len() >= self.capacity {
            rivals.collect()
        } else {
            self.entries.push(slow);
            return;
        };
        let least = rivals.into_iter().min_by_key(|(_, entry)| rank(entry));
        let Some((place, least)) = least else { return };
        if rank(least) < rank(&slow) {
            self.entries[place] = slow;
        }
    }

    pub(super) fn slowest(&self, limit: usize) -> Vec<SlowQuery> {
        let mut slowest: Vec<&SlowQuery> = self.entries.iter().collect();
        slowest.sort_by_key(|entry| std::cmp::Reverse((entry.elapsed, entry.at_unix_ms)));
        slowest.into_iter().take(limit).cloned().collect()
    }
}
