//! Accounts that are distributed over partitions.

use std::num::NonZeroU16;
use std::time::Duration;

use tidegate_sync::{
    Balances, Completed, Credit, Credited, Entry, Ledger, LedgerError, LedgerId, Posted, Posting, Settlement, Totals,
    Transfer,
};

use crate::support::{Bench, apart, ledger_id};

const FOUR: NonZeroU16 = NonZeroU16::new(4).unwrap();

/// A ledger with 100 in each of four accounts, each in its own partition.
async fn open(bench: &Bench) -> (Ledger, Vec<String>) {
    let (ledger, names) = bench.partitioned();
    for name in &names {
        ledger.deposit(&format!("open-{name}"), name, 100).await.unwrap();
    }
    (ledger, names)
}

async fn balances(ledger: &Ledger, names: &[String]) -> Vec<u64> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    ledger.balances(&names).await.unwrap().into_iter().map(Option::unwrap).collect()
}

/// The sum of all balances equals the totals.
async fn all_is_there(ledger: &Ledger, names: &[String]) -> Totals {
    let sum: u64 = balances(ledger, names).await.iter().sum();
    let totals = ledger.totals().await.unwrap();
    let expected = i128::try_from(totals.deposited - totals.withdrawn).unwrap() - totals.in_transit;
    assert_eq!(i128::from(sum), expected, "{totals:?}");
    totals
}

pub async fn a_transfer_between_partitions_moves_both_sides(bench: Bench) {
    let (ledger, names) = open(&bench).await;
    let transfer = Transfer::new("1", &names[1], &names[2], 30);
    assert_eq!(ledger.transfer(transfer).await.unwrap(), Balances { from: 70, to: 130 });
    assert_eq!(balances(&ledger, &names).await, [100, 70, 130, 100]);
    let giver = ledger.account(&names[1]).await.unwrap().unwrap();
    assert_eq!((giver.balance, giver.in_transit), (70, 0));
    ledger.withdraw("2", &names[2], 130).await.unwrap();
    let totals = all_is_there(&ledger, &names).await;
    assert_eq!(totals, Totals { deposited: 400, withdrawn: 130, in_transit: 0 });
    assert_eq!(ledger.complete_transfers(100).await.unwrap(), Completed::default());
}

pub async fn a_transfer_between_partitions_moves_once(bench: Bench) {
    let (ledger, names) = open(&bench).await;
    let transfer = |id: &str, amount| Transfer::new(id, &names[0], &names[3], amount);
    for _ in 0..3 {
        assert_eq!(ledger.transfer(transfer("1", 30)).await.unwrap(), Balances { from: 70, to: 130 });
    }
    ledger.transfer(transfer("2", 10)).await.unwrap();
    assert_eq!(ledger.transfer(transfer("1", 30)).await.unwrap(), Balances { from: 70, to: 130 });
    assert!(matches!(ledger.transfer(transfer("1", 31)).await, Err(LedgerError::Reused { .. })));
    assert_eq!(balances(&ledger, &names).await, [60, 100, 100, 140]);
}

pub async fn an_unknown_taker_in_another_partition_changes_nothing(bench: Bench) {
    let (ledger, mut names) = open(&bench).await;
    let id = ledger_id("", FOUR);
    let unknown = (0..).map(|nth| format!("unknown-{nth}")).find(|name| id.partition_of(name) == 2).unwrap();
    let transfer = Transfer::new("1", &names[0], &unknown, 30);
    for _ in 0..2 {
        let refused = ledger.transfer(transfer.clone()).await;
        assert!(matches!(refused, Err(LedgerError::Unknown { account }) if account == unknown));
        assert_eq!(balances(&ledger, &names).await, [100; 4]);
        assert_eq!(ledger.account(&names[0]).await.unwrap().unwrap().in_transit, 0);
        assert_eq!(ledger.account(&unknown).await.unwrap(), None);
    }
    assert_eq!(all_is_there(&ledger, &names).await.in_transit, 0);
    // A refused transfer may be tried again.
    ledger.deposit("open", &unknown, 1).await.unwrap();
    assert_eq!(ledger.transfer(transfer).await.unwrap(), Balances { from: 70, to: 31 });
    names.push(unknown);
    assert_eq!(all_is_there(&ledger, &names).await.deposited, 401);
}

