//! Which stripe is this thread's own.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::available_parallelism;

/// More stripes cost memory in every series.
const MOST: usize = 8;
/// Beside the cores, for threads that record now and then.
const SPARE: usize = 2;

/// The stripe of all threads that have none of their own, behind the others.
pub(crate) const SHARED: usize = MOST;
/// How many stripes a series may have.
pub(crate) const STRIPES: usize = MOST + 1;

static SLOTS: Slots = Slots(AtomicU32::new(0));

thread_local! {
    static MINE: Slot = Slot::claim(&SLOTS, own_stripes());
}

/// The stripe of this thread: its own, or [`SHARED`]. Claims one at a thread's first call.
pub(crate) fn mine() -> usize {
    // A thread that is shutting down has given its slot back, and may not write there any more.
    MINE.try_with(|slot| slot.0).unwrap_or(SHARED)
}

fn own_stripes() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| (available_parallelism().map_or(1, usize::from) + SPARE).min(MOST))
}

/// One bit for each slot that a thread holds.
struct Slots(AtomicU32);

/// What a thread holds until it ends.
struct Slot(usize);

impl Slot {
    /// The first free one of so many. Acquires what its last holder wrote.
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
    fn a_thread_keeps_its_slot() {
        let first = mine();
        assert_eq!(mine(), first);
        let other = std::thread::spawn(mine).join().unwrap();
        assert!(other != first || other == SHARED);
    }
}
