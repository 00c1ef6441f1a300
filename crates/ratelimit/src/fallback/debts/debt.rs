//! The debts of one key.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::sending::{Attempt, Sent};
use crate::Timestamp;
use crate::store::Standing;

/// What Redis has to be told of a key.
#[derive(Default)]
pub(super) struct Debt {
    charges: VecDeque<Charge>,
    pub(super) block: Option<BlockDebt>,
    /// What was sent and has no answer yet: it is repeated as it was, so that Redis knows it again.
    pub(super) sent: Option<Arc<Sent>>,
    /// Somebody who is sending that.
    pub(super) attempt: Option<Arc<Attempt>>,
}

/// A block that began here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockDebt {
    pub(super) until: Timestamp,
    /// When somebody set it. It then replaces what was blocked before, whether that is longer or not; at [`Timestamp::MAX`] what
    /// was blocked at any time.
    pub(super) by_hand: Option<Timestamp>,
}

/// What was admitted in a stretch of time; counted as admitted at its end.
#[derive(Clone, Copy, Debug)]
struct Charge {
    begun: Timestamp,
    last: Timestamp,
    amount: u64,
}

/// Into so many stretches the time is cut that a charge counts, so a key has no more than one more of them.
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

    /// It ended a whole memory ago, unless that has grown with the quota: then it counts with the one after it.
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

    /// Takes in a block that a refusal began: it comes on top of one by hand.
    pub(super) fn block(&mut self, until: Timestamp) {
        let block = self.block.get_or_insert(BlockDebt { until, by_hand: None });
        block.until = block.until.max(until);
    }

    /// Takes in that somebody blocked the key, in place of what is owed of earlier blocks.
    pub(super) fn block_by_hand(&mut self, set: Timestamp, until: Timestamp) {
        // An earlier one may have been sent, and arrive after this was set.
        let set = if self.forget_block() { Timestamp::MAX } else { set };
        self.block = Some(BlockDebt { until, by_hand: Some(set) });
    }

    /// Forgets the block, also where it was sent and has no answer: what it is repeated without has run or is out of date.
    /// Answers whether there was one.
    pub(super) fn forget_block(&mut self) -> bool {
        let mut was_owed = self.block.take().is_some();
        if let Some(sent) = self.sent.take_if(|sent| sent.block.is_some()) {
            self.sent = Some(Arc::new(Sent { number: sent.number, charges: sent.charges.clone(), block: None }));
            was_owed = true;
        }
        was_owed
    }

    /// What is to be sent, under the number that `next` gives where it is not on its way already; none where nothing is owed.
    pub(super) fn send(&mut self, next: impl FnOnce() -> u64) -> Option<Arc<Sent>> {
        if self.sent.is_none() && !self.is_settled() {
            let charges = self.charges.drain(..).map(|charge| (charge.last, charge.amount)).collect();
            self.sent = Some(Arc::new(Sent { number: next(), charges, block: self.block.take() }));
        }
        self.sent.clone()
    }

    /// Forgets all but that somebody is sending.
    pub(super) fn forget(&mut self) {
        *self = Self { attempt: self.attempt.take(), ..Self::default() };
    }

    /// What is on its way counts too: it may have to be sent again.
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
        // The one before is not repeated.
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
