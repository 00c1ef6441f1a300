//! Statements that a request runs again and again, where one would do ("N+1").

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Serialize;

use super::entry::Entry;
use super::fingerprint::Fingerprint;
use super::lock::lock;
use crate::figure::{millis, trace_id};
use crate::request::trace_context::TraceContext;

/// The most shapes that are counted in a request.
const SHAPES_A_REQUEST: usize = 64;
/// How many pairs of route and shape are kept.
const PLACES: usize = 256;
const LONGEST_ROUTE: usize = 256;
/// Verbs of statements that read or write rows. Others (`BEGIN`, `COMMIT`, `PRAGMA`) can't be
/// joined, indexed or cached.
const ON_ROWS: [&str; 7] = ["select ", "insert ", "update ", "delete ", "with ", "merge ", "replace "];

/// Whether the statement of this shape reads or writes rows.
pub(crate) fn is_on_rows(text: &str) -> bool {
    ON_ROWS.iter().any(|verb| text.get(..verb.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(verb)))
}

/// The statements of one request, while it runs; shared with the code that runs them.
#[derive(Default)]
pub struct RequestQueries {
    shapes: Mutex<Vec<(Arc<Entry>, u32, Duration)>>,
}

impl std::fmt::Debug for RequestQueries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestQueries").field("shapes", &lock(&self.shapes).len()).finish()
    }
}

impl RequestQueries {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many statements it ran so far, of at most 64 shapes, and how long they took together.
    #[must_use]
    pub fn totals(&self) -> (u64, Duration) {
        lock(&self.shapes).iter().fold((0, Duration::ZERO), |(calls, elapsed), shape| {
            (calls + u64::from(shape.1), elapsed.saturating_add(shape.2))
        })
    }

    pub(super) fn add(&self, entry: Arc<Entry>, elapsed: Duration) {
        let mut shapes = lock(&self.shapes);
        if let Some((_, calls, total)) =
            shapes.iter_mut().find(|(known, ..)| known.fingerprint() == entry.fingerprint())
        {
            *calls = calls.saturating_add(1);
            *total = total.saturating_add(elapsed);
        } else if shapes.len() < SHAPES_A_REQUEST {
            shapes.push((entry, 1, elapsed));
        }
    }

    pub(super) fn more_than(&self, alike: u32) -> Vec<(Arc<Entry>, u32, Duration)> {
        let is_repeated = |(entry, calls, _): &&(Arc<Entry>, u32, Duration)| *calls > alike && is_on_rows(entry.text());
        lock(&self.shapes).iter().filter(is_repeated).cloned().collect()
    }
}

/// A statement that requests of a route ran again and again.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Repeated {
    /// The route's template.
    pub route: String,
    /// The statement's shape.
    pub fingerprint: Fingerprint,
    /// The shape as text, without values.
    pub text: String,
    /// How many requests did so.
    pub requests: u64,
    /// How often they ran it, together.
    pub calls: u64,
    /// How often the worst of them ran it.
    pub most: u32,
    /// How long those calls took, together.
    #[serde(rename = "total_ms", serialize_with = "millis::required")]
    pub total: Duration,
    /// When the last such request ended, in milliseconds since the Unix epoch.
    pub last_unix_ms: u64,
    /// The trace of the last such request that had one; in JSON the member `trace_id`.
    #[serde(rename = "trace_id", serialize_with = "trace_id::optional")]
    pub trace: Option<TraceContext>,
}

#[derive(Default)]
pub(super) struct Repeats {
    entries: Vec<Repeated>,
}

impl Repeats {
    pub(super) fn add(
        &mut self,
        route: &str,
        entry: &Entry,
        calls: u32,
        elapsed: Duration,
        at_unix_ms: u64,
        trace: Option<TraceContext>,
    ) {
        let route = &route[..route.floor_char_boundary(LONGEST_ROUTE)];
        let fingerprint = entry.fingerprint();
        let known = self.entries.iter_mut().find(|known| known.fingerprint == fingerprint && known.route == route);
        if let Some(known) = known {
            known.requests += 1;
            known.calls += u64::from(calls);
            known.most = known.most.max(calls);
            known.total = known.total.saturating_add(elapsed);
            known.last_unix_ms = known.last_unix_ms.max(at_unix_ms);
            known.trace = trace.or(known.trace);
            return;
        }
        if self.entries.len() >= PLACES {
            // The least frequent entry is replaced; of several the one not seen for longest.
            let least =
                (0..PLACES).min_by_key(|&place| (self.entries[place].requests, self.entries[place].last_unix_ms));
            self.entries.swap_remove(least.unwrap_or_default());
        }
        self.entries.push(Repeated {
            route: route.to_owned(),
            fingerprint,
            text: entry.text().to_owned(),
            requests: 1,
            calls: u64::from(calls),
            most: calls,
            total: elapsed,
            last_unix_ms: at_unix_ms,
            trace,
        });
    }

    pub(super) fn list(&self, requests: u64, limit: usize) -> Vec<Repeated> {
        let mut list: Vec<&Repeated> = self.entries.iter().filter(|entry| entry.requests >= requests).collect();
        list.sort_by_key(|entry| std::cmp::Reverse((entry.total, entry.calls)));
        list.into_iter().take(limit).cloned().collect()
    }
}
