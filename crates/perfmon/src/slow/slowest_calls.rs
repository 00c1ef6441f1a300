//! The slow calls that are worth looking into.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::histogram::layout::nanos;
use crate::slow::SlowCall;

const HOUR_MS: u64 = 3_600_000;

/// A bounded list that keeps the slowest calls of the last hour. Many calls that are hardly slow do
/// not replace one that took half a minute. While there is room it keeps older ones too.
#[derive(Debug)]
pub(crate) struct SlowestCalls {
    capacity: usize,
    /// In the order in which they ended.
    calls: Mutex<VecDeque<SlowCall>>,
    /// Duration of the fastest call of a full list, in nanoseconds, and when the oldest one ended.
    /// They are read without the lock: if all calls are slow, few of them are among the slowest.
    fastest_nanos: AtomicU64,
    oldest_unix_ms: AtomicU64,
}

impl SlowestCalls {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            calls: Mutex::new(VecDeque::new()),
            fastest_nanos: AtomicU64::new(0),
            oldest_unix_ms: AtomicU64::new(0),
        }
    }

    pub(crate) fn push(&self, call: SlowCall) {
        if self.capacity == 0 || self.is_beaten(&call) {
            return;
        }
        let mut calls = self.calls();
        let oldest_kept = call.at_unix_ms.saturating_sub(HOUR_MS);
        calls.push_back(call);
        if calls.len() > self.capacity {
            if calls.front().is_some_and(|oldest| oldest.at_unix_ms < oldest_kept) {
                calls.pop_front();
            } else if let Some((fastest, _)) = calls.iter().enumerate().min_by_key(|(_, call)| call.elapsed) {
                calls.remove(fastest);
            }
        }
        if calls.len() == self.capacity {
            let fastest = calls.iter().map(|call| nanos(call.elapsed)).min().unwrap_or_default();
            self.fastest_nanos.store(fastest, Ordering::Relaxed);
            self.oldest_unix_ms.store(calls.front().map_or(0, |oldest| oldest.at_unix_ms), Ordering::Relaxed);
        }
    }

    /// The newest first.
    pub(crate) fn newest(&self, limit: usize) -> Vec<SlowCall> {
        self.calls().iter().rev().take(limit).cloned().collect()
    }

    /// Returns whether the list is full of slower calls, none of which is too old. The two figures
    /// may be of two moments. A call that is rejected because of this was the fastest a moment
    /// before or after.
    fn is_beaten(&self, call: &SlowCall) -> bool {
        nanos(call.elapsed) < self.fastest_nanos.load(Ordering::Relaxed)
            && self.oldest_unix_ms.load(Ordering::Relaxed) >= call.at_unix_ms.saturating_sub(HOUR_MS)
    }

    fn calls(&self) -> MutexGuard<'_, VecDeque<SlowCall>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::outcome::call::CallOutcome;

    fn call(millis: u64, at_unix_ms: u64) -> SlowCall {
        SlowCall {
            method: "GET",
            route: "/".to_owned(),
            elapsed: Duration::from_millis(millis),
            outcome: CallOutcome::Status(200),
            at_unix_ms,
            request_id: None,
            trace_id: None,
        }
    }

    fn kept(slowest: &SlowestCalls) -> Vec<u128> {
        slowest.newest(10).iter().map(|call| call.elapsed.as_millis()).collect()
    }

    /// The test holds the lock, so a caller that takes it would never return.
    #[test]
    fn a_call_that_is_beaten_takes_no_lock() {
        let slowest = SlowestCalls::new(2);
        slowest.push(call(5, 0));
        assert!(!slowest.is_beaten(&call(1, 0)), "there is room");
        slowest.push(call(7, 1));
        let held = slowest.calls();
        slowest.push(call(4, 2));
        drop(held);
        assert_eq!(kept(&slowest), [7, 5]);
        slowest.push(call(6, 3));
        assert_eq!(kept(&slowest), [6, 7]);
        assert!(slowest.is_beaten(&call(5, 4)) && !slowest.is_beaten(&call(6, 4)));
    }

    #[test]
    fn the_old_make_room_for_the_fast() {
        let slowest = SlowestCalls::new(2);
        slowest.push(call(500, 0));
        slowest.push(call(600, HOUR_MS));
        slowest.push(call(1, HOUR_MS + 1));
        assert_eq!(kept(&slowest), [1, 600]);
        let none = SlowestCalls::new(0);
        none.push(call(1, 0));
        assert!(kept(&none).is_empty());
    }
}
