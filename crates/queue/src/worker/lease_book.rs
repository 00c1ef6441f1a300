//! The leases this worker holds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use tidegate_queue_broker::LeaseToken;

/// Why a run was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopReason {
    LeaseLost,
    Cancelled,
    TimedOut,
    Shutdown,
}

/// Identifies a run within its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RunId(u64);

/// State shared by a run and the code that may stop it.
struct Signal {
    cancel: CancellationToken,
    /// First reason to stop the run. `None` if the run ended before there was one.
    reason: OnceLock<Option<StopReason>>,
}

struct LeaseEntry {
    token: LeaseToken,
    queue: Arc<str>,
    signal: Arc<Signal>,
    /// Receives the ids of runs that were stopped.
    stopped: UnboundedSender<RunId>,
    renewed: Instant,
}

#[derive(Default)]
struct Leases {
    next: u64,
    held: HashMap<RunId, LeaseEntry>,
}

/// The leases this worker holds. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct LeaseBook(Arc<Mutex<Leases>>);

impl LeaseBook {
    fn lock(&self) -> MutexGuard<'_, Leases> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers leases that were valid at `renewed`. The id of a stopped run is sent to `stopped`.
    pub(crate) fn hold(
        &self,
        tokens: impl Iterator<Item = LeaseToken>,
        queue: &Arc<str>,
        stopped: &UnboundedSender<RunId>,
        renewed: Instant,
    ) -> Vec<HeldLease> {
        let mut leases = self.lock();
        let enter = |token: LeaseToken| {
            leases.next += 1;
            let run = RunId(leases.next);
            let signal = Arc::new(Signal { cancel: CancellationToken::new(), reason: OnceLock::new() });
            let lease = HeldLease { book: self.clone(), run, token: token.clone(), signal: signal.clone() };
            let entry = LeaseEntry { token, queue: queue.clone(), signal, stopped: stopped.clone(), renewed };
            leases.held.insert(run, entry);
            lease
        };
        tokens.map(enter).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().held.len()
    }

    pub(super) fn by_queue(&self) -> HashMap<Arc<str>, Vec<(RunId, LeaseToken)>> {
        let mut by_queue: HashMap<Arc<str>, Vec<(RunId, LeaseToken)>> = HashMap::new();
        for (run, held) in &self.lock().held {
            by_queue.entry(held.queue.clone()).or_default().push((*run, held.token.clone()));
        }
        by_queue
    }

    pub(super) fn renewed(&self, runs: impl Iterator<Item = RunId>, at: Instant) {
        let mut leases = self.lock();
        for run in runs {
            if let Some(held) = leases.held.get_mut(&run) {
                held.renewed = at;
            }
        }
    }

    /// Stops a run. Returns whether it was running and this is the first reason to stop it.
    pub(super) fn stop(&self, run: RunId, reason: StopReason) -> bool {
        let leases = self.lock();
        let Some(held) = leases.held.get(&run) else { return false };
        let first = held.signal.reason.set(Some(reason)).is_ok();
        held.signal.cancel.cancel();
        // Fails if the worker has ended; then the id is not needed.
        let _ = held.stopped.send(run);
        first
    }
}

/// A registered lease. It is renewed while this value lives: from its fetch, even before the run is
/// first polled, until the broker has answered its settlement.
pub(crate) struct HeldLease {
    book: LeaseBook,
    run: RunId,
    token: LeaseToken,
    signal: Arc<Signal>,
}

impl HeldLease {
    pub(crate) fn run(&self) -> RunId {
        self.run
    }

    pub(crate) fn token(&self) -> &LeaseToken {
        &self.token
    }

    pub(crate) fn cancel(&self) -> &CancellationToken {
        &self.signal.cancel
    }

    /// Stops the run, unless it was stopped before.
    pub(crate) fn stop(&self, reason: StopReason) {
        let _ = self.signal.reason.set(Some(reason));
        self.signal.cancel.cancel();
    }

    /// Ends the run: a later reason to stop it has no effect. Returns the first reason.
    pub(crate) fn end_run(&self) -> Option<StopReason> {
        *self.signal.reason.get_or_init(|| None)
    }

    /// When the lease was last known to be valid.
    pub(crate) fn renewed(&self) -> Instant {
        self.book.lock().held.get(&self.run).map_or_else(Instant::now, |held| held.renewed)
    }
}

impl Drop for HeldLease {
    fn drop(&mut self) {
        self.book.lock().held.remove(&self.run);
    }
}
