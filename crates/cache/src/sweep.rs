//! The keeper: a thread that gives back the space of dead entries and ends loads that take too long.
//!
//! A thread, not a task: it needs no runtime, outlives those that come and go, and a walk over many entries does not
//! hold up tasks. A load that blocks its thread is ended all the same.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::tiered::Tiers;

/// After a walk over the loads that did not come to its end.
const AGAIN: Duration = Duration::from_millis(100);

#[derive(Default)]
struct Rung {
    sweep: bool,
    close: bool,
    /// When the time of a load is over, in real time.
    overdue: Option<Duration>,
}

/// Wakes the keeper.
#[derive(Default)]
pub(crate) struct Bell {
    rung: Mutex<Rung>,
    changed: Condvar,
    /// Real time, whatever the cache goes by.
    clock: SystemClock,
}

/// What the keeper was woken for.
enum Call {
    Sweep,
    Overdue,
    Close,
}

impl Bell {
    /// Asks for a sweep soon.
    pub(crate) fn sweep(&self) {
        self.rung().sweep = true;
        self.changed.notify_one();
    }

    /// Ends the keeper.
    pub(crate) fn close(&self) {
        self.rung().close = true;
        self.changed.notify_one();
    }

    /// The moment, in real time, that lies so far ahead.
    pub(crate) fn in_real_time(&self, ahead: Duration) -> Duration {
        self.clock.precise().saturating_add(ahead)
    }

    /// Asks for a look at the loads at this moment of real time.
    pub(crate) fn look_at(&self, overdue: Duration) {
        let mut rung = self.rung();
        // Mostly an earlier load is due earlier, and the keeper sleeps on.
        if rung.overdue.is_none_or(|known| overdue < known) {
            rung.overdue = Some(overdue);
            self.changed.notify_one();
        }
    }

    /// Waits for a reason to do something, which a sweep is at `sweep_at`.
    fn wait(&self, sweep_at: Duration) -> Call {
        let mut rung = self.rung();
        loop {
            let now = self.clock.precise();
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

/// Starts the keeper of a cache; it ends with the cache.
///
/// Where the system has no thread to give, entries still leave by eviction and when a read finds them dead, and loads
/// have no limit.
pub(crate) fn start(tiers: Weak<Tiers>, bell: Arc<Bell>, every: Duration) {
    let run = move || {
        let mut sweep_at = bell.in_real_time(every);
        loop {
            let call = bell.wait(sweep_at);
            let Some(tiers) = tiers.upgrade() else { return };
            match call {
                Call::Sweep => {
                    go_on_after(|| tiers.sweep());
                    sweep_at = bell.in_real_time(every);
                }
                Call::Overdue => {
                    let now = bell.in_real_time(Duration::ZERO);
                    // Looked at again soon where it could not be finished.
                    let next = go_on_after(|| tiers.flights.cut_off(now)).unwrap_or(Some(now.saturating_add(AGAIN)));
                    if let Some(next) = next {
                        bell.look_at(next);
                    }
                }
                Call::Close => return,
            }
        }
    };
    // The handle is not needed: closing the bell ends the thread.
    drop(thread::Builder::new().name("tidegate-cache-sweep".to_owned()).spawn(run));
}

/// Values of users are dropped here: a panic of one must not end the thread, and with it the limits of all loads.
fn go_on_after<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}
