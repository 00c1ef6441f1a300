//! Life of the entries of L1: how they are created, extended and removed.

use std::time::Duration;

use crate::class::Class;
use crate::event::{Event, Removal, notify};
use crate::generation::Generation;
use crate::key::Key;
use crate::l2::Mark;
use crate::memory::{self, Inserted};
use crate::moment::Moment;
use crate::parcel::Parcel;
use crate::slot::{Anything, Lifetime, Slot, State, Terms, Times};
use crate::tiers::Tiers;

impl Tiers {
    /// Makes the entry of L1 for a value.
    pub fn slot(&self, key: &Key, class: &Class, since: Generation, parcel: Parcel, mark: Option<Mark>) -> Slot {
        let own = class.ttl.in_l1(parcel.ttl);
        // "There is nothing" is kept for a fixed time, however often it is requested.
        let (fresh, whole, idle) = match class.ttl.cap().filter(|_| !parcel.is_negative) {
            Some(cap) => (own.min(cap), cap, own),
            None => (own, own, Duration::ZERO),
        };
        // Values in L2 do not slide.
        let (fresh, whole, idle) = mark.map_or((fresh, whole, idle), |mark| {
            (class.ttl.in_l1_above_l2(mark.left, &self.dice), mark.left, Duration::ZERO)
        });
        let own_grace = class.ttl.grace_of(parcel.is_negative, parcel.ttl);
        let (grace, ahead) = (parcel.grace.map_or(own_grace, |grace| grace.min(own_grace)), class.ttl.ahead());
        let lifetime = Lifetime { fresh, whole, grace, ahead, idle, eager: class.ttl.eager(parcel.cost) };
        let terms = Terms {
            stamps: self.fence.stamps(class.id, &parcel.tags),
            class: class.id,
            since,
            times: Times::new(self.clock.coarse().into(), &lifetime),
            weight: self.memory.weight(key, parcel.tags.len(), parcel.bytes),
            shared: mark.and_then(|mark| mark.id),
        };
        Slot::new(parcel.value, terms)
    }

    /// Stores a value of a load or a caller. The caller holds the lock of the key's flights.
    pub fn fill(&self, key: &Key, slot: &Slot) -> Inserted {
        if self.fence.admits(slot.class, &slot.stamps, slot.since) {
            self.memory.insert(key, slot)
        } else {
            Inserted::default()
        }
    }

    /// Reports the values that an insertion removed.
    pub fn report_left(&self, key: &Key, inserted: &Inserted) {
        if let Some(observer) = &self.observer {
            for key in inserted.evicted(key) {
                notify(&**observer, &Event::Evicted { tier: memory::NAME, key });
            }
            if inserted.has_replaced(key) {
                notify(&**observer, &Event::Removed { tier: memory::NAME, key, cause: Removal::Replaced });
            }
        }
        for (held, hit, is_replaced) in inserted.left(key) {
            let cause = if is_replaced { Removal::Replaced } else { Removal::Evicted };
            self.listeners.notify(held.terms.class, &held.key, &hit.value, cause);
        }
    }

    /// Reports a removed value. The caller holds no lock.
    pub fn report_removed(&self, key: &Key, removed: &Slot, cause: Removal) {
        self.notify(&Event::Removed { tier: memory::NAME, key, cause });
        self.listeners.notify(removed.class, key, &removed.value, cause);
    }

    /// Returns the value to serve if a hit cannot decide: its calm period is over, or an
    /// invalidation hit a tag, class or key that shares a cell with its own.
    #[cold]
    pub(crate) fn consider(&self, key: &Key, now: Duration) -> Option<(Anything, State)> {
        let slot = self.memory.peek(key)?;
        let seen = self.fence.seen(slot.stamps.cells());
        let state = match slot.state(now, &self.fence) {
            State::Dead => {
                self.bury(key, &slot);
                return None;
            }
            State::Fresh(left) => {
                self.memory.note(key, &slot, seen);
                State::Fresh(left)
            }
            State::Waning(_) => self.tend(key, &slot, now.into()),
            state => state,
        };
        Some((slot.value, state))
    }

