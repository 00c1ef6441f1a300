//! Wakes the keeper of a cache: the thread that sweeps, and ends loads that take too long.

use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_clock::Clock;

#[derive(Default)]
struct Rung {
    sweep: bool,
    close: bool,
    /// Deadline of a load, in real time.
    overdue: Option<Duration>,
}

/// Wakes the keeper.
#[derive(Default)]
pub struct Bell {
    rung: Mutex<Rung>,
    changed: Condvar,
    /// Real time, independent of the cache's clock.
    clock: Clock,
}

/// Reason for which the keeper was woken.
pub(crate) enum Call {
    Sweep,
    Overdue,
    Close,
}

impl Bell {
    /// Requests a sweep soon.
    pub(crate) fn sweep(&self) {
        self.rung().sweep = true;
        self.changed.notify_one();
    }

    /// Ends the keeper.
    pub(crate) fn close(&self) {
        self.rung().close = true;
        self.changed.notify_one();
    }

    /// Returns the moment in real time that is this far ahead.
    pub fn in_real_time(&self, ahead: Duration) -> Duration {
        self.clock.now().saturating_add(ahead)
    }

    /// Requests a check of the loads at this moment of real time.
    pub fn look_at(&self, overdue: Duration) {
        let mut rung = self.rung();
        // Usually an earlier load is due first, and the keeper sleeps on.
        if rung.overdue.is_none_or(|known| overdue < known) {
            rung.overdue = Some(overdue);
            self.changed.notify_one();
        }
    }

    /// Waits for a reason to work. A sweep is one at `sweep_at`.
    pub(crate) fn wait(&self, sweep_at: Duration) -> Call {
        let mut rung = self.rung();
        loop {
            let now = self.clock.now();
            if rung.close {
                return Call::Close;
            }
            if rung.overdue.is_some_and(|overdue| now >= overdue) {
                rung.overdue = None;
                return Call::Overdue;
            }
            if mem::take(&mut rung.sweep) || now >= sweep_at {
                return Call::Sweep;
            }
            let until = rung.overdue.map_or(sweep_at, |overdue| overdue.min(sweep_at));
            let waited = self.changed.wait_timeout(rung, until.saturating_sub(now));
            rung = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn rung(&self) -> MutexGuard<'_, Rung> {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
