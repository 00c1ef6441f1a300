//! Removes and expires entries of L1.

use tokio::task::yield_now;

use crate::class::Count;
use crate::class_id::ClassId;
use crate::event::{Removal, Scope};
use crate::key::Key;
use crate::pattern::Pattern;
use crate::slot::{Slot, State};
use crate::tiers::Tiers;

/// Work of a walk over L1 before other tasks run: at worst this number of character comparisons,
/// about ten to a hundred microseconds.
const PIECE: usize = 1 << 16;

/// Cost of an entry in addition.
const STEP: usize = 64;

impl Tiers {
    /// Invalidates in L1 alone. Returns how many live entries were removed, if they are counted.
    pub fn drop_scope(&self, scope: Scope<'_>) -> usize {
        match scope {
            Scope::Key(key) => return usize::from(self.remove(key)),
            Scope::Expired(key) => return usize::from(self.expire(key)),
            Scope::Pattern(pattern) => return self.remove_matching(pattern, |_| true),
            Scope::PatternOf(class, pattern) => {
                let Some(class) = self.classes.by_name(class) else { return 0 };
                return self.remove_matching(pattern, |slot| slot.class == class.id);
            }
            Scope::Tag(tag) => self.fence.invalidate_tag(tag),
            Scope::Class(name) => {
                if let Some(class) = self.classes.by_name(name) {
                    self.fence.invalidate_class(class.id);
                }
            }
            Scope::All => {
                self.fence.invalidate_all();
                self.bell.sweep();
            }
        }
        0
    }

    /// Removes the entries that match and are meant. Returns their number.
    pub fn remove_matching(&self, pattern: &Pattern, is_meant: impl Fn(&Slot) -> bool) -> usize {
        // The fence comes first: a load that fills after it has started after it.
        self.flights.fence_matching(pattern);
        let matching = self.memory.iter().filter(|(key, slot)| is_meant(slot) && pattern.matches(key.as_str()));
        matching.filter(|(key, _)| self.remove(key)).count()
    }

    /// Like `remove_matching`, perhaps of one class, but lets other tasks run in between.
    pub async fn remove_in_pieces(&self, pattern: &Pattern, class: Option<ClassId>) -> usize {
        self.flights.fence_matching(pattern);
        let (mut removed, mut left) = (0, PIECE);
        for (key, slot) in self.memory.iter() {
            let is_meant = class.is_none_or(|class| class == slot.class);
            if is_meant && pattern.matches(key.as_str()) && self.remove(&key) {
                removed += 1;
            }
            // A value that is the last of its kind is dropped here, not in the next piece.
            drop(slot);
            let cost = STEP + key.as_str().len() * pattern.as_str().len();
            match left.checked_sub(cost) {
                Some(rest) => left = rest,
                None => {
                    yield_now().await;
                    left = PIECE;
                }
            }
        }
        removed
    }

    /// Ends the key's fresh life in L1, fences its loads. Returns whether a live value was held.
    fn expire(&self, key: &Key) -> bool {
        let now = self.clock.coarse();
        let held = self.flights.fence(key, || {
            let slot = self.memory.peek(key).filter(|slot| slot.state(now, &self.fence) != State::Dead)?;
            let mut times = slot.times;
            let was_fresh = times.expire(now.into());
            if times.is_over(now.into()) {
                // Without a grace.
                self.memory.remove(key);
                return Some((slot, true));
            }
            self.memory.amend(key, |terms| {
                terms.times = times;
                // The entry of L2 then has that id too.
                if was_fresh {
                    terms.shared = terms.shared.and_then(crate::l2::EntryId::expired);
                }
            });
            Some((slot, false))
        });
        let Some((slot, is_gone)) = held else { return false };
        // Above an L2 this runs twice, and changes something once.
        if !slot.times.is_expired()
            && let Some(class) = self.classes.by_id(slot.class)
        {
            class.counters.add(Count::Invalidation);
        }
        if is_gone {
            self.report_removed(key, &slot, Removal::Invalidated);
        }
        true
    }

    /// Removes the key from L1 and fences its loads. Returns whether a live value was held.
    fn remove(&self, key: &Key) -> bool {
        let Some(slot) = self.flights.fence(key, || self.memory.remove(key)) else { return false };
        let live = slot.state(self.clock.coarse(), &self.fence) != State::Dead;
        if live && let Some(class) = self.classes.by_id(slot.class) {
            class.counters.add(Count::Invalidation);
        }
        self.report_removed(key, &slot, if live { Removal::Invalidated } else { self.why_dead(&slot) });
        live
    }
}
