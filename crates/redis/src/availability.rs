//! The circuit breaker: while Redis is unavailable, calls fail immediately.
//!
//! The closed breaker lets all commands through. The first command without an answer opens it. Then
//! no command is let through. A separate task sends one probe at a time (half open): immediately,
//! then after n × 50 ms, up to 500 ms, until the server answers. So one caller waits for the
//! time-out, the others don't, and no caller's command is the probe. A command continues after its
//! caller was cancelled, so it opens the breaker in any case.
//!
//! In a cluster there is one state per slot. An outage opens the slots of its shard; the other
//! shards continue to serve.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{mpsc, watch};

/// The state of the breaker. Cheap to clone; clones share the breaker.
#[derive(Clone, Debug)]
pub struct Availability {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// One flag, or one for each slot of a cluster. True if open.
    open: Box<[AtomicBool]>,
    /// Number of open flags, so that the usual check is one load.
    opened: AtomicUsize,
    told: watch::Sender<bool>,
    outages: mpsc::Sender<u16>,
}

/// Capacity of the queue to the prober. If it is full, the prober is already active.
const OUTAGES: usize = 64;

impl Availability {
    /// Creates a breaker with that many flags. Also returns the receiver of its outages.
    pub(crate) fn new(states: u16) -> (Self, mpsc::Receiver<u16>) {
        let (outages, reported) = mpsc::channel(OUTAGES);
        let shared = Shared {
            open: (0..states.max(1)).map(|_| AtomicBool::new(false)).collect(),
            opened: AtomicUsize::new(0),
            told: watch::Sender::new(true),
            outages,
        };
        (Self { shared: Arc::new(shared) }, reported)
    }

    /// Whether every shard is available, as far as is known.
    pub fn is_available(&self) -> bool {
        self.shared.opened.load(Ordering::Relaxed) == 0
    }

    /// Watches [`is_available`](Self::is_available).
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.shared.told.subscribe()
    }

    /// Whether commands for the slot are let through.
    #[inline]
    pub(crate) fn admits(&self, slot: u16) -> bool {
        self.is_available() || !self.shared.open[self.index(slot)].load(Ordering::Relaxed)
    }

    /// Opens the slot's flag and wakes the prober.
    pub(crate) fn report(&self, slot: u16) {
        self.open(slot);
        // If the queue is full, the prober is already active.
        let _ = self.shared.outages.try_send(slot);
    }

    /// Opens one flag without waking the prober.
    pub(crate) fn open(&self, slot: u16) {
        if !self.shared.open[self.index(slot)].swap(true, Ordering::Relaxed) {
            self.shared.opened.fetch_add(1, Ordering::Relaxed);
            self.tell();
        }
    }

    /// Closes one flag.
    pub(crate) fn close(&self, slot: u16) {
        if self.shared.open[self.index(slot)].swap(false, Ordering::Relaxed) {
            self.shared.opened.fetch_sub(1, Ordering::Relaxed);
            self.tell();
        }
    }

    /// The slots whose flag is open.
    pub(crate) fn all_open(&self) -> Vec<u16> {
        let states = self.shared.open.iter().zip(0_u16..);
        states.filter(|(open, _)| open.load(Ordering::Relaxed)).map(|(_, slot)| slot).collect()
    }

    fn tell(&self) {
        self.shared.told.send_if_modified(|told| {
            let now = self.is_available();
            std::mem::replace(told, now) != now
        });
    }

    fn index(&self, slot: u16) -> usize {
        if self.shared.open.len() == 1 { 0 } else { usize::from(slot) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_and_ends() {
        let (breaker, mut outages) = Availability::new(1);
        let mut watch = breaker.watch();
        breaker.report(7);
        breaker.report(9);
        assert_eq!(outages.try_recv().ok(), Some(7));
        assert!(!breaker.admits(3) && !*watch.borrow_and_update());
        breaker.close(0);
        assert!(breaker.admits(7) && *watch.borrow_and_update() && breaker.all_open().is_empty());
    }

    #[test]
    fn in_a_cluster_the_other_slots_serve_on() {
        let (breaker, _outages) = Availability::new(crate::slot::SLOTS);
        breaker.report(16_383);
        assert!(breaker.admits(0) && !breaker.admits(16_383) && !breaker.is_available());
        assert_eq!(breaker.all_open(), [16_383]);
    }
}
