//! What was admitted and blocked here in an outage, until Redis knows.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use compact_str::CompactString;

use crate::Timestamp;
use crate::redis::Debit;
use crate::store::{Standing, Store};

/// The debts of many keys, at most as many as its cap; beyond, the smallest are forgotten.
pub(super) struct Debts {
    keys: Store<Debt>,
    /// Names this limiter among all that share its limits.
    process: String,
    number: AtomicU64,
    any: AtomicBool,
}

/// The debts of one key.
#[derive(Default)]
struct Debt {
    charges: VecDeque<Charge>,
    blocked_until: Option<Timestamp>,
    /// What was sent and has no answer yet: it is repeated as it was, so that Redis knows it again.
    sent: Option<Arc<Sent>>,
    is_sending: bool,
}

/// What was admitted in a stretch of time; counted as admitted at its end.
#[derive(Clone, Copy, Debug)]
struct Charge {
    begun: Timestamp,
    last: Timestamp,
    amount: u64,
}

/// A debit that is on its way.
pub(super) struct Sent {
    number: u64,
    charges: Vec<(Timestamp, u64)>,
    blocked_until: Option<Timestamp>,
}

/// Into so many stretches the time is cut that a charge counts, so a key has no more than one more of them.
const STRETCHES: u32 = 8;

impl Debts {
    pub(super) fn new(max_keys: usize) -> Self {
        let process = format!("{:016x}", RandomState::new().hash_one("process"));
        let (number, any) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { keys: Store::new(max_keys), process, number, any }
    }

    /// Whether there may be any: one load.
    pub(super) fn is_any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Takes in what was admitted at `now` and counts for `memory`. Returns whether it is the first debt.
    pub(super) fn charge(&self, key: &str, amount: u64, now: Timestamp, memory: Duration) -> bool {
        self.change(key, |debt| debt.charge(amount, now, memory))
    }

    /// Takes in that the key was blocked. Returns whether it is the first debt.
    pub(super) fn block(&self, key: &str, until: Timestamp) -> bool {
        self.change(key, |debt| debt.blocked_until = debt.blocked_until.max(Some(until)))
    }

    fn change(&self, key: &str, change: impl FnOnce(&mut Debt)) -> bool {
        // Nothing is pinned, so there is always room; a key that is too long was refused before.
        let _ = self.keys.lock(key).with(Debt::standing, Debt::default, change);
        !self.any.swap(true, Ordering::AcqRel)
    }

    /// Takes back what was admitted last.
    pub(super) fn take_back(&self, key: &str, amount: u64) {
        if let Some((_, debt)) = self.keys.lock(key).get_mut() {
            debt.take_back(amount);
        }
    }

    /// Forgets the key's block, as when it is unblocked.
    pub(super) fn forget_block(&self, key: &str) {
        if let Some((_, debt)) = self.keys.lock(key).get_mut() {
            debt.blocked_until = None;
        }
    }

    /// Forgets all of the key.
    pub(super) fn forget(&self, key: &str) {
        self.keys.lock(key).remove();
    }

    /// Every key that has a debt. Where there is none, [`is_any`](Self::is_any) says so from now on.
    pub(super) fn keys(&self) -> Vec<CompactString> {
        let keys = self.keys.keys();
        if !keys.is_empty() {
            return keys;
        }
        self.any.store(false, Ordering::Release);
        // One that came in between.
        let keys = self.keys.keys();
        if !keys.is_empty() {
            self.any.store(true, Ordering::Release);
        }
        keys
    }

    /// How many live debts were forgotten for want of room.
    pub(super) fn forgotten(&self) -> u64 {
        self.keys.stats(|_| (0, false)).evicted_live
    }

    /// What is to be sent of the key, unless somebody is sending it.
    pub(super) fn send<'a>(&'a self, key: &'a str) -> Option<Sending<'a>> {
        let mut place = self.keys.lock(key);
        let (_, debt) = place.get_mut()?;
        if debt.is_sending {
            return None;
        }
        debt.is_sending = true;
        let sent = debt.sent.get_or_insert_with(|| {
            let number = self.number.fetch_add(1, Ordering::Relaxed) + 1;
            let charges = debt.charges.drain(..).map(|charge| (charge.last, charge.amount)).collect();
            Arc::new(Sent { number, charges, blocked_until: debt.blocked_until.take() })
        });
        Some(Sending { debts: self, key, sent: sent.clone(), is_charged: false })
    }
}

/// A debit that somebody sends. Dropped without an answer, it is sent again as it is.
pub(super) struct Sending<'a> {
    debts: &'a Debts,
    key: &'a str,
    sent: Arc<Sent>,
    is_charged: bool,
}

