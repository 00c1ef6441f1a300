//! The breaker: while Redis is away, callers are told so at once.
//!
//! Closed, it lets everything through. The first command that gets no answer opens it; then nothing is let through, and a
//! task of its own sends one probe at a time (half open), at once, then after n × 50 ms up to half a second, until the
//! server answers. So one caller waits for the time-out, and no other one does, nor is any caller's command the probe. A
//! command goes on when its caller gives it up before, so that it opens the breaker all the same.
//!
//! In a cluster there is one state for each slot, and an outage opens those of the shard: the other shards serve on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{mpsc, watch};

/// Whether Redis can be used now. Cheap to clone; clones are one breaker.
#[derive(Clone, Debug)]
pub struct Availability {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// One, or one for each slot of a cluster. True: open, nothing passes.
    open: Box<[AtomicBool]>,
    /// How many are open, so that the usual answer is one load.
    opened: AtomicUsize,
    told: watch::Sender<bool>,
    outages: mpsc::Sender<u16>,
}

/// Outages that wait for the prober; more are known to it anyway.
const OUTAGES: usize = 64;

impl Availability {
    /// A breaker of that many states, and where its outages arrive.
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

    /// Whether every shard can be used, as far as is known.
    pub fn is_available(&self) -> bool {
        self.shared.opened.load(Ordering::Relaxed) == 0
    }

    /// Follows [`is_available`](Self::is_available).
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.shared.told.subscribe()
    }

    /// Whether the slot's shard lets commands through.
    #[inline]
    pub(crate) fn admits(&self, slot: u16) -> bool {
        self.is_available() || !self.shared.open[self.index(slot)].load(Ordering::Relaxed)
    }

    /// Opens the slot's state and wakes the prober.
    pub(crate) fn report(&self, slot: u16) {
        self.open(slot);
        // A full queue means that the prober is awake.
        let _ = self.shared.outages.try_send(slot);
    }

    /// Opens one state, and leaves the prober alone.
    pub(crate) fn open(&self, slot: u16) {
        if !self.shared.open[self.index(slot)].swap(true, Ordering::Relaxed) {
            self.shared.opened.fetch_add(1, Ordering::Relaxed);
            self.tell();
        }
    }

    /// Closes one state.
    pub(crate) fn close(&self, slot: u16) {
        if self.shared.open[self.index(slot)].swap(false, Ordering::Relaxed) {
            self.shared.opened.fetch_sub(1, Ordering::Relaxed);
            self.tell();
        }
    }

    /// The slots whose state is open.
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
