//! The slow calls that are worth looking into.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::slow::SlowCall;

const HOUR_MS: u64 = 3_600_000;

/// A bounded list that keeps the slowest calls of the last hour: many that are hardly slow don't push out the one that took
/// half a minute. While there is room it keeps older ones too.
#[derive(Debug)]
pub(crate) struct SlowestCalls {
    capacity: usize,
    /// In the order in which they ended.
    calls: Mutex<VecDeque<SlowCall>>,
}

impl SlowestCalls {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, calls: Mutex::new(VecDeque::new()) }
    }

    pub(crate) fn push(&self, call: SlowCall) {
        let mut calls = self.calls();
        let oldest_kept = call.at_unix_ms.saturating_sub(HOUR_MS);
        calls.push_back(call);
        if calls.len() <= self.capacity {
            return;
        }
        if calls.front().is_some_and(|oldest| oldest.at_unix_ms < oldest_kept) {
            calls.pop_front();
        } else if let Some((fastest, _)) = calls.iter().enumerate().min_by_key(|(_, call)| call.elapsed) {
            calls.remove(fastest);
        }
    }

    /// The newest first.
    pub(crate) fn newest(&self, limit: usize) -> Vec<SlowCall> {
        self.calls().iter().rev().take(limit).cloned().collect()
    }

    fn calls(&self) -> MutexGuard<'_, VecDeque<SlowCall>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
