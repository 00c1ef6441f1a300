//! Many postings in one step.

use tidegate_sync::{Balances, Entry, Ledger, LedgerError, Version};

use crate::support::Bench;

async fn sum(ledger: &Ledger) -> u64 {
    ledger.balances(&["ada", "bob", "eve"]).await.unwrap().into_iter().flatten().sum()
}

pub async fn each_entry_of_a_batch_is_answered_by_itself(bench: Bench) {
    let ledger = bench.ledger();
    assert!(ledger.post_all(&[]).await.is_empty());
    let results = ledger
        .post_all(&[
            Entry::withdrawal("early", "ada", 1),
            Entry::deposit("open-ada", "ada", 100),
            Entry::deposit("open-bob", "bob", 0),
            Entry::transfer("1", "ada", "bob", 30),
            Entry::transfer("2", "ada", "bob", 71),
            Entry::withdrawal("3", "bob", 10),
            Entry::withdrawal("4", "bob", 10).if_version(Version::new(17)),
            Entry::transfer("5", "bob", "eve", 1),
        ])
        .await;
    assert!(matches!(&results[0], Err(LedgerError::Unknown { account }) if account == "ada"));
    assert_eq!(results[1].as_ref().unwrap(), &Balances { from: 0, to: 100 });
    assert_eq!(results[2].as_ref().unwrap(), &Balances { from: 0, to: 0 });
    assert_eq!(results[3].as_ref().unwrap(), &Balances { from: 70, to: 30 });
    assert!(matches!(results[4], Err(LedgerError::Overdrawn { balance: 70, .. })));
    assert_eq!(results[5].as_ref().unwrap(), &Balances { from: 20, to: 0 });
    assert!(matches!(results[6], Err(LedgerError::Conflict { current, .. }) if current.balance == 20));
    assert!(matches!(&results[7], Err(LedgerError::Unknown { account }) if account == "eve"));
    assert_eq!(sum(&ledger).await, 90);
    assert_eq!(ledger.withdraw("3", "bob", 10).await.unwrap(), 20, "an id counts wherever it was used");
}

pub async fn an_id_twice_in_a_batch_posts_once(bench: Bench) {
    let ledger = bench.ledger();
    let deposit = Entry::deposit("1", "ada", 5);
    let results = ledger.post_all(&[deposit.clone(), deposit.clone(), Entry::deposit("1", "ada", 6), deposit]).await;
    assert!(matches!(&results[2], Err(LedgerError::Reused { id }) if id == "1"));
    for nth in [0, 1, 3] {
        assert_eq!(results[nth].as_ref().unwrap().to, 5);
    }
    assert_eq!(sum(&ledger).await, 5);
}

pub async fn a_batch_may_be_longer_than_a_step(bench: Bench) {
    let ledger = bench.ledger();
    let entries: Vec<_> = (0..1_234).map(|nth| Entry::deposit(nth.to_string(), "ada", 1)).collect();
    for _ in 0..2 {
        for (nth, result) in ledger.post_all(&entries).await.into_iter().enumerate() {
            assert_eq!(result.unwrap().to, nth as u64 + 1, "in order, and once");
        }
    }
    assert_eq!(sum(&ledger).await, 1_234);
}

pub async fn wrong_entries_leave_the_others_alone(bench: Bench) {
    let ledger = bench.ledger();
    let most = (1 << 53) - 1;
    let results = ledger
        .post_all(&[
            Entry::deposit("1", "ada", 1 << 53),
            Entry::deposit("2", "ada", most),
            Entry::deposit("3", "ada", 1),
            Entry::withdrawal("4", "ada", 0),
            Entry::transfer("5", "ada", "ada", 1),
            Entry::withdrawal("6", "ada", u64::MAX),
            Entry::withdrawal("7", "ada", 1),
        ])
        .await;
    for nth in [0, 2, 3, 5] {
        assert!(matches!(results[nth], Err(LedgerError::Quantity(_))), "{nth}: {:?}", results[nth]);
    }
    assert!(matches!(results[4], Err(LedgerError::SameAccount { .. })));
    assert_eq!(results[1].as_ref().unwrap().to, most);
    assert_eq!(results[6].as_ref().unwrap().from, most - 1);
    assert_eq!(sum(&ledger).await, most - 1);
}
