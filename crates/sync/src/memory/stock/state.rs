//! One stock in memory, and the steps on it.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::error::MAX_QUANTITY;
use crate::stock::{Added, Counts, Ended, Reserving};

/// Maximum number of expired reservations, and of old ids, that each step removes.
const WITH_EACH: u32 = 10;
/// Maximum number of expired reservations that are removed before a sold-out result.
const BEFORE_A_NO: u32 = 500;

#[derive(Default)]
pub(in crate::memory) struct StockState {
    pub(super) counts: Counts,
    entries: HashMap<String, Entry>,
    /// Expiry of each open reservation.
    open: BTreeSet<(u64, String)>,
    /// Time at which each ended entry is removed.
    closed: BTreeSet<(u64, String)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Entry {
    quantity: u64,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Addition,
    Open { expires_at: u64 },
    Ended(Ended),
}

/// One step on a stock: the time, and when an entry that ends now is removed.
pub(super) struct Step<'a> {
    pub(super) state: &'a mut StockState,
    pub(super) now: u64,
    pub(super) forget_at: u64,
}

impl Step<'_> {
    /// Ends an open reservation.
    fn close(&mut self, id: &str, quantity: u64, expires_at: u64, how: Ended) {
        let counts = &mut self.state.counts;
        counts.reserved -= quantity;
        match how {
            Ended::Confirmed => counts.sold += quantity,
            Ended::Released => {
                counts.available += quantity;
                counts.released += quantity;
            }
            Ended::Expired => {
                counts.available += quantity;
                counts.expired += quantity;
            }
        }
        self.state.open.remove(&(expires_at, id.to_owned()));
        self.state.closed.insert((self.forget_at, id.to_owned()));
        self.state.entries.insert(id.to_owned(), Entry { quantity, kind: Kind::Ended(how) });
    }

    pub(super) fn expire(&mut self, limit: u32) -> u64 {
        for done in 0..limit {
            let Some((at, id)) = self.state.open.first().filter(|(at, _)| *at <= self.now).cloned() else {
                return done.into();
            };
            let quantity = self.state.entries.get(&id).map_or(0, |entry| entry.quantity);
            self.close(&id, quantity, at, Ended::Expired);
        }
        limit.into()
    }

    pub(super) fn forget(&mut self, limit: u32) -> u64 {
        for done in 0..limit {
            if self.state.closed.first().is_none_or(|(at, _)| *at > self.now) {
                return done.into();
            }
            if let Some((_, id)) = self.state.closed.pop_first() {
                self.state.entries.remove(&id);
            }
        }
        limit.into()
    }

    pub(super) fn add(&mut self, id: &str, quantity: u64) -> Added {
        self.forget(WITH_EACH);
        let addition = Entry { quantity, kind: Kind::Addition };
        match self.state.entries.get(id) {
            Some(entry) if *entry == addition => return Added::Added,
            Some(_) => return Added::Reused,
            None => {}
        }
        let counts = &mut self.state.counts;
        if counts.total + quantity > MAX_QUANTITY {
            return Added::TooLarge;
        }
        counts.available += quantity;
        counts.total += quantity;
        // Additions are few, and one that is repeated late must not be added again.
        self.state.entries.insert(id.to_owned(), addition);
        Added::Added
    }

    pub(super) fn reserve(&mut self, id: &str, quantity: u64, ttl: u64) -> Reserving {
        self.expire(WITH_EACH);
        self.forget(WITH_EACH);
        if let Some(&entry) = self.state.entries.get(id) {
            return match entry.kind {
                _ if entry.quantity != quantity => Reserving::Reused,
                Kind::Addition => Reserving::Reused,
                Kind::Ended(how) => Reserving::Ended(how),
                Kind::Open { expires_at } if expires_at > self.now => {
                    Reserving::Open { expires_in: Duration::from_micros(expires_at - self.now) }
                }
                Kind::Open { expires_at } => {
                    self.close(id, quantity, expires_at, Ended::Expired);
                    Reserving::Ended(Ended::Expired)
                }
            };
        }
        if self.state.counts.available < quantity {
            self.expire(BEFORE_A_NO);
        }
        let counts = &mut self.state.counts;
        if counts.available < quantity {
            return Reserving::Left(counts.available);
        }
        counts.available -= quantity;
        counts.reserved += quantity;
        let expires_at = self.now + ttl;
        self.state.open.insert((expires_at, id.to_owned()));
        self.state.entries.insert(id.to_owned(), Entry { quantity, kind: Kind::Open { expires_at } });
        Reserving::Open { expires_in: Duration::from_micros(ttl) }
    }

    pub(super) fn end(&mut self, id: &str, wanted: Ended) -> Option<Ended> {
        let Entry { quantity, kind } = *self.state.entries.get(id)?;
        match kind {
            Kind::Addition => None,
            Kind::Ended(how) => Some(how),
            Kind::Open { expires_at } => {
                let how = if expires_at <= self.now { Ended::Expired } else { wanted };
                self.close(id, quantity, expires_at, how);
                Some(how)
            }
        }
    }
}
