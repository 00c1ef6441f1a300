//! Charges and blocks from an outage that have not been sent to Redis.

mod debt;
mod sending;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use compact_str::CompactString;

use self::debt::Debt;
use self::sending::{Attempt, Sending};
use crate::Timestamp;
use crate::store::Store;

/// The debts of many keys, at most as many as the cap. Above it, the smallest are removed.
pub(super) struct Debts {
    keys: Store<Debt>,
    /// Identifies this limiter among all that share its limits.
    process: String,
    number: AtomicU64,
    any: AtomicBool,
}

pub(super) enum Next<'a> {
    /// There are no debts.
    Nothing,
    /// Another caller is sending the debts.
    Wait(Arc<Attempt>),
    /// The debts must be sent.
    Send(Sending<'a>),
}

impl Debts {
    pub(super) fn new(max_keys: usize) -> Self {
        let process = format!("{:016x}", RandomState::new().hash_one("process"));
        let (number, any) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { keys: Store::new(max_keys), process, number, any }
    }

    /// Whether there may be debts. Costs one atomic load.
    pub(super) fn is_any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Adds an amount that was admitted at `now` and counts for `memory`.
    pub(super) fn charge(&self, key: &str, amount: u64, now: Timestamp, memory: Duration) {
        self.change(key, |debt| debt.charge(amount, now, memory));
    }

    pub(super) fn block(&self, key: &str, until: Timestamp) {
        self.change(key, |debt| debt.block(until));
    }

    /// Adds a manual block, which replaces blocks from before the time `set`.
    pub(super) fn block_by_hand(&self, key: &str, set: Timestamp, until: Timestamp) {
        self.change(key, |debt| debt.block_by_hand(set, until));
    }

    fn change(&self, key: &str, change: impl FnOnce(&mut Debt)) {
        // Nothing is pinned, so there is capacity. A key that is too long was refused before.
        let _ = self.keys.lock(key).with(Debt::standing, Debt::default, change);
        self.any.store(true, Ordering::Release);
    }

    pub(super) fn take_back(&self, key: &str, amount: u64) {
        if let Some((_, debt)) = self.keys.lock(key).get_mut() {
            debt.take_back(amount);
        }
    }

    /// Removes the key's block, for example after an unblock. Returns whether there was one.
    pub(super) fn forget_block(&self, key: &str) -> bool {
        self.keys.lock(key).get_mut().is_some_and(|(_, debt)| debt.forget_block())
    }

    /// Removes all debts of the key. Its requests still wait for a debit that is being sent.
    pub(super) fn forget(&self, key: &str) {
        let mut place = self.keys.lock(key);
        let Some((_, debt)) = place.get_mut() else { return };
        debt.forget();
        if debt.attempt.is_none() {
            place.remove();
        }
    }

    /// All keys with debts. If there are none, [`is_any`](Self::is_any) becomes `false`.
    pub(super) fn keys(&self) -> Vec<CompactString> {
        let keys = self.keys.keys();
        if !keys.is_empty() {
            return keys;
        }
        self.any.store(false, Ordering::Release);
        // A debt may have been added in between.
        let keys = self.keys.keys();
        if !keys.is_empty() {
            self.any.store(true, Ordering::Release);
        }
        keys
    }

    /// Number of live debts that were evicted at the cap.
    pub(super) fn forgotten(&self) -> u64 {
        self.keys.stats(|_| (0, false)).evicted_live
    }

    pub(super) fn send<'a>(&'a self, key: &'a str) -> Next<'a> {
        let mut place = self.keys.lock(key);
        let Some((_, debt)) = place.get_mut() else { return Next::Nothing };
        if let Some(attempt) = &debt.attempt {
            return Next::Wait(attempt.clone());
        }
        let Some(sent) = debt.send(|| self.number.fetch_add(1, Ordering::Relaxed) + 1) else {
            // The whole amount was refunded.
            place.remove();
            return Next::Nothing;
        };
        let attempt = Arc::new(Attempt::new());
        debt.attempt = Some(attempt.clone());
        Next::Send(Sending { debts: self, key, sent, attempt, is_charged: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: Duration = Duration::from_secs(8);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(1_000_000_000 + 1_000 * millis)
    }

    fn sending<'a>(debts: &'a Debts, key: &'a str) -> Option<Sending<'a>> {
        match debts.send(key) {
            Next::Send(sending) => Some(sending),
            Next::Nothing | Next::Wait(_) => None,
        }
    }

    #[tokio::test]
    async fn who_comes_second_waits_for_the_one_that_settles() {
        let debts = Debts::new(100);
        for (ends, goes_on) in [("charged", true), ("failed", false), ("dropped", true)] {
            debts.charge("key", 3, at(0), MEMORY);
            let first = sending(&debts, "key").unwrap();
            let Next::Wait(attempt) = debts.send("key") else { panic!("somebody is sending it") };
            let mut second = std::pin::pin!(attempt.ended());
            let waits =
                std::future::poll_fn(|context| std::task::Poll::Ready(second.as_mut().poll(context).is_pending()));
            assert!(waits.await);
            match ends {
                "charged" => first.charged(),
                "failed" => first.failed(),
                _ => drop(first),
            }
            assert_eq!(second.await, goes_on, "{ends}");
        }
    }

    #[test]
    fn what_is_forgotten_is_not_sent_again_but_waited_for() {
        let debts = Debts::new(100);
        debts.charge("key", 3, at(0), MEMORY);
        let first = sending(&debts, "key").unwrap();
        debts.forget("key");
        assert!(matches!(debts.send("key"), Next::Wait(_)), "it may arrive yet");
        drop(first);
        assert!(matches!(debts.send("key"), Next::Nothing) && debts.keys().is_empty());
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
        // Neither gets a reply.
        for key in ["large", "blocked"] {
            drop(sending(&debts, key).unwrap());
        }
        for key in 0..1_000 {
            debts.charge(&format!("key-{key}"), 1, at(key), MEMORY);
        }
        assert_eq!(sending(&debts, "large").unwrap().ages(at(0)), vec![(Duration::ZERO, 1_000)]);
        assert!(sending(&debts, "blocked").is_some());
    }

    #[test]
    fn a_debit_without_an_answer_is_sent_again_as_it_was() {
        let debts = Debts::new(100);
        assert!(!debts.is_any());
        debts.charge("key", 3, at(0), MEMORY);
        debts.charge("key", 2, at(10), MEMORY);
        assert!(debts.is_any());
        let first = sending(&debts, "key").unwrap();
        assert!(matches!(debts.send("key"), Next::Wait(_)), "somebody is sending it");
        debts.charge("key", 7, at(20), MEMORY);
        drop(first);
        let again = sending(&debts, "key").unwrap();
        assert_eq!((again.sent.number, again.ages(at(110))), (1, vec![(Duration::from_millis(100), 5)]));
        again.charged();
        let second = sending(&debts, "key").unwrap();
        assert_eq!((second.sent.number, second.ages(at(20))), (2, vec![(Duration::ZERO, 7)]));
        second.charged();
        assert!(sending(&debts, "key").is_none() && debts.keys().is_empty() && !debts.is_any());
    }
}
