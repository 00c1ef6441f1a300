//! Optimistic locking: a posting with the version that was read, and the retry loop.

use std::num::NonZeroU32;

use tidegate_sync::{Account, Balances, Change, Entry, Ledger, LedgerError, Transfer, Updated, Version};

use crate::support::Bench;
use crate::support::eventful::{Event, Eventful};

async fn open(bench: &Bench) -> Ledger {
    let ledger = bench.ledger();
    ledger.deposit("open-ada", "ada", 1_000).await.unwrap();
    ledger.deposit("open-bob", "bob", 0).await.unwrap();
    ledger
}

/// The same ledger, where another client withdraws from ada's account before each of the next
/// postings.
fn with_rivals(bench: &Bench, rivals: usize, amount: u64) -> Ledger {
    let rival = |nth| Event::Rival { id: format!("rival-{nth}"), account: "ada".to_owned(), amount };
    Ledger::new(Eventful::new(bench.store.clone(), (0..rivals).map(rival)), bench.ledger().name())
}

async fn read(ledger: &Ledger, account: &str) -> Account {
    ledger.account(account).await.unwrap().unwrap()
}

fn conflict(result: Result<Balances, LedgerError>) -> Account {
    match result.unwrap_err() {
        LedgerError::Conflict { current, .. } => current,
        other => panic!("{other:?}"),
    }
}

pub async fn each_posting_makes_a_new_version(bench: Bench) {
    let ledger = open(&bench).await;
    assert_eq!(ledger.account("eve").await.unwrap(), None);
    let mut last = read(&ledger, "bob").await.version;
    for nth in 0..5 {
        ledger.transfer(Transfer::new(nth.to_string(), "ada", "bob", 1)).await.unwrap();
        let bob = read(&ledger, "bob").await;
        assert!(bob.version > last, "also where the clock stands still");
        assert_eq!((bob.balance, bob.in_transit), (nth + 1, 0));
        last = bob.version;
    }
    let ada = read(&ledger, "ada").await;
    ledger.transfer(Transfer::new("0", "ada", "bob", 1)).await.unwrap();
    assert!(ledger.withdraw("w", "ada", 5_000).await.is_err());
    assert_eq!(read(&ledger, "ada").await, ada, "a repetition and a refusal change nothing");
}

pub async fn a_posting_on_another_version_is_a_conflict(bench: Bench) {
    let ledger = open(&bench).await;
    let seen = read(&ledger, "ada").await;
    let order = |id: &str| Entry::withdrawal(id, "ada", 300).if_version(seen.version);
    assert_eq!(ledger.post(order("1")).await.unwrap().from, 700);
    let current = conflict(ledger.post(order("2")).await);
    assert_eq!(current, read(&ledger, "ada").await);
    assert_eq!(current.balance, 700);

    // The version is that of the giver; for a deposit, that of the taker.
    let bob = read(&ledger, "bob").await;
    let transfer = Transfer::new("3", "ada", "bob", 1);
    assert_eq!(conflict(ledger.transfer(transfer.clone().if_version(bob.version)).await).balance, 700);
    ledger.transfer(transfer.if_version(current.version)).await.unwrap();
    let deposit = Entry::deposit("4", "bob", 1).if_version(bob.version);
    assert_eq!(conflict(ledger.post(deposit).await).balance, 1);

    // A conflict is reported before the balance is checked, which is not the one that the caller
    // has read.
    let all = Entry::withdrawal("5", "ada", 1_000).if_version(seen.version);
    assert_eq!(conflict(ledger.post(all).await).balance, 699);
    let unknown = ledger.post(Entry::deposit("6", "eve", 1).if_version(Version::new(0))).await;
    assert!(matches!(unknown, Err(LedgerError::Unknown { account }) if account == "eve"));
    assert_eq!(ledger.balances(&["ada", "bob", "eve"]).await.unwrap(), [Some(699), Some(1), None]);
}

pub async fn a_repetition_is_answered_whatever_the_version_is_by_now(bench: Bench) {
    let ledger = open(&bench).await;
    let seen = read(&ledger, "ada").await;
    let order = Entry::withdrawal("1", "ada", 300).if_version(seen.version);
    for _ in 0..3 {
        assert_eq!(ledger.post(order.clone()).await.unwrap().from, 700);
    }
    assert_eq!(read(&ledger, "ada").await.balance, 700);
}

