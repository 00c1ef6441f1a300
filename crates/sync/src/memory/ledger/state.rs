//! One partition of a ledger in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::error::MAX_QUANTITY;
use crate::fence::Fence;
use crate::ledger::{
    Account, Credit, Credited, InTransit, PartitionTotals, Posted, Posting, Settlement, Snapshot, TransitPage, Version,
};

/// Maximum number of old ids that each posting removes.
const FORGET: usize = 10;

struct Remembered {
    fingerprint: String,
    answer: Posted,
    until: u64,
}

#[derive(Default)]
pub(super) struct State {
    accounts: HashMap<String, Account>,
    posted: HashMap<String, Remembered>,
    forget: BTreeSet<(u64, String)>,
    fence: Option<Fence>,
    last_number: u64,
    transit: BTreeMap<u64, InTransit>,
    /// Ended credits of each source, and the number below which all have ended.
    credits: HashMap<u16, (BTreeMap<u64, Credited>, u64)>,
    totals: PartitionTotals,
}

/// The account after a posting.
fn posted(account: Account, balance: u64, now: u64) -> Account {
    Account { balance, version: Version::new(now.max(account.version.get() + 1)), ..account }
}

/// Whether an amount fits. The amount in transit may return.
fn has_room(account: &Account, amount: u64) -> bool {
    account.balance + account.in_transit <= MAX_QUANTITY - amount
}

impl State {
    fn forget(&mut self, now: u64) {
        for _ in 0..FORGET {
            if self.forget.first().is_none_or(|(at, _)| *at > now) {
                return;
            }
            if let Some((_, id)) = self.forget.pop_first()
                && self.posted.get(&id).is_some_and(|posted| posted.until <= now)
            {
                self.posted.remove(&id);
            }
        }
    }

    fn remembered(&self, id: &str, now: u64) -> Option<&Remembered> {
        self.posted.get(id).filter(|posted| posted.until > now)
    }

    fn lowest(&self) -> u64 {
        self.transit.keys().next().copied().unwrap_or(0)
    }

    pub(super) fn post(&mut self, posting: &Posting<'_>, target: Option<u16>, now: u64, horizon: u64) -> Posted {
        self.forget(now);
        let fingerprint = posting.fingerprint();
        if let Some(before) = self.remembered(posting.id, now) {
            return match before.answer {
                _ if before.fingerprint != fingerprint => Posted::Reused,
                Posted::InTransit { from, number, .. } => Posted::InTransit { from, number, lowest: self.lowest() },
                answer => answer,
            };
        }
        let answer = self.post_anew(posting, target, now);
        if let Posted::Done { .. } | Posted::InTransit { .. } = answer {
            let until = now + horizon;
            self.posted.insert(posting.id.to_owned(), Remembered { fingerprint, answer, until });
            self.forget.insert((until, posting.id.to_owned()));
        }
        answer
    }