    /// The second check of a fresh entry: extends its life if due. Returns whether to reload.
    #[cold]
    pub(crate) fn tend(&self, key: &Key, slot: &Slot, now: Moment) -> State {
        let mut times = slot.times;
        if times.may_slide(now) {
            times.slide(now);
            let slide = |held: &mut Terms| {
                if held.times.may_slide(now) {
                    held.times.slide(now);
                }
            };
            self.flights.hold(key, || self.memory.amend(key, slide));
        }
        let left = times.left(now);
        if times.is_due(now, &self.dice) { State::Waning(left) } else { State::Fresh(left) }
    }

    /// Removes a dead entry, unless another one has replaced it. Returns whether it did.
    #[cold]
    pub(crate) fn bury(&self, key: &Key, slot: &Slot) -> bool {
        let is_removed = self.memory.discard(key, slot);
        if is_removed {
            self.report_removed(key, slot, self.why_dead(slot));
        }
        is_removed
    }

    pub(crate) fn why_dead(&self, slot: &Slot) -> Removal {
        let admits = self.fence.admits(slot.class, &slot.stamps, slot.since);
        if admits { Removal::Expired } else { Removal::Invalidated }
    }

    /// Frees the space of dead entries. Returns their number.
    pub fn sweep(&self) -> usize {
        let now = self.clock.coarse();
        let dead = self.memory.iter().filter(|(_, slot)| slot.state(now, &self.fence) == State::Dead);
        let removed = dead.filter(|(key, slot)| self.bury(key, slot)).count();
        self.fence.prune();
        removed
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fill::Fill;
    use crate::form::pack;
    use crate::moves::Cells;
    use crate::start::Settings;
    use crate::tag::Tag;
    use crate::ttl::TtlClass;

    /// An entry of L1, with the value 7.
    struct Entry {
        tiers: Arc<Tiers>,
        class: Arc<Class>,
        key: Key,
    }

    impl Entry {
        fn new() -> Self {
            let tiers = Settings::default().start();
            let class = tiers.classes.enter(TtlClass::COMPUTATION);
            Self { tiers, class, key: Key::builder("entry").build().unwrap() }
        }

        fn store(&self, tags: &[Tag]) {
            let mut fill = Fill::new(7_u32).tags(tags.to_vec());
            self.tiers.settle(&self.class, &mut fill);
            let parcel = pack(fill, |_| size_of::<u32>());
            let slot = self.tiers.slot(&self.key, &self.class, self.tiers.fence.now(), parcel, None);
            assert!(self.tiers.fill(&self.key, &slot).stored);
        }

        fn read(&self) -> Option<u32> {
            let (value, state) = self.tiers.look_up(&self.key, &self.class, |value| value.downcast().ok())?;
            assert!(matches!(state, State::Fresh(_)));
            Some(*value)
        }

        fn is_told_at_a_glance(&self) -> bool {
            let found = self.tiers.memory.get(&self.key);
            found.is_some_and(|(hit, seen)| self.tiers.fence.seen(hit.cells) == seen)
        }
    }

    #[test]
    fn tags_that_share_a_cell_invalidate_only_their_own_entries() {
        let entry = Entry::new();
        let own = Tag::new("own");
        let cells = |tag: &Tag| format!("{:?}", Cells::of(entry.class.id, std::slice::from_ref(tag)));
        let other = (0..).map(Tag::new).find(|tag| cells(tag) == cells(&own)).expect("there are fewer cells");
        entry.store(std::slice::from_ref(&own));
        assert!(entry.is_told_at_a_glance());

        for _ in 0..3 {
            entry.tiers.fence.invalidate_tag(&other);
            assert!(!entry.is_told_at_a_glance());
            assert_eq!(entry.read(), Some(7), "the other tag is not its own");
            assert!(entry.is_told_at_a_glance(), "what was found out is noted");
        }
        entry.tiers.fence.invalidate_tag(&own);
        assert_eq!(entry.read(), None);
    }

    #[test]
    fn each_of_many_tags_counts_and_so_do_class_and_everything() {
        let entry = Entry::new();
        for count in 0..6 {
            let tags: Vec<Tag> = (0..count).map(Tag::new).collect();
            for tag in &tags {
                entry.store(&tags);
                assert_eq!(entry.read(), Some(7));
                entry.tiers.fence.invalidate_tag(tag);
                assert_eq!(entry.read(), None, "{count} tags");
            }
            entry.store(&tags);
            entry.tiers.fence.invalidate_class(entry.class.id);
            assert_eq!(entry.read(), None);
            entry.store(&tags);
            entry.tiers.fence.invalidate_all();
            assert_eq!(entry.read(), None);
        }
    }
}