impl Sending<'_> {
    /// The ages of its charges at `now`.
    pub(super) fn ages(&self, now: Timestamp) -> Vec<(Duration, u64)> {
        self.sent.charges.iter().map(|(date, amount)| (now.saturating_since(*date), *amount)).collect()
    }

    /// The debit as it is at `now`, with those ages.
    pub(super) fn debit<'a>(&'a self, ages: &'a [(Duration, u64)], now: Timestamp) -> Debit<'a> {
        let block = self.sent.blocked_until.map_or(Duration::ZERO, |until| until.saturating_since(now));
        Debit { process: &self.debts.process, number: self.sent.number, charges: ages, block }
    }

    /// Says that Redis has charged it.
    pub(super) fn charged(mut self) {
        self.is_charged = true;
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        let mut place = self.debts.keys.lock(self.key);
        let Some((_, debt)) = place.get_mut() else { return };
        // The key may have been forgotten and come again meanwhile.
        if !debt.sent.as_ref().is_some_and(|sent| Arc::ptr_eq(sent, &self.sent)) {
            return;
        }
        debt.is_sending = false;
        if self.is_charged {
            debt.sent = None;
            if debt.is_empty() {
                place.remove();
            }
        }
    }
}

impl Sent {
    fn amount(&self) -> u64 {
        self.charges.iter().fold(0, |sum, (_, amount)| sum.saturating_add(*amount))
    }
}

impl Debt {
    fn charge(&mut self, amount: u64, now: Timestamp, memory: Duration) {
        let stretch = memory / STRETCHES;
        match self.charges.back_mut().filter(|newest| now.saturating_since(newest.begun) < stretch) {
            Some(newest) => {
                newest.last = newest.last.max(now);
                newest.amount = newest.amount.saturating_add(amount);
            }
            None => {
                if self.charges.len() > STRETCHES as usize {
                    // It ended a whole memory ago.
                    self.charges.pop_front();
                }
                self.charges.push_back(Charge { begun: now, last: now, amount });
            }
        }
    }

    fn take_back(&mut self, mut amount: u64) {
        while let Some(newest) = self.charges.back_mut().filter(|_| amount > 0) {
            let taken = newest.amount.min(amount);
            newest.amount -= taken;
            amount -= taken;
            if newest.amount == 0 {
                self.charges.pop_back();
            }
        }
    }

    /// What is on its way counts too: it may have to be sent again.
    fn standing(&self) -> Standing {
        let sent = self.sent.as_deref();
        let blocks = self.blocked_until.is_some() || sent.is_some_and(|sent| sent.blocked_until.is_some());
        Standing::Live(u32::from(blocks), self.amount().saturating_add(sent.map_or(0, Sent::amount)))
    }

    fn amount(&self) -> u64 {
        self.charges.iter().fold(0, |sum, charge| sum.saturating_add(charge.amount))
    }

    fn is_empty(&self) -> bool {
        self.charges.is_empty() && self.blocked_until.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: Duration = Duration::from_secs(8);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(1_000_000_000 + 1_000 * millis)
    }

    #[test]
    fn what_is_kept_of_a_key_is_bounded_and_loses_nothing_that_counts() {
        let mut debt = Debt::default();
        for step in 0..10_000 {
            debt.charge(1, at(10 * step), MEMORY);
            assert!(debt.charges.len() <= 9);
            let counts = (step + 1).min(800);
            assert!(debt.amount() >= counts && debt.amount() <= counts + 100, "{} {counts}", debt.amount());
        }
        debt.take_back(250);
        assert!(debt.amount() >= 550);
        debt.take_back(u64::MAX);
        assert!(debt.is_empty());
    }

    #[test]
    fn keys_are_bounded() {
        let debts = Debts::new(100);
        for key in 0..10_000 {
            debts.charge(&format!("key-{key}"), 1, at(key), MEMORY);
        }
        assert!(debts.keys().len() <= 100);
        assert_eq!(debts.forgotten() + debts.keys().len() as u64, 10_000);
    }

    #[test]
    fn what_is_on_its_way_is_not_forgotten_before_smaller_debts() {
        let debts = Debts::new(20);
        debts.charge("large", 1_000, at(0), MEMORY);
        debts.block("blocked", at(60_000));
        // Neither gets an answer.
        for key in ["large", "blocked"] {
            drop(debts.send(key).unwrap());
        }
        for key in 0..1_000 {
            debts.charge(&format!("key-{key}"), 1, at(key), MEMORY);
        }
        assert_eq!(debts.send("large").unwrap().ages(at(0)), vec![(Duration::ZERO, 1_000)]);
        assert!(debts.send("blocked").is_some());
    }

    #[test]
    fn a_debit_without_an_answer_is_sent_again_as_it_was() {
        let debts = Debts::new(100);
        assert!(debts.charge("key", 3, at(0), MEMORY) && !debts.charge("key", 2, at(10), MEMORY));
        let first = debts.send("key").unwrap();
        assert!(debts.send("key").is_none(), "somebody is sending it");
        debts.charge("key", 7, at(20), MEMORY);
        drop(first);
        let again = debts.send("key").unwrap();
        assert_eq!((again.sent.number, again.ages(at(110))), (1, vec![(Duration::from_millis(100), 5)]));
        again.charged();
        let second = debts.send("key").unwrap();
        assert_eq!((second.sent.number, second.ages(at(20))), (2, vec![(Duration::ZERO, 7)]));
        second.charged();
        assert!(debts.send("key").is_none() && debts.keys().is_empty() && !debts.is_any());
    }
}