    fn post_anew(&mut self, posting: &Posting<'_>, target: Option<u16>, now: u64) -> Posted {
        match (posting.fence, self.fence) {
            (Some(token), Some(highest)) if token < highest => return Posted::Fenced { highest },
            (Some(token), _) => self.fence = Some(token),
            (None, _) => {}
        }
        let amount = posting.amount;
        let from = match posting.from.map(|name| self.accounts.get(name).copied()) {
            Some(None) => return Posted::UnknownFrom,
            found => found.flatten(),
        };
        // This partition does not know the accounts of others.
        let to_name = posting.to.filter(|_| target.is_none());
        let to = match to_name.map(|name| self.accounts.get(name).copied()) {
            Some(None) if posting.from.is_some() || posting.expected.is_some() => return Posted::UnknownTo,
            Some(None) => Some(Account { balance: 0, version: Version::new(0), in_transit: 0 }),
            found => found.flatten(),
        };
        if let (Some(expected), Some(current)) = (posting.expected, from.or(to))
            && current.version != expected
        {
            return Posted::Conflict { current };
        }
        if let Some(Account { balance, .. }) = from.filter(|from| from.balance < amount) {
            return Posted::Overdrawn { balance };
        }
        if to.is_some_and(|to| !has_room(&to, amount)) {
            return Posted::TooLarge;
        }
        let mut from = from.map(|from| posted(from, from.balance - amount, now));
        let to = to.map(|to| posted(to, to.balance + amount, now));
        let balance = |account: Option<Account>| account.map_or(0, |account| account.balance);
        let answer = match (target, &mut from) {
            (Some(target), Some(from)) => {
                from.in_transit += amount;
                let number = now.max(self.last_number + 1);
                self.last_number = number;
                self.totals.sent += u128::from(amount);
                let [giver, taker] = [posting.from, posting.to].map(|name| name.unwrap_or_default().to_owned());
                let id = posting.id.to_owned();
                self.transit.insert(number, InTransit { number, target, id, from: giver, to: taker, amount });
                Posted::InTransit { from: from.balance, number, lowest: self.lowest() }
            }
            (_, None) => {
                self.totals.deposited += u128::from(amount);
                Posted::Done { from: 0, to: balance(to) }
            }
            (None, Some(from)) => {
                if to.is_none() {
                    self.totals.withdrawn += u128::from(amount);
                }
                Posted::Done { from: from.balance, to: balance(to) }
            }
        };
        for (name, account) in [(posting.from, from), (to_name, to)] {
            if let (Some(name), Some(account)) = (name, account) {
                self.accounts.insert(name.to_owned(), account);
            }
        }
        answer
    }

    pub(super) fn credit(&mut self, credit: &Credit<'_>, now: u64) -> Credited {
        let (ended, mark) = self.credits.entry(credit.source).or_default();
        let known = *mark;
        *mark = known.max(credit.lowest);
        *ended = ended.split_off(&known);
        if credit.number < known {
            return Credited::Before;
        }
        if let Some(credited) = ended.get(&credit.number) {
            return *credited;
        }
        let credited = match self.accounts.get_mut(credit.to) {
            None => Credited::UnknownTo,
            Some(account) if !has_room(account, credit.amount) => Credited::TooLarge,
            Some(account) => {
                *account = posted(*account, account.balance + credit.amount, now);
                self.totals.received += u128::from(credit.amount);
                Credited::Done { to: account.balance }
            }
        };
        ended.insert(credit.number, credited);
        credited
    }

    pub(super) fn settle(&mut self, settlement: Settlement, now: u64) -> bool {
        let Some(transfer) = self.transit.remove(&settlement.number) else { return false };
        let returned = matches!(settlement.credited, Credited::UnknownTo | Credited::TooLarge);
        if let Some(account) = self.accounts.get_mut(&transfer.from) {
            account.in_transit -= transfer.amount;
            if returned {
                *account = posted(*account, account.balance + transfer.amount, now);
                self.totals.received += u128::from(transfer.amount);
            }
        }
        let is_its_own = |posted: &&mut Remembered| matches!(posted.answer, Posted::InTransit { number, .. } if number == settlement.number);
        if let Some(posted) = self.posted.get_mut(&transfer.id).filter(is_its_own)
            && let Posted::InTransit { from, .. } = posted.answer
        {
            let to = if let Credited::Done { to } = settlement.credited { to } else { 0 };
            posted.answer = Posted::Done { from, to };
            if returned {
                posted.until = 0;
            }
        }
        true
    }

    pub(super) fn in_transit(&self, after: u64, limit: u32) -> TransitPage {
        let limit = limit as usize;
        let transfers: Vec<_> = self.transit.range(after + 1..).take(limit).map(|(_, one)| one.clone()).collect();
        let next = transfers.last().filter(|_| transfers.len() == limit).map(|last| last.number);
        TransitPage { transfers, next }
    }

    pub(super) fn read(&self, accounts: &[&str], id: Option<&str>, now: u64) -> Snapshot {
        let posted = id.and_then(|id| self.remembered(id, now)).map(|posted| {
            let (from, to) = match posted.answer {
                Posted::Done { from, to } => (from, to),
                Posted::InTransit { from, .. } => (from, 0),
                _ => (0, 0),
            };
            (posted.fingerprint.clone(), from, to)
        });
        let accounts = accounts.iter().map(|name| self.accounts.get(*name).copied()).collect();
        Snapshot { accounts, posted, totals: self.totals }
    }
}
