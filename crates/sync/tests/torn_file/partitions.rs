//! Every prefix of the scripts of a transfer between partitions.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use tidegate_sync::{
    Credit, Credited, Entry, InTransit, Ledger, LedgerId, LedgerStore, Posted, Posting, RedisStore, Settlement,
};
use tidegate_testkit::redis::RedisServer;

use super::support::{apart, ledger_id};
use super::{Replayed, TornBench};

const FOUR: NonZeroU16 = NonZeroU16::new(4).unwrap();
const OPENED: [u64; 4] = [100, 10, 20, 30];

fn id() -> LedgerId {
    ledger_id("l", FOUR)
}

fn ledger(store: Arc<RedisStore>) -> Ledger {
    Ledger::new(store, "l").partitions(FOUR)
}

/// A ledger with an account in each partition.
async fn open() -> (TornBench, Vec<String>) {
    let bench = TornBench::start(RedisServer::builder()).await;
    let names = apart(FOUR);
    for (name, amount) in names.iter().zip(OPENED) {
        ledger(bench.store.clone()).deposit(&format!("open-{name}"), name, amount).await.unwrap();
    }
    (bench, names)
}

async fn balances(store: &Arc<RedisStore>, names: &[String]) -> Vec<u64> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    ledger(store.clone()).balances(&names).await.unwrap().into_iter().map(Option::unwrap).collect()
}

/// Each amount is in an account or in transit, before and after all transfers were completed.
async fn money_is_whole(store: &Arc<RedisStore>, names: &[String], replayed: &Replayed) {
    for is_completed in [false, true] {
        let ledger = ledger(store.clone());
        if is_completed {
            let completed = ledger.complete_transfers(100).await.unwrap();
            assert_eq!(completed.left, 0, "{}", replayed.effects);
        }
        let totals = ledger.totals().await.unwrap();
        let sum = i128::from(balances(store, names).await.iter().sum::<u64>());
        let expected = i128::try_from(totals.deposited - totals.withdrawn).unwrap();
        assert_eq!(sum + totals.in_transit, expected, "{totals:?} after {}", replayed.effects);
        assert!(totals.in_transit >= 0 && (!is_completed || totals.in_transit == 0), "{}", replayed.effects);
        for name in names {
            let in_transit = ledger.account(name).await.unwrap().unwrap().in_transit;
            assert!(!is_completed || in_transit == 0, "{in_transit} out of {name} after {}", replayed.effects);
        }
    }
}

/// Only the debit.
async fn debit(store: &RedisStore, id: &str, from: &str, to: &str, amount: u64) {
    let posting = Posting { id, from: Some(from), to: Some(to), amount, fence: None, expected: None };
    let posted = store.post(&self::id(), posting).await.unwrap();
    assert!(matches!(posted, Posted::InTransit { .. }), "{posted:?}");
}

/// The transfers in transit out of partition 0.
async fn in_transit(store: &RedisStore) -> Vec<InTransit> {
    store.in_transit(&id(), 0, 0, 100).await.unwrap().transfers
}

async fn credit(store: &RedisStore, transfer: &InTransit, lowest: u64) -> Credited {
    let InTransit { number, target, ref to, amount, .. } = *transfer;
    let credit = Credit { source: 0, number, lowest, to, amount };
    store.credit(&id(), target, &[credit]).await.unwrap()[0]
}

async fn settle(store: &RedisStore, transfer: &InTransit, credited: Credited) {
    let settlement = Settlement { number: transfer.number, credited };
    assert_eq!(store.settle(&id(), 0, &[settlement]).await.unwrap(), [true]);
}

#[tokio::test]
async fn a_torn_debit_neither_creates_nor_destroys_money() {
    let (bench, names) = open().await;
    let names = &names;
    let torn = async |store: Arc<RedisStore>| debit(&store, "torn", &names[0], &names[1], 30).await;
    let other_debit = async |store: Arc<RedisStore>| debit(&store, "next", &names[0], &names[2], 5).await;
    let deposit = async |store: Arc<RedisStore>| {
        ledger(store).deposit("next", &names[0], 5).await.unwrap();
    };
    let holds = async |store: Arc<RedisStore>, replayed: Replayed| {
        money_is_whole(&store, names, &replayed).await;
        // It can be repeated, and moves its amount once.
        let transfer = Entry::transfer("torn", &names[0], &names[1], 30);
        ledger(store.clone()).post(transfer).await.unwrap();
        assert_eq!(balances(&store, names).await[1], 40, "{}", replayed.effects);
        money_is_whole(&store, names, &replayed).await;
    };
    bench.tear(torn, other_debit, holds).await;
    bench.tear(torn, deposit, holds).await;
    bench.tear(deposit, other_debit, async |store, replayed| money_is_whole(&store, names, &replayed).await).await;
}

#[tokio::test]
async fn a_torn_credit_neither_creates_nor_destroys_money() {
    let (bench, names) = open().await;
    let names = &names;
    for (id, amount) in [("1", 30), ("2", 7)] {
        debit(&bench.store, id, &names[0], &names[1], amount).await;
    }
    let nth = |nth: usize| {
        async move |store: Arc<RedisStore>| {
            let transfers = in_transit(&store).await;
            credit(&store, &transfers[nth], transfers[0].number).await;
        }
    };
    let withdraw = async |store: Arc<RedisStore>| {
        ledger(store).withdraw("next", &names[1], 10).await.unwrap();
    };
    let holds = async |store: Arc<RedisStore>, replayed: Replayed| {
        money_is_whole(&store, names, &replayed).await;
        let sum = balances(&store, names).await[1];
        assert!(sum == 47 || sum == 37, "{sum} after {}", replayed.effects);
    };
    bench.tear(nth(0), nth(1), holds).await;
    bench.tear(nth(1), nth(0), holds).await;
    bench.tear(nth(0), withdraw, holds).await;
    bench.tear(withdraw, nth(0), holds).await;
}

