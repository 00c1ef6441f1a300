//! The debts of one key.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::sending::{Attempt, Sent};
use crate::Timestamp;
use crate::store::Standing;

/// Charges and a block that must be sent to Redis for a key.
#[derive(Default)]
pub(super) struct Debt {
    charges: VecDeque<Charge>,
    pub(super) block: Option<BlockDebt>,
    /// Debit that was sent without a reply. It is repeated unchanged, so that Redis recognises it.
    pub(super) sent: Option<Arc<Sent>>,
    /// The running attempt to send it.
    pub(super) attempt: Option<Arc<Attempt>>,
}

/// A block that began in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockDebt {
    pub(super) until: Timestamp,
    /// Time of a manual block. It replaces every block from before that time, even a longer one.
    /// [`Timestamp::MAX`] replaces blocks from any time.
    pub(super) by_hand: Option<Timestamp>,
}

/// An amount that was admitted during one interval. It counts from the interval's end.
#[derive(Clone, Copy, Debug)]
struct Charge {
    begun: Timestamp,
    last: Timestamp,
    amount: u64,
}

/// Number of intervals per lifetime of a charge. A key has at most one more.
const STRETCHES: u32 = 8;

impl Debt {
    pub(super) fn charge(&mut self, amount: u64, now: Timestamp, memory: Duration) {
        let stretch = memory / STRETCHES;
        match self.charges.back_mut().filter(|newest| now.saturating_since(newest.begun) < stretch) {
            Some(newest) => {
                newest.last = newest.last.max(now);
                newest.amount = newest.amount.saturating_add(amount);
            }
            None => {
                if self.charges.len() > STRETCHES as usize {
                    self.forget_oldest(now, memory);
                }
                self.charges.push_back(Charge { begun: now, last: now, amount });
            }
        }
    }

    /// Removes the oldest charge, which ended a whole lifetime ago. If the lifetime has grown with
    /// the quota, its amount is added to the next charge instead.
    fn forget_oldest(&mut self, now: Timestamp, memory: Duration) {
        let oldest = self.charges.pop_front().filter(|oldest| now.saturating_since(oldest.last) < memory);
        if let (Some(oldest), Some(next)) = (oldest, self.charges.front_mut()) {
            next.amount = next.amount.saturating_add(oldest.amount);
        }
    }

    pub(super) fn take_back(&mut self, mut amount: u64) {
        while let Some(newest) = self.charges.back_mut().filter(|_| amount > 0) {
            let taken = newest.amount.min(amount);
            newest.amount -= taken;
            amount -= taken;
            if newest.amount == 0 {
                self.charges.pop_back();
            }
        }
    }

    /// Adds a block that a refusal began. It extends a manual one.
    pub(super) fn block(&mut self, until: Timestamp) {
        let block = self.block.get_or_insert(BlockDebt { until, by_hand: None });
        block.until = block.until.max(until);
    }

    /// Adds a manual block, which replaces the debts of earlier blocks.
    pub(super) fn block_by_hand(&mut self, set: Timestamp, until: Timestamp) {
        // An earlier block may have been sent, and arrive after this one was set.
        let set = if self.forget_block() { Timestamp::MAX } else { set };
        self.block = Some(BlockDebt { until, by_hand: Some(set) });
    }

    /// Removes the block, even if it was sent without a reply: either it has been executed, or it
    /// is obsolete. Returns whether there was one.
    pub(super) fn forget_block(&mut self) -> bool {
        let mut was_owed = self.block.take().is_some();
        if let Some(sent) = self.sent.take_if(|sent| sent.block.is_some()) {
            self.sent = Some(Arc::new(Sent { number: sent.number, charges: sent.charges.clone(), block: None }));
            was_owed = true;
        }
        was_owed
    }

    /// The debit to send. A new one gets its number from `next`. `None` if nothing is owed.
    pub(super) fn send(&mut self, next: impl FnOnce() -> u64) -> Option<Arc<Sent>> {
        if self.sent.is_none() && !self.is_settled() {
            let charges = self.charges.drain(..).map(|charge| (charge.last, charge.amount)).collect();
            self.sent = Some(Arc::new(Sent { number: next(), charges, block: self.block.take() }));
        }
        self.sent.clone()
    }

    /// Removes everything except the running attempt.
    pub(super) fn forget(&mut self) {
        *self = Self { attempt: self.attempt.take(), ..Self::default() };
    }

    /// A debit that was sent counts too, because it may have to be repeated.
    pub(super) fn standing(&self) -> Standing {
        let sent = self.sent.as_deref();
        let blocks = self.block.is_some() || sent.is_some_and(|sent| sent.block.is_some());
        Standing::Live(u32::from(blocks), self.amount().saturating_add(sent.map_or(0, Sent::amount)))
    }

    fn amount(&self) -> u64 {
        self.charges.iter().fold(0, |sum, charge| sum.saturating_add(charge.amount))
    }

    pub(super) fn is_settled(&self) -> bool {
        self.charges.is_empty() && self.block.is_none() && self.sent.is_none()
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
    fn a_block_by_hand_stands_in_place_of_an_earlier_one() {
        let mut debt = Debt::default();
        debt.block(at(60_000));
        debt.block(at(50_000));
        assert_eq!(debt.block, Some(BlockDebt { until: at(60_000), by_hand: None }));
        debt.charge(1, at(0), MEMORY);
        let sent = debt.send(|| 1).unwrap();
        debt.block_by_hand(at(10), at(20));
        assert_eq!(
            debt.block,
            Some(BlockDebt { until: at(20), by_hand: Some(Timestamp::MAX) }),
            "that may arrive later"
        );
        // The earlier block is not repeated.
        let again = debt.send(|| 2).unwrap();
        assert_eq!((again.number, again.amount(), again.block), (1, sent.amount(), None));
        assert!(debt.forget_block() && !debt.forget_block());
        debt.block_by_hand(at(10), at(20));
        debt.block(at(30));
        assert_eq!(debt.block, Some(BlockDebt { until: at(30), by_hand: Some(at(10)) }));
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
        assert!(debt.is_settled());
    }

    #[test]
    fn a_memory_that_has_grown_loses_no_charge() {
        let mut debt = Debt::default();
        for step in 0..9 {
            debt.charge(1, at(1_000 * step), MEMORY);
        }
        debt.charge(1, at(120_000), 100 * MEMORY);
        assert_eq!((debt.amount(), debt.charges.len()), (10, 9));
    }
}
