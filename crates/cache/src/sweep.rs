//! The sweeper: a thread that gives back the space of dead entries.
//!
//! A thread, not a task: it needs no runtime, outlives those that come and go, and a walk over many entries does not
//! hold up tasks.

use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use crate::tiered::Tiers;

#[derive(Default)]
struct Rung {
    sweep: bool,
    close: bool,
}

/// Wakes the sweeper.
#[derive(Default)]
pub(crate) struct Bell {
    rung: Mutex<Rung>,
    changed: Condvar,
}

impl Bell {
    /// Asks for a sweep soon.
    pub(crate) fn sweep(&self) {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner).sweep = true;
        self.changed.notify_one();
    }

    /// Ends the sweeper.
    pub(crate) fn close(&self) {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner).close = true;
        self.changed.notify_one();
    }

    /// Waits for a reason to sweep; false means end.
    fn wait(&self, longest: Duration) -> bool {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let quiet = |rung: &mut Rung| !rung.sweep && !rung.close;
        let (mut rung, _) =
            self.changed.wait_timeout_while(rung, longest, quiet).unwrap_or_else(PoisonError::into_inner);
        rung.sweep = false;
        !rung.close
    }
}

/// Starts the sweeper of a cache; it ends with the cache.
///
/// Where the system has no thread to give, entries still leave by eviction and when a read finds them dead.
pub(crate) fn start(tiers: Weak<Tiers>, bell: Arc<Bell>, every: Duration) {
    let run = move || {
        while bell.wait(every) {
            let Some(tiers) = tiers.upgrade() else { return };
            tiers.sweep();
        }
    };
    // The handle is not needed: closing the bell ends the thread.
    drop(thread::Builder::new().name("tidegate-cache-sweep".to_owned()).spawn(run));
}
