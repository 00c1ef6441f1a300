//! A debit that is being sent to Redis.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::Debts;
use super::debt::BlockDebt;
use crate::Timestamp;
use crate::redis::Debit;

pub(super) struct Sent {
    pub(super) number: u64,
    pub(super) charges: Vec<(Timestamp, u64)>,
    pub(super) block: Option<BlockDebt>,
}

impl Sent {
    pub(super) fn amount(&self) -> u64 {
        self.charges.iter().fold(0, |sum, (_, amount)| sum.saturating_add(*amount))
    }
}

/// One attempt to send it. Other callers wait until the gate is closed.
pub(in crate::fallback) struct Attempt {
    gate: Semaphore,
    has_failed: AtomicBool,
}

impl Attempt {
    pub(super) fn new() -> Self {
        Self { gate: Semaphore::new(0), has_failed: AtomicBool::new(false) }
    }

    /// Waits for the end of the attempt. Returns whether the remaining debts should be checked
    /// again. `false` if Redis cannot be reached.
    pub(in crate::fallback) async fn ended(&self) -> bool {
        // The semaphore has no permits: this waits until it is closed.
        let _ = self.gate.acquire().await;
        !self.has_failed.load(Ordering::Acquire)
    }
}

/// A debit that is being sent. If it is dropped without a reply, it is sent again unchanged.
pub(in crate::fallback) struct Sending<'a> {
    pub(super) debts: &'a Debts,
    pub(super) key: &'a str,
    pub(super) sent: Arc<Sent>,
    pub(super) attempt: Arc<Attempt>,
    pub(super) is_charged: bool,
}

impl Sending<'_> {
    /// Times since its charges were admitted, as of `now`, with their amounts.
    pub(in crate::fallback) fn ages(&self, now: Timestamp) -> Vec<(Duration, u64)> {
        self.sent.charges.iter().map(|(date, amount)| (now.saturating_since(*date), *amount)).collect()
    }

    /// The debit as of `now`, with the charges in `ages`.
    pub(in crate::fallback) fn debit<'a>(&'a self, ages: &'a [(Duration, u64)], now: Timestamp) -> Debit<'a> {
        let block = self.sent.block.map_or(Duration::ZERO, |block| block.until.saturating_since(now));
        let by_hand = self.sent.block.and_then(|block| block.by_hand).map(|set| now.saturating_since(set));
        Debit { process: &self.debts.process, number: self.sent.number, charges: ages, block, by_hand }
    }

    pub(in crate::fallback) fn charged(mut self) {
        self.is_charged = true;
    }

    pub(in crate::fallback) fn failed(self) {
        self.attempt.has_failed.store(true, Ordering::Release);
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        let mut place = self.debts.keys.lock(self.key);
        // The key may have been removed and added again in the meantime.
        let found = place.get_mut().map(|(_, debt)| debt);
        if let Some(debt) = found.filter(|debt| debt.attempt.as_ref().is_some_and(|it| Arc::ptr_eq(it, &self.attempt)))
        {
            debt.attempt = None;
            if self.is_charged {
                debt.sent.take_if(|sent| sent.number == self.sent.number);
            }
            if debt.is_settled() {
                place.remove();
            }
        }
        self.attempt.gate.close();
    }
}
