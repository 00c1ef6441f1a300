//! Calls and operations that were slow or failed, and the list that keeps the newest.

pub(crate) mod slowest_calls;

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::figure::millis;
use crate::outcome::call::CallOutcome;
use crate::outcome::run::RunOutcome;
use crate::record::kind::Kind;

/// A request that took longer than the registry's threshold, or failed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SlowCall {
    /// The HTTP method.
    pub method: &'static str,
    /// The route template.
    pub route: String,
    /// How long it took, or lasted until its client left.
    #[serde(rename = "elapsed_ms", serialize_with = "millis::required")]
    pub elapsed: Duration,
    /// How it ended. In JSON the member `status`: the number, `"failed"` or `"aborted"`.
    #[serde(rename = "status")]
    pub outcome: CallOutcome,
    /// When it ended, in milliseconds since the Unix epoch.
    pub at_unix_ms: u64,
    /// The request's id, cut after 128 bytes.
    pub request_id: Option<String>,
    /// The trace it belongs to, in 32 hexadecimal digits.
    pub trace_id: Option<String>,
}

/// A measured operation that took longer than the threshold of its kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SlowOperation {
    /// The kind of operation.
    pub kind: Kind,
    /// Its name.
    pub operation: String,
    /// How it ended. A cancelled run counts in no latency, so only this list shows that it was
    /// slow.
    pub outcome: RunOutcome,
    /// How long it took, or lasted until it was dropped.
    #[serde(rename = "elapsed_ms", serialize_with = "millis::required")]
    pub elapsed: Duration,
    /// The threshold it exceeded.
    #[serde(rename = "threshold_ms", serialize_with = "millis::required")]
    pub threshold: Duration,
    /// When it ended, in milliseconds since the Unix epoch.
    pub at_unix_ms: u64,
}

/// A bounded list that forgets its oldest entry.
#[derive(Debug)]
pub(crate) struct SlowLog<T> {
    capacity: usize,
    entries: Mutex<VecDeque<T>>,
}

impl<T: Clone> SlowLog<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, entries: Mutex::new(VecDeque::new()) }
    }

    pub(crate) fn push(&self, entry: T) {
        if self.capacity == 0 {
            return;
        }
        let mut entries = self.entries();
        if entries.len() == self.capacity {
            entries.pop_front();
        }
        entries.push_back(entry);
    }

    /// The newest entries first.
    pub(crate) fn newest(&self, limit: usize) -> Vec<T> {
        self.entries().iter().rev().take(limit).cloned().collect()
    }

    fn entries(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
