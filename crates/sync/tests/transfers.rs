//! Random postings over partitions, with processes that die between the steps: money is neither
//! created nor destroyed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it is surprised")]

mod support;

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::sync::Arc;

use proptest::prelude::*;
use support::eventful::{Event, Eventful};
use support::{Bench, Store, ledger_id};
use tidegate_sync::{Entry, Ledger, LedgerError};

const ACCOUNTS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const OPENED: u64 = 50;

/// An order of a process that may die at any of its three steps.
#[derive(Clone, Debug)]
struct Order {
    kind: Kind,
    amount: u64,
    /// Events during its steps: debit, credit, settlement.
    events: Vec<Event>,
    /// Whether the process returns and repeats the order.
    comes_back: bool,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Deposit(usize),
    Withdrawal(usize),
    Transfer(usize, usize),
    /// To an account that does not exist.
    Lost(usize),
    /// Another process completes the transfers in transit.
    Sweep,
}

fn orders() -> impl Strategy<Value = Vec<Order>> {
    let account = || 0..ACCOUNTS.len();
    let kind = prop_oneof![
        1 => account().prop_map(Kind::Deposit),
        1 => account().prop_map(Kind::Withdrawal),
        6 => (account(), account()).prop_map(|(from, to)| Kind::Transfer(from, to)),
        1 => account().prop_map(Kind::Lost),
        1 => Just(Kind::Sweep),
    ];
    let event = prop_oneof![3 => Just(Event::None), 1 => Just(Event::Lost), 1 => Just(Event::ReplyLost)];
    let order = (kind, 1..80_u64, prop::collection::vec(event, 0..4), any::<bool>())
        .prop_map(|(kind, amount, events, comes_back)| Order { kind, amount, events, comes_back });
    prop::collection::vec(order, 1..40)
}

struct Model {
    store: Arc<dyn Store>,
    partitions: NonZeroU16,
    deposited: u128,
    withdrawn: u128,
}

impl Model {
    fn ledger(&self, events: Vec<Event>) -> Ledger {
        Ledger::new(Eventful::new(self.store.clone(), events), "points").partitions(self.partitions)
    }

    async fn play(&mut self, nth: usize, order: &Order) {
        let (id, amount) = (nth.to_string(), order.amount);
        let entry = match order.kind {
            Kind::Deposit(to) => Entry::deposit(id, ACCOUNTS[to], amount),
            Kind::Withdrawal(from) => Entry::withdrawal(id, ACCOUNTS[from], amount),
            Kind::Transfer(from, to) => Entry::transfer(id, ACCOUNTS[from], ACCOUNTS[to], amount),
            Kind::Lost(from) => Entry::transfer(id, ACCOUNTS[from], "nobody", amount),
            Kind::Sweep => {
                drop(self.ledger(order.events.clone()).complete_transfers(amount.try_into().unwrap()).await);
                return;
            }
        };
        let mut answer = self.ledger(order.events.clone()).post(entry.clone()).await;
        if order.comes_back && matches!(answer, Err(LedgerError::Store(_))) {
            answer = self.ledger(Vec::new()).post(entry).await;
        }
        if let Err(error) = &answer {
            let is_expected = matches!(
                error,
                LedgerError::Store(_)
                    | LedgerError::Overdrawn { .. }
                    | LedgerError::SameAccount { .. }
                    | LedgerError::Unknown { .. }
            );
            assert!(is_expected, "{error:?}");
            assert!(!order.comes_back || !matches!(error, LedgerError::Store(_)), "{error:?}");
        }
    }

    /// Every deposited amount is in an account, withdrawn or in transit.
    async fn check(&mut self) -> BTreeMap<&'static str, u64> {
        let ledger = self.ledger(Vec::new());
        let balances = ledger.balances(&ACCOUNTS).await.unwrap();
        let balances: BTreeMap<_, _> = ACCOUNTS.into_iter().zip(balances.into_iter().map(Option::unwrap)).collect();
        let totals = ledger.totals().await.unwrap();
        let sum = i128::from(balances.values().sum::<u64>());
        assert!(totals.in_transit >= 0);
        assert_eq!(sum + totals.in_transit, i128::try_from(totals.deposited - totals.withdrawn).unwrap());
        assert!(totals.deposited >= self.deposited && totals.withdrawn >= self.withdrawn);
        (self.deposited, self.withdrawn) = (totals.deposited, totals.withdrawn);
        balances
    }
}

async fn play(store: Arc<dyn Store>, partitions: u16, orders: &[Order]) {
    let partitions = NonZeroU16::new(partitions).unwrap();
    let mut model = Model { store, partitions, deposited: 0, withdrawn: 0 };
    let ledger = model.ledger(Vec::new());
    for name in ACCOUNTS {
        ledger.deposit(&format!("open-{name}"), name, OPENED).await.unwrap();
    }
    for (nth, order) in orders.iter().enumerate() {
        model.play(nth, order).await;
        model.check().await;
    }
    ledger.complete_transfers(1_000).await.unwrap();
    let balances = model.check().await;
    assert_eq!(ledger.totals().await.unwrap().in_transit, 0);

    // The balances are those of the completed orders: each was executed as a whole, and once.
    let mut expected: BTreeMap<_, _> = ACCOUNTS.into_iter().map(|name| (name, i128::from(OPENED))).collect();
    let place = ledger_id("points", partitions);
    for (nth, order) in orders.iter().enumerate() {
        let (from, to) = match order.kind {
            Kind::Deposit(to) => (None, Some(ACCOUNTS[to])),
            Kind::Withdrawal(from) => (Some(ACCOUNTS[from]), None),
            Kind::Transfer(from, to) => (Some(ACCOUNTS[from]), Some(ACCOUNTS[to])),
            Kind::Lost(from) => (Some(ACCOUNTS[from]), None),
            Kind::Sweep => continue,
        };
        let partition = place.partition_of(from.or(to).unwrap());
        let read = model.store.read(&place, partition, &[], Some(&nth.to_string())).await.unwrap();
        if read.posted.is_some() {
            assert!(!matches!(order.kind, Kind::Lost(_)), "it has returned");
            for (name, amount) in [(from, -i128::from(order.amount)), (to, i128::from(order.amount))] {
                if let Some(name) = name {
                    *expected.get_mut(name).unwrap() += amount;
                }
            }
        }
    }
    let balances: BTreeMap<_, _> = balances.into_iter().map(|(name, balance)| (name, i128::from(balance))).collect();
    assert_eq!(balances, expected);
    for name in ACCOUNTS {
        assert_eq!(ledger.account(name).await.unwrap().unwrap().in_transit, 0);
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn dying_processes_neither_create_nor_destroy_money(orders in orders(), partitions in 1..5_u16) {
        runtime().block_on(play(Bench::memory().store, partitions, &orders));
    }
}

#[cfg(feature = "redis")]
mod on_redis {
    use proptest::test_runner::{Config, TestRunner};

    use super::*;

    #[test]
    fn dying_processes_neither_create_nor_destroy_money_on_redis() {
        let runtime = runtime();
        let bench = runtime.block_on(Bench::redis());
        let mut runner = TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
        let cases = (orders(), 1..5_u16);
        runner
            .run(&cases, |(orders, partitions)| {
                runtime.block_on(async {
                    bench.clear().await;
                    play(bench.store.clone(), partitions, &orders).await;
                });
                Ok(())
            })
            .unwrap();
    }
}
