//! Ledgers in memory: implements the scripts of a ledger in Rust.

pub(super) mod partitions;
mod state;

use async_trait::async_trait;

use self::partitions::Partitions;
use self::state::State;
use super::{MemoryStore, lock};
use crate::clock::micros;
use crate::error::StoreError;
use crate::ledger::{Credit, Credited, LedgerId, LedgerStore, Posted, Posting, Settlement, Snapshot, TransitPage};

impl MemoryStore {
    /// Takes a step on one partition.
    fn on_partition<T>(
        &self,
        doing: &'static str,
        ledger: &LedgerId,
        partition: u16,
        step: impl FnOnce(&mut State, u64) -> T,
    ) -> Result<T, StoreError> {
        let mut ledgers = lock(&self.ledgers);
        let partitions = ledgers.entry(ledger.name.clone()).or_insert_with(|| Partitions::new(ledger.partitions));
        let state = partitions.state(partition, ledger.partitions);
        Ok(step(state.map_err(|error| StoreError::new(doing, error))?, self.now()))
    }
}

#[async_trait]
impl LedgerStore for MemoryStore {
    async fn post_all(
        &self,
        ledger: &LedgerId,
        partition: u16,
        postings: &[Posting<'_>],
    ) -> Result<Vec<Posted>, StoreError> {
        self.on_partition("posting", ledger, partition, |state, now| {
            let post = |posting: &Posting<'_>| state.post(posting, posting.target(ledger), now, micros(ledger.horizon));
            postings.iter().map(post).collect()
        })
    }

    async fn credit(
        &self,
        ledger: &LedgerId,
        partition: u16,
        credits: &[Credit<'_>],
    ) -> Result<Vec<Credited>, StoreError> {
        self.on_partition("crediting", ledger, partition, |state, now| {
            credits.iter().map(|credit| state.credit(credit, now)).collect()
        })
    }

    async fn settle(
        &self,
        ledger: &LedgerId,
        partition: u16,
        settlements: &[Settlement],
    ) -> Result<Vec<bool>, StoreError> {
        self.on_partition("settling transfers", ledger, partition, |state, now| {
            settlements.iter().map(|settlement| state.settle(*settlement, now)).collect()
        })
    }

    async fn in_transit(
        &self,
        ledger: &LedgerId,
        partition: u16,
        after: u64,
        limit: u32,
    ) -> Result<TransitPage, StoreError> {
        self.on_partition("reading transfers", ledger, partition, |state, _| state.in_transit(after, limit))
    }

    async fn read(
        &self,
        ledger: &LedgerId,
        partition: u16,
        accounts: &[&str],
        id: Option<&str>,
    ) -> Result<Snapshot, StoreError> {
        self.on_partition("reading a ledger", ledger, partition, |state, now| state.read(accounts, id, now))
    }
}
