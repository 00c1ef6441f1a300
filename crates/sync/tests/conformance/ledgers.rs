//! Transfers: both sides or neither.

use std::time::Duration;

use tidegate_sync::{Balances, Fence, Ledger, LedgerError, Transfer};

use crate::support::Bench;

async fn open(bench: &Bench) -> Ledger {
    let ledger = bench.ledger();
    assert_eq!(ledger.deposit("open-ada", "ada", 100).await.unwrap(), 100);
    assert_eq!(ledger.deposit("open-bob", "bob", 0).await.unwrap(), 0);
    ledger
}

async fn balances(ledger: &Ledger) -> [u64; 2] {
    let both = ledger.balances(&["ada", "bob"]).await.unwrap();
    [both[0].unwrap(), both[1].unwrap()]
}

fn gift(id: &str, amount: u64) -> Transfer {
    Transfer::new(id, "ada", "bob", amount)
}

pub async fn a_transfer_moves_both_sides(bench: Bench) {
    let ledger = open(&bench).await;
    assert_eq!(ledger.transfer(gift("1", 30)).await.unwrap(), Balances { from: 70, to: 30 });
    assert_eq!(balances(&ledger).await, [70, 30]);
    assert_eq!(ledger.withdraw("w", "bob", 10).await.unwrap(), 20);
    assert_eq!(ledger.balances(&["bob", "nobody", ""]).await.unwrap(), [Some(20), None, None]);
    assert_eq!(ledger.balances(&[]).await.unwrap(), []);
}

pub async fn the_same_id_moves_once(bench: Bench) {
    let ledger = open(&bench).await;
    for _ in 0..3 {
        assert_eq!(ledger.transfer(gift("1", 30)).await.unwrap(), Balances { from: 70, to: 30 });
        assert_eq!(ledger.deposit("open-ada", "ada", 100).await.unwrap(), 100);
    }
    ledger.transfer(gift("2", 10)).await.unwrap();
    // The result is that of the first execution.
    assert_eq!(ledger.transfer(gift("1", 30)).await.unwrap(), Balances { from: 70, to: 30 });
    assert_eq!(balances(&ledger).await, [60, 40]);
    assert!(matches!(ledger.transfer(gift("1", 31)).await, Err(LedgerError::Reused { .. })));
    let back = Transfer::new("1", "bob", "ada", 30);
    assert!(matches!(ledger.transfer(back).await, Err(LedgerError::Reused { .. })));
    assert!(matches!(ledger.withdraw("open-ada", "ada", 100).await, Err(LedgerError::Reused { .. })));
}

pub async fn no_account_goes_below_zero(bench: Bench) {
    let ledger = open(&bench).await;
    let error = ledger.transfer(gift("1", 101)).await.unwrap_err();
    assert_eq!(error.to_string(), "account `ada` has only 100");
    assert!(matches!(ledger.withdraw("w", "bob", 1).await, Err(LedgerError::Overdrawn { balance: 0, .. })));
    assert_eq!(balances(&ledger).await, [100, 0]);
    ledger.transfer(gift("2", 100)).await.unwrap();
    assert_eq!(balances(&ledger).await, [0, 100]);
}

pub async fn unknown_accounts_are_refused(bench: Bench) {
    let ledger = open(&bench).await;
    let unknown = |error| match error {
        LedgerError::Unknown { account } => account,
        other => panic!("{other:?}"),
    };
    assert_eq!(unknown(ledger.transfer(Transfer::new("1", "eve", "bob", 1)).await.unwrap_err()), "eve");
    assert_eq!(unknown(ledger.transfer(Transfer::new("1", "ada", "eve", 1)).await.unwrap_err()), "eve");
    assert_eq!(unknown(ledger.withdraw("1", "eve", 1).await.unwrap_err()), "eve");
    let own = ledger.transfer(Transfer::new("1", "ada", "ada", 1)).await.unwrap_err();
    assert!(matches!(own, LedgerError::SameAccount { .. }));
    assert_eq!(balances(&ledger).await, [100, 0]);
}

pub async fn an_old_token_is_refused(bench: Bench) {
    let ledger = open(&bench).await;
    let (old, new) = (Fence::new(7), Fence::new(1_700_000_000_000_001));
    ledger.transfer(gift("1", 1).fence(old)).await.unwrap();
    ledger.transfer(gift("2", 1).fence(new)).await.unwrap();
    match ledger.transfer(gift("3", 1).fence(old)).await.unwrap_err() {
        LedgerError::Fenced { highest } => assert_eq!(highest, new),
        other => panic!("{other:?}"),
    }
    ledger.transfer(gift("4", 1).fence(new)).await.unwrap();
    ledger.transfer(gift("5", 1)).await.unwrap();
    // A repetition of an executed transfer returns its result and is not refused.
    assert_eq!(ledger.transfer(gift("1", 1).fence(old)).await.unwrap(), Balances { from: 99, to: 1 });
    assert_eq!(balances(&ledger).await, [96, 4]);
}

pub async fn a_refused_transfer_may_be_tried_again(bench: Bench) {
    let ledger = open(&bench).await;
    assert!(matches!(ledger.transfer(gift("1", 150)).await, Err(LedgerError::Overdrawn { .. })));
    ledger.deposit("more", "ada", 50).await.unwrap();
    ledger.transfer(gift("1", 150)).await.unwrap();
    assert_eq!(balances(&ledger).await, [0, 150]);
}

pub async fn ids_of_postings_are_forgotten_after_the_horizon(bench: Bench) {
    let ledger = bench.ledger().horizon(Duration::from_secs(60));
    ledger.deposit("1", "ada", 5).await.unwrap();
    bench.advance(Duration::from_secs(59)).await;
    assert_eq!(ledger.deposit("1", "ada", 5).await.unwrap(), 5);
    bench.advance(Duration::from_secs(1)).await;
    assert_eq!(ledger.deposit("1", "ada", 5).await.unwrap(), 10);
}

pub async fn amounts_are_checked(bench: Bench) {
    let ledger = open(&bench).await;
    for amount in [0, 1 << 53, u64::MAX] {
        assert!(matches!(ledger.transfer(gift("x", amount)).await, Err(LedgerError::Quantity(_))));
        assert!(matches!(ledger.withdraw("x", "ada", amount).await, Err(LedgerError::Quantity(_))));
    }
    let most = (1 << 53) - 1;
    assert_eq!(ledger.deposit("rich", "eve", most).await.unwrap(), most);
    let more = ledger.transfer(Transfer::new("x", "ada", "eve", 1)).await;
    assert!(matches!(more, Err(LedgerError::Quantity(_))));
    assert_eq!(ledger.withdraw("poor", "eve", most - 1).await.unwrap(), 1);
    assert_eq!(balances(&ledger).await, [100, 0]);
}

pub async fn the_sum_never_changes(bench: Bench) {
    let ledger = bench.ledger();
    let names = ["a", "b", "c", "d"];
    for name in names {
        ledger.deposit(&format!("open-{name}"), name, 50).await.unwrap();
    }
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                for step in 0..25 {
                    let (from, to) = (names[(task + step) % 4], names[(task + step * 3 + 1) % 4]);
                    let transfer = Transfer::new(format!("{task}-{step}"), from, to, (step % 30) as u64 + 1);
                    match ledger.transfer(transfer).await {
                        Ok(_) | Err(LedgerError::Overdrawn { .. } | LedgerError::SameAccount { .. }) => {}
                        Err(other) => panic!("{other}"),
                    }
                    let sum: u64 = ledger.balances(&names).await.unwrap().into_iter().flatten().sum();
                    assert_eq!(sum, 200);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}