pub async fn an_update_decides_on_what_is_there(bench: Bench) {
    let ledger = open(&bench).await;
    let spend = |account: Account| (account.balance >= 300).then_some(Change::Withdraw(300));
    let first = ledger.update("1", "ada", spend).await.unwrap();
    assert_eq!(first, Updated { balance: 700, tries: 1, is_posted: true });
    let gift = ledger.update("2", "ada", |account| Some(Change::Deposit(account.balance))).await.unwrap();
    assert_eq!(gift.balance, 1_400);

    // A posting between the read and the post: the decision is repeated with the remaining balance.
    let mut seen = Vec::new();
    let contended = with_rivals(&bench, 1, 1_000);
    let updated = contended.update("3", "ada", |account| {
        seen.push(account.balance);
        spend(account)
    });
    let updated = updated.await.unwrap();
    assert_eq!((updated.balance, updated.tries), (100, 2));
    assert_eq!(seen, [1_400, 400]);
}

pub async fn an_update_that_decides_against_it_changes_nothing(bench: Bench) {
    let ledger = open(&bench).await;
    let before = read(&ledger, "ada").await;
    let updated = ledger.update("1", "ada", |_| None).await.unwrap();
    assert_eq!(updated, Updated { balance: 1_000, tries: 1, is_posted: false });
    assert_eq!(read(&ledger, "ada").await, before);
    let unknown = ledger.update("1", "eve", |_| Some(Change::Deposit(1))).await;
    assert!(matches!(unknown, Err(LedgerError::Unknown { .. })));
    for amount in [0, 1 << 53, u64::MAX] {
        let refused = ledger.update("1", "ada", |_| Some(Change::Withdraw(amount))).await;
        assert!(matches!(refused, Err(LedgerError::Quantity(_))));
    }
    let overdrawn = ledger.update("1", "ada", |_| Some(Change::Withdraw(1_001))).await;
    assert!(matches!(overdrawn, Err(LedgerError::Overdrawn { balance: 1_000, .. })));
    assert_eq!(read(&ledger, "ada").await, before);
}

pub async fn a_repeated_update_posts_once(bench: Bench) {
    let ledger = open(&bench).await;
    let half = |account: Account| Some(Change::Withdraw(account.balance / 2));
    assert_eq!(ledger.update("1", "ada", half).await.unwrap().balance, 500);
    // Half would be another amount by now, but the id was already posted.
    let again = ledger.update("1", "ada", half).await.unwrap();
    assert_eq!(again, Updated { balance: 500, tries: 0, is_posted: true });
    assert_eq!(read(&ledger, "ada").await.balance, 500);
    ledger.transfer(Transfer::new("2", "ada", "bob", 1)).await.unwrap();
    assert!(matches!(ledger.update("2", "ada", half).await, Err(LedgerError::Reused { .. })));
    assert!(matches!(
        ledger.update("1", "bob", |_| Some(Change::Deposit(1))).await,
        Ok(_) | Err(LedgerError::Reused { .. })
    ));
}

pub async fn an_update_that_always_meets_a_change_gives_up(bench: Bench) {
    let ledger = open(&bench).await;
    let mut asked = 0;
    let contended = with_rivals(&bench, 5, 1).tries(NonZeroU32::new(3).unwrap());
    let refused = contended.update("1", "ada", |_| {
        asked += 1;
        Some(Change::Withdraw(1))
    });
    let refused = refused.await;
    assert!(matches!(refused, Err(LedgerError::Contended { tries: 3, .. })), "{refused:?}");
    assert_eq!(asked, 3);
    assert_eq!(read(&ledger, "ada").await.balance, 997);
}

pub async fn many_updates_at_once_lose_none(bench: Bench) {
    let ledger = open(&bench).await.tries(NonZeroU32::new(1_000).unwrap());
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                let mut tries = 0;
                for nth in 0..5 {
                    let take = |account: Account| Some(Change::Withdraw(account.balance.min(7)));
                    tries += ledger.update(&format!("{task}-{nth}"), "ada", take).await.unwrap().tries;
                }
                tries
            })
        })
        .collect();
    let mut tries = 0;
    for task in tasks {
        tries += task.await.unwrap();
    }
    assert!(tries >= 40, "{tries}");
    assert_eq!(read(&ledger, "ada").await.balance, 1_000 - 40 * 7);
}
