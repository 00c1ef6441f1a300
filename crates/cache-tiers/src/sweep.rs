//! The keeper: a thread that frees the space of dead entries and ends loads that take too long.
//!
//! It is a thread and not a task: it needs no runtime, outlives any, and a walk over many entries
//! does not delay tasks. It also ends a load that blocks its thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use crate::bell::{Bell, Call};
use crate::tiers::Tiers;

/// Pause after a walk over the loads that was not completed.
const AGAIN: Duration = Duration::from_millis(100);

/// Starts the keeper of a cache. It ends with the cache.
///
/// If the system cannot start a thread, entries are still removed by eviction and when a read finds
/// them dead, but loads have no limit.
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
                    // If it could not be finished, it is repeated soon.
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

/// Drops values of users. Their panic must not end the thread, and with it all load limits.
fn go_on_after<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}