/// The source has settled the first transfer. The credit of the third one removes it, or has the
/// next step remove it.
#[tokio::test]
async fn a_credit_whose_forgetting_was_torn_is_taken_once() {
    for is_known_before in [false, true] {
        let (bench, names) = open().await;
        let names = &names;
        for (id, amount) in [("1", 30), ("2", 7), ("3", 3)] {
            debit(&bench.store, id, &names[0], &names[1], amount).await;
        }
        let transfers = in_transit(&bench.store).await;
        let transfers = &transfers;
        let credited = credit(&bench.store, &transfers[0], 0).await;
        settle(&bench.store, &transfers[0], credited).await;
        let lowest = transfers[1].number;
        credit(&bench.store, &transfers[1], if is_known_before { lowest } else { 0 }).await;
        let torn = async |store: Arc<RedisStore>| {
            credit(&store, &transfers[2], lowest).await;
        };
        let next = async |store: Arc<RedisStore>| {
            ledger(store).withdraw("next", &names[1], 10).await.unwrap();
        };
        let holds = async |store: Arc<RedisStore>, replayed: Replayed| {
            // A process that was suspended sends the first again.
            credit(&store, &transfers[0], 0).await;
            money_is_whole(&store, names, &replayed).await;
            let expected = if replayed.is_next_done { 40 } else { 50 };
            assert_eq!(balances(&store, names).await[1], expected, "{}", replayed.effects);
        };
        bench.tear(torn, next, holds).await;
    }
}

#[tokio::test]
async fn a_torn_settlement_neither_creates_nor_destroys_money() {
    let (bench, names) = open().await;
    let names = &names;
    debit(&bench.store, "arrives", &names[0], &names[1], 30).await;
    debit(&bench.store, "returns", &names[0], "nobody-at-all", 7).await;
    let transfers = in_transit(&bench.store).await;
    let transfers = &transfers;
    let arrived = credit(&bench.store, &transfers[0], 0).await;
    assert_eq!(arrived, Credited::Done { to: 40 });
    assert_eq!(credit(&bench.store, &transfers[1], 0).await, Credited::UnknownTo);
    let settle_nth =
        |nth: usize, credited| async move |store: Arc<RedisStore>| settle(&store, &transfers[nth], credited).await;
    let other = async |store: Arc<RedisStore>| debit(&store, "other", &names[0], &names[3], 1).await;
    let holds = async |store: Arc<RedisStore>, replayed: Replayed| {
        money_is_whole(&store, names, &replayed).await;
        // Both can be repeated: one returns its result, and the other is refused again.
        let answer = ledger(store.clone()).post(Entry::transfer("arrives", &names[0], &names[1], 30)).await.unwrap();
        assert_eq!((answer.from, answer.to), (70, 40), "{}", replayed.effects);
        let refused = ledger(store.clone()).post(Entry::transfer("returns", &names[0], "nobody-at-all", 7)).await;
        assert!(refused.is_err(), "{}", replayed.effects);
        money_is_whole(&store, names, &replayed).await;
        assert_eq!(balances(&store, names).await[1], 40, "{}", replayed.effects);
    };
    let (first, second) = (settle_nth(0, arrived), settle_nth(1, Credited::UnknownTo));
    bench.tear(&first, &second, holds).await;
    bench.tear(&second, &first, holds).await;
    bench.tear(&first, other, holds).await;
    bench.tear(&second, other, holds).await;
    // A settled transfer is removed by the step after it.
    first(bench.store.clone()).await;
    bench.tear(other, &second, holds).await;
    bench.tear(&second, other, holds).await;
}

#[tokio::test]
async fn a_torn_batch_neither_creates_nor_destroys_money() {
    let (bench, names) = open().await;
    let names = &names;
    bench.advance(Duration::from_secs(60)).await;
    let batch = |name: &'static str| {
        async move |store: Arc<RedisStore>| {
            let entry = |nth: usize| Entry::transfer(format!("{name}-{nth}"), &names[0], &names[nth % 4], 1);
            let entries: Vec<_> = (1..6).map(entry).collect();
            assert_eq!(ledger(store).post_all(&entries).await.len(), entries.len());
        }
    };
    let debits = async |store: Arc<RedisStore>| {
        let ids: Vec<String> = (0..5).map(|nth| format!("torn-{nth}")).collect();
        let posting = |nth: usize| Posting {
            id: &ids[nth],
            from: Some(&names[0]),
            to: (nth > 0).then_some(&*names[nth % 4]).filter(|to| *to != names[0]),
            amount: 3,
            fence: None,
            expected: None,
        };
        let postings: Vec<_> = (0..5).map(posting).collect();
        store.post_all(&id(), 0, &postings).await.unwrap();
    };
    let holds = async |store: Arc<RedisStore>, replayed: Replayed| money_is_whole(&store, names, &replayed).await;
    bench.tear(debits, batch("next"), holds).await;
}