pub async fn a_full_account_in_another_partition_changes_nothing(bench: Bench) {
    let (ledger, names) = open(&bench).await;
    let most = (1 << 53) - 1;
    ledger.deposit("rich", &names[1], most - 100).await.unwrap();
    let refused = ledger.transfer(Transfer::new("1", &names[0], &names[1], 1)).await;
    assert!(matches!(refused, Err(LedgerError::Quantity(_))), "{refused:?}");
    for amount in [0, 1 << 53, u64::MAX] {
        let refused = ledger.transfer(Transfer::new("1", &names[0], &names[2], amount)).await;
        assert!(matches!(refused, Err(LedgerError::Quantity(_))));
    }
    assert_eq!(balances(&ledger, &names).await, [100, most, 100, 100]);
    assert_eq!(all_is_there(&ledger, &names).await.in_transit, 0);
}

pub async fn no_account_of_a_partition_goes_below_zero(bench: Bench) {
    let (ledger, names) = open(&bench).await;
    let refused = ledger.transfer(Transfer::new("1", &names[0], &names[1], 101)).await.unwrap_err();
    assert_eq!(refused.to_string(), format!("account `{}` has only 100", names[0]));
    let unknown = ledger.transfer(Transfer::new("1", "nobody", &names[1], 1)).await;
    assert!(matches!(unknown, Err(LedgerError::Unknown { account }) if account == "nobody"));
    assert_eq!(balances(&ledger, &names).await, [100; 4]);
}

pub async fn the_number_of_partitions_is_kept(bench: Bench) {
    let (ledger, names) = open(&bench).await;
    for wrong in [1, 2, 5] {
        let other = bench.ledger().partitions(NonZeroU16::new(wrong).unwrap());
        // With one partition, all accounts are in the one that knows the number.
        let refused = other.deposit("1", &names[0], 1).await.unwrap_err();
        assert!(matches!(&refused, LedgerError::Partitions(error) if error.stored == 4), "{refused:?}");
        assert_eq!(refused.to_string(), format!("the ledger has 4 partitions, not {wrong}"));
        assert!(other.balances(&["x"]).await.is_err() && other.totals().await.is_err());
        assert!(other.complete_transfers(1).await.is_err());
    }
    let single = Ledger::new(bench.store.clone(), "single");
    single.deposit("1", "ada", 1).await.unwrap();
    let refused = single.clone().partitions(FOUR).deposit("2", "bob", 1).await;
    assert!(matches!(refused, Err(LedgerError::Partitions(error)) if error.stored == 1), "{refused:?}");
    assert_eq!(single.balances(&["ada", "bob"]).await.unwrap(), [Some(1), None]);
    assert_eq!(balances(&ledger, &names).await, [100; 4]);
}

pub async fn a_batch_spreads_over_partitions(bench: Bench) {
    let (ledger, names) = open(&bench).await;
    let mut entries: Vec<_> =
        (0..300).map(|nth: usize| Entry::transfer(nth.to_string(), &names[nth % 4], &names[nth * 7 % 4], 1)).collect();
    entries.push(Entry::transfer("much", &names[0], &names[1], 5_000));
    entries.push(Entry::transfer("unknown", &names[0], "nobody", 1));
    for _ in 0..2 {
        let results = ledger.post_all(&entries).await;
        for (nth, result) in results.iter().enumerate().take(300) {
            match result {
                Ok(_) => assert_ne!(nth % 4, nth * 7 % 4),
                Err(LedgerError::SameAccount { .. }) => assert_eq!(nth % 4, nth * 7 % 4),
                Err(other) => panic!("{nth}: {other}"),
            }
        }
        assert!(matches!(results[300], Err(LedgerError::Overdrawn { .. })));
        assert!(matches!(results[301], Err(LedgerError::Unknown { .. })));
        assert_eq!(balances(&ledger, &names).await, [100; 4]);
        assert_eq!(all_is_there(&ledger, &names).await.in_transit, 0);
    }
}

/// The debit of a transfer whose process dies right after it.
async fn debit(bench: &Bench, id: &str, from: &str, to: &str, amount: u64) -> u64 {
    let posting = Posting { id, from: Some(from), to: Some(to), amount, fence: None, expected: None };
    match bench.store.post(&ledger(), posting).await.unwrap() {
        Posted::InTransit { number, .. } => number,
        other => panic!("{other:?}"),
    }
}

fn ledger() -> LedgerId {
    ledger_id("points", FOUR)
}

