//! Which stripe is this thread's own.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::available_parallelism;

/// More stripes cost memory in every series.
const MOST: usize = 8;
/// Beside the cores, for threads that record now and then.
const SPARE: usize = 2;

/// How many threads can have a stripe of their own, at most.
pub(crate) const OWN: usize = MOST;
/// The number of the stripe that all other threads share.
const SHARED: usize = MOST;
/// A thread that has recorded nothing yet.
const UNKNOWN: usize = usize::MAX;

static SLOTS: Slots = Slots(AtomicU32::new(0));

thread_local! {
    /// Apart from the value that must be given back: a plain number needs no check for its
    /// existence.
    static MINE: Cell<usize> = const { Cell::new(UNKNOWN) };
    static HELD: Slot = Slot::claim(&SLOTS, own_stripes());
}

/// Returns the stripe that belongs to this thread alone. It is below [`OWN`] if there is one;
/// otherwise [`claim`] says more.
#[inline]
pub(crate) fn known() -> usize {
    MINE.get()
}

/// The stripe that is this thread's alone, claimed at its first call; `None` where it has to share.
#[cold]
pub(crate) fn claim() -> Option<usize> {
    if MINE.get() == UNKNOWN {
        // A thread that is shutting down shares: it could not give a slot back.
        MINE.set(HELD.try_with(|slot| slot.0).unwrap_or(SHARED));
    }
    Some(MINE.get()).filter(|&slot| slot < OWN)
}

fn own_stripes() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| (available_parallelism().map_or(1, usize::from) + SPARE).min(MOST))
}

/// One bit for each slot that a thread holds.
struct Slots(AtomicU32);

/// The slot of a thread, until it ends.
struct Slot(usize);

impl Slot {
    /// Takes the first free slot. Acquires what its last holder wrote.
    fn claim(slots: &Slots, count: usize) -> Self {
        let mut taken = slots.0.load(Ordering::Relaxed);
        loop {
            let free = taken.trailing_ones() as usize;
            if free >= count {
                return Self(SHARED);
            }
            match slots.0.compare_exchange_weak(taken, taken | 1 << free, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Self(free),
                Err(now) => taken = now,
            }
        }
    }

    /// Releases what this thread wrote to the next holder.
    fn give_back(&self, slots: &Slots) {
        if self.0 != SHARED {
            slots.0.fetch_and(!(1 << self.0), Ordering::Release);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // What else this thread records on its way out must not meet the next holder.
        MINE.set(SHARED);
        self.give_back(&SLOTS);
    }
}

#[cfg(test)]
mod tests {
    use std::mem::ManuallyDrop;

    use super::*;

    #[test]
    fn a_slot_has_one_holder_and_comes_back() {
        let slots = Slots(AtomicU32::new(0));
        // These don't belong to the process's slots, which their drop would give back.
        let claim = || ManuallyDrop::new(Slot::claim(&slots, 3));
        let held = [claim(), claim(), claim()];
        assert_eq!([held[0].0, held[1].0, held[2].0], [0, 1, 2]);
        assert_eq!(claim().0, SHARED);
        held[1].give_back(&slots);
        assert_eq!(claim().0, 1);
        assert_eq!(claim().0, SHARED);
    }

    #[test]
    fn a_thread_keeps_its_slot_and_no_other_has_it() {
        let mine = claim();
        assert_eq!((claim(), mine), (mine, Some(known())));
        let other = std::thread::spawn(claim).join().unwrap();
        assert!(other.is_none() || other != mine);
    }

    #[test]
    fn a_thread_on_its_way_out_shares() {
        struct Last;
        impl Drop for Last {
            fn drop(&mut self) {
                assert_eq!(claim(), None);
            }
        }
        thread_local!(static LAST: Last = const { Last });
        let thread = std::thread::spawn(|| {
            // Destroyed after what is touched later.
            LAST.with(|_| ());
            claim()
        });
        assert!(thread.join().is_ok());
    }
}
