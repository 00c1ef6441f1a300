//! Ledgers in process: what `ledger_post.lua` does, in Rust.

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;

use super::{MemoryStore, lock};
use crate::clock::micros;
use crate::error::{MAX_QUANTITY, StoreError};
use crate::fence::Fence;
use crate::ledger::{LedgerId, LedgerStore, Posted, Posting};

/// So many old ids go with each posting.
const FORGET: usize = 10;

#[derive(Default)]
pub(super) struct State {
    accounts: HashMap<String, u64>,
    posted: HashMap<String, (String, Posted)>,
    forget: BTreeSet<(u64, String)>,
    fence: Option<Fence>,
}

impl State {
    fn forget(&mut self, now: u64) {
        for _ in 0..FORGET {
            if self.forget.first().is_none_or(|(at, _)| *at > now) {
                return;
            }
            if let Some((_, id)) = self.forget.pop_first() {
                self.posted.remove(&id);
            }
        }
    }

    fn post(&mut self, posting: &Posting<'_>, now: u64, horizon: u64) -> Posted {
        self.forget(now);
        let fingerprint = posting.fingerprint();
        if let Some((before, answer)) = self.posted.get(posting.id) {
            return if *before == fingerprint { *answer } else { Posted::Reused };
        }
        match (posting.fence, self.fence) {
            (Some(token), Some(highest)) if token < highest => return Posted::Fenced { highest },
            (Some(token), _) => self.fence = Some(token),
            (None, _) => {}
        }
        let from = match posting.from.map(|name| self.accounts.get(name).copied()) {
            Some(None) => return Posted::UnknownFrom,
            Some(balance) => balance,
            None => None,
        };
        let to = match posting.to.map(|name| self.accounts.get(name).copied()) {
            Some(None) if posting.from.is_some() => return Posted::UnknownTo,
            Some(balance) => Some(balance.unwrap_or(0)),
            None => None,
        };
        if let Some(balance) = from.filter(|balance| *balance < posting.amount) {
            return Posted::Overdrawn { balance };
        }
        if to.is_some_and(|balance| balance + posting.amount > MAX_QUANTITY) {
            return Posted::TooLarge;
        }
        let (from, to) = (from.map(|balance| balance - posting.amount), to.map(|balance| balance + posting.amount));
        for (name, balance) in [(posting.from, from), (posting.to, to)] {
            if let (Some(name), Some(balance)) = (name, balance) {
                self.accounts.insert(name.to_owned(), balance);
            }
        }
        let done = Posted::Done { from: from.unwrap_or(0), to: to.unwrap_or(0) };
        self.posted.insert(posting.id.to_owned(), (fingerprint, done));
        self.forget.insert((now + horizon, posting.id.to_owned()));
        done
    }
}

#[async_trait]
impl LedgerStore for MemoryStore {
    async fn post(&self, ledger: &LedgerId, posting: Posting<'_>) -> Result<Posted, StoreError> {
        let mut ledgers = lock(&self.ledgers);
        let state = ledgers.entry(ledger.name.clone()).or_default();
        Ok(state.post(&posting, self.now(), micros(ledger.horizon)))
    }

    async fn balances(&self, ledger: &LedgerId, accounts: &[&str]) -> Result<Vec<Option<u64>>, StoreError> {
        let ledgers = lock(&self.ledgers);
        let balance = |name: &&str| ledgers.get(&ledger.name)?.accounts.get(*name).copied();
        Ok(accounts.iter().map(balance).collect())
    }
}