pub async fn a_transfer_that_a_dead_process_left_is_completed(bench: Bench) {
    let (ledger, names) = open(&bench).await;
    debit(&bench, "1", &names[0], &names[1], 30).await;
    let second = debit(&bench, "2", &names[0], &names[2], 5).await;
    assert_eq!(balances(&ledger, &names).await, [65, 100, 100, 100]);
    assert_eq!(ledger.account(&names[0]).await.unwrap().unwrap().in_transit, 35);
    assert_eq!(all_is_there(&ledger, &names).await.in_transit, 35);

    // This one died between the credit and the settlement.
    let credit = Credit { source: 0, number: second, lowest: 0, to: &names[2], amount: 5 };
    let answer = bench.store.credit(&self::ledger(), 2, &[credit]).await.unwrap();
    assert_eq!(answer, [Credited::Done { to: 105 }]);
    assert_eq!(all_is_there(&ledger, &names).await.in_transit, 30);

    let completed = ledger.complete_transfers(100).await.unwrap();
    assert_eq!(completed, Completed { arrived: 2, returned: 0, left: 0 });
    assert_eq!(balances(&ledger, &names).await, [65, 130, 105, 100]);
    assert_eq!(ledger.account(&names[0]).await.unwrap().unwrap().in_transit, 0);
    assert_eq!(all_is_there(&ledger, &names).await.in_transit, 0);
    assert_eq!(ledger.complete_transfers(100).await.unwrap(), Completed::default());
    // The process that returns gets its result.
    let answer = ledger.transfer(Transfer::new("1", &names[0], &names[1], 30)).await.unwrap();
    assert_eq!(answer, Balances { from: 70, to: 130 });
    assert_eq!(balances(&ledger, &names).await, [65, 130, 105, 100]);
}

pub async fn a_transfer_that_a_dead_process_left_is_returned_when_it_cannot_arrive(bench: Bench) {
    let (ledger, names) = open(&bench).await;
    let id = ledger_id("", FOUR);
    let unknown = (0..).map(|nth| format!("unknown-{nth}")).find(|name| id.partition_of(name) == 1).unwrap();
    let number = debit(&bench, "1", &names[0], &unknown, 30).await;
    let credit = Credit { source: 0, number, lowest: 0, to: &unknown, amount: 30 };
    assert_eq!(bench.store.credit(&self::ledger(), 1, &[credit]).await.unwrap(), [Credited::UnknownTo]);
    // A refused credit remains refused, so that it does not both arrive and return.
    ledger.deposit("open", &unknown, 0).await.unwrap();
    assert_eq!(bench.store.credit(&self::ledger(), 1, &[credit]).await.unwrap(), [Credited::UnknownTo]);
    assert_eq!(ledger.complete_transfers(100).await.unwrap(), Completed { arrived: 0, returned: 1, left: 0 });
    assert_eq!(balances(&ledger, &names).await, [100; 4]);
    assert_eq!(ledger.balances(&[&unknown]).await.unwrap(), [Some(0)]);
    assert_eq!(all_is_there(&ledger, &names).await.in_transit, 0);
    let settlement = Settlement { number, credited: Credited::UnknownTo };
    assert_eq!(bench.store.settle(&self::ledger(), 0, &[settlement]).await.unwrap(), [false]);
    assert_eq!(balances(&ledger, &names).await, [100; 4]);
    assert_eq!(ledger.transfer(Transfer::new("1", &names[0], &unknown, 30)).await.unwrap().to, 30);
}

pub async fn what_is_in_transit_keeps_its_room(bench: Bench) {
    let (ledger, names) = open(&bench).await;
    let most = (1 << 53) - 1;
    debit(&bench, "1", &names[0], "nobody-at-all", 100).await;
    let refused = ledger.deposit("much", &names[0], most - 99).await;
    assert!(matches!(refused, Err(LedgerError::Quantity(_))), "there would be no room for what returns");
    ledger.deposit("less", &names[0], most - 100).await.unwrap();
    ledger.complete_transfers(100).await.unwrap();
    assert_eq!(balances(&ledger, &names).await, [most, 100, 100, 100]);
    assert_eq!(all_is_there(&ledger, &names).await.in_transit, 0);
}

pub async fn a_later_transfer_completes_an_old_one(bench: Bench) {
    let (ledger, names) = open(&bench).await;
    debit(&bench, "1", &names[0], &names[1], 30).await;
    ledger.transfer(Transfer::new("soon", &names[0], &names[2], 1)).await.unwrap();
    assert_eq!(balances(&ledger, &names).await, [69, 100, 101, 100], "it may yet be in progress");
    bench.advance(Duration::from_secs(6)).await;
    ledger.transfer(Transfer::new("late", &names[0], &names[2], 1)).await.unwrap();
    assert_eq!(balances(&ledger, &names).await, [68, 130, 102, 100]);
    assert_eq!(all_is_there(&ledger, &names).await.in_transit, 0);
}

/// A process that was suspended sends its credit again, long after all others have removed the
/// transfer.
pub async fn a_credit_that_comes_late_is_taken_once(bench: Bench) {
    let (ledger, names) = open(&bench).await;
    let number = debit(&bench, "1", &names[0], &names[1], 30).await;
    ledger.complete_transfers(100).await.unwrap();
    let late = Credit { source: 0, number, lowest: number, to: &names[1], amount: 30 };
    for days in 0..4 {
        let answer = bench.store.credit(&self::ledger(), 1, &[late]).await.unwrap();
        assert!(matches!(answer[0], Credited::Done { to: 130 } | Credited::Before), "{answer:?}");
        bench.advance(Duration::from_secs(86_400 * days)).await;
        for nth in 0..30 {
            let transfer = Transfer::new(format!("{days}-{nth}"), &names[0], &names[1], 1);
            ledger.transfer(transfer).await.unwrap();
            let back = Transfer::new(format!("back-{days}-{nth}"), &names[1], &names[0], 1);
            ledger.transfer(back).await.unwrap();
        }
        assert_eq!(balances(&ledger, &names).await, [70, 130, 100, 100]);
    }
    assert_eq!(bench.store.credit(&self::ledger(), 1, &[late]).await.unwrap(), [Credited::Before]);
    let settlement = Settlement { number, credited: Credited::Before };
    assert_eq!(bench.store.settle(&self::ledger(), 0, &[settlement]).await.unwrap(), [false]);
    assert_eq!(balances(&ledger, &names).await, [70, 130, 100, 100]);
}

pub async fn a_sweep_of_transfers_is_bounded(bench: Bench) {
    let (ledger, names) = open(&bench).await;
    for nth in 0..7 {
        debit(&bench, &nth.to_string(), &names[nth % 4], &names[(nth + 1) % 4], 10).await;
    }
    assert_eq!(ledger.complete_transfers(0).await.unwrap(), Completed::default());
    for (limit, arrived) in [(3, 3), (3, 3), (3, 1), (3, 0)] {
        assert_eq!(ledger.complete_transfers(limit).await.unwrap().arrived, arrived);
        all_is_there(&ledger, &names).await;
    }
    assert_eq!(all_is_there(&ledger, &names).await.in_transit, 0);
}

pub async fn totals_add_up_beyond_the_largest_balance(bench: Bench) {
    let (ledger, names) = open(&bench).await;
    let most: u64 = (1 << 53) - 101;
    let all = 4 * (u128::from(most) + 100);
    for name in &names {
        ledger.deposit(&format!("rich-{name}"), name, most).await.unwrap();
    }
    assert_eq!(ledger.totals().await.unwrap(), Totals { deposited: all, withdrawn: 0, in_transit: 0 });
    for round in 0..3_u32 {
        for name in &names {
            ledger.withdraw(&format!("out-{round}-{name}"), name, most).await.unwrap();
            ledger.deposit(&format!("in-{round}-{name}"), name, most).await.unwrap();
        }
        let moved = u128::from(most) * 4 * u128::from(round + 1);
        let expected = Totals { deposited: all + moved, withdrawn: moved, in_transit: 0 };
        assert_eq!(ledger.totals().await.unwrap(), expected);
    }
}

pub async fn the_sum_over_partitions_never_changes(bench: Bench) {
    let ledger = bench.ledger().partitions(FOUR);
    let mut names = apart(FOUR);
    names.push("another".to_owned());
    for name in &names {
        ledger.deposit(&format!("open-{name}"), name, 50).await.unwrap();
    }
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let (ledger, names) = (ledger.clone(), names.clone());
            tokio::spawn(async move {
                for step in 0..25 {
                    let (from, to) = (&names[(task + step) % 5], &names[(task + step * 3 + 1) % 5]);
                    let transfer = Transfer::new(format!("{task}-{step}"), from, to, (step % 30) as u64 + 1);
                    match ledger.transfer(transfer).await {
                        Ok(_) | Err(LedgerError::Overdrawn { .. } | LedgerError::SameAccount { .. }) => {}
                        Err(other) => panic!("{other}"),
                    }
                    // Another task settles what this one has credited, and the results are the
                    // same.
                    ledger.complete_transfers(3).await.unwrap();
                    assert!(ledger.totals().await.unwrap().in_transit >= 0);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(all_is_there(&ledger, &names).await, Totals { deposited: 250, withdrawn: 0, in_transit: 0 });
}
