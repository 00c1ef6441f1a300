//! Operations that are executed once.

use std::time::Duration;

use bytes::Bytes;
use tidegate_sync::{Attempt, Begin, Begun, OnceError, OnceStore, Operation};
use tidegate_testkit::poll_until;

use crate::support::{Bench, LEASE, SOON};

fn started(begin: Begin) -> Attempt {
    match begin {
        Begin::Started(attempt) => attempt,
        other => panic!("{other:?}"),
    }
}

fn done(begin: Begin) -> Bytes {
    match begin {
        Begin::Done(result) => result,
        other => panic!("{other:?}"),
    }
}

pub async fn the_first_does_it_and_the_others_get_its_result(bench: Bench) {
    let once = bench.once();
    let attempt = started(once.begin("17").await.unwrap());
    assert_eq!(attempt.number(), 1);
    assert!(attempt.is_held());
    attempt.complete("receipt").await.unwrap();
    attempt.complete("a repeat after a lost reply").await.unwrap();
    drop(attempt);
    for _ in 0..3 {
        assert_eq!(done(once.begin("17").await.unwrap()), "receipt");
    }
    started(once.begin("18").await.unwrap());
}

pub async fn a_result_may_be_any_bytes(bench: Bench) {
    for (key, result) in [("empty", vec![]), ("bytes", vec![0, 255, 10, 13, 0])] {
        started(bench.once().begin(key).await.unwrap()).complete(result.clone()).await.unwrap();
        assert_eq!(done(bench.once().begin(key).await.unwrap()), result);
    }
}

pub async fn who_comes_meanwhile_is_told_when_to_come_back(bench: Bench) {
    let once = bench.once().lease(LEASE);
    let attempt = started(once.begin("17").await.unwrap());
    bench.advance(LEASE / 3).await;
    match once.begin("17").await.unwrap() {
        Begin::InProgress { retry_after } => assert_eq!(retry_after, LEASE * 2 / 3),
        other => panic!("{other:?}"),
    }
    attempt.complete("receipt").await.unwrap();
    assert_eq!(done(once.begin("17").await.unwrap()), "receipt");
}

pub async fn a_failed_attempt_is_begun_anew(bench: Bench) {
    let once = bench.once();
    let first = started(once.begin("17").await.unwrap());
    first.fail().await.unwrap();
    first.fail().await.unwrap();
    let second = started(once.begin("17").await.unwrap());
    assert_eq!(second.number(), 2);
    assert!(matches!(first.complete("too late").await, Err(OnceError::Superseded)));
    first.fail().await.unwrap();
    second.complete("receipt").await.unwrap();
    assert_eq!(done(once.begin("17").await.unwrap()), "receipt");
}

pub async fn a_dead_attempt_is_succeeded_and_its_result_refused(bench: Bench) {
    let once = bench.once().lease(LEASE);
    let first = started(once.begin("17").await.unwrap());
    bench.advance(LEASE).await;
    let second = started(once.begin("17").await.unwrap());
    assert_eq!(second.number(), 2);
    assert!(matches!(first.complete("too late").await, Err(OnceError::Superseded)));
    second.complete("receipt").await.unwrap();
    assert!(matches!(first.complete("too late").await, Err(OnceError::Superseded)));
    assert_eq!(done(once.begin("17").await.unwrap()), "receipt");
}

pub async fn a_late_result_counts_if_nobody_has_taken_over(bench: Bench) {
    let once = bench.once().lease(LEASE);
    let attempt = started(once.begin("17").await.unwrap());
    bench.advance(LEASE * 2).await;
    attempt.complete("receipt").await.unwrap();
    assert_eq!(done(once.begin("17").await.unwrap()), "receipt");
}

pub async fn a_result_is_forgotten_after_its_time(bench: Bench) {
    let once = bench.once().lease(Duration::from_millis(50)).keep(Duration::from_millis(200));
    started(once.begin("17").await.unwrap()).complete("receipt").await.unwrap();
    assert_eq!(done(once.begin("17").await.unwrap()), "receipt");
    // Redis expires keys with its own clock, the store in memory with the test's.
    bench.advance(Duration::from_millis(200)).await;
    let again = poll_until(SOON, async || match once.begin("17").await.unwrap() {
        Begin::Started(attempt) => Some(attempt.number()),
        _ => None,
    });
    assert_eq!(again.await.unwrap(), 1);
}

pub async fn of_twenty_at_once_one_starts(bench: Bench) {
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let once = bench.once();
            tokio::spawn(async move { once.begin("17").await.unwrap() })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.push(task.await.unwrap());
    }
    assert_eq!(all.iter().filter(|begin| matches!(begin, Begin::Started(_))).count(), 1);
}

pub async fn repeated_steps_change_nothing(bench: Bench) {
    let (store, keep) = (&bench.store, LEASE * 100);
    let operation = Operation { scope: "a:b".to_owned(), key: "c".to_owned() };
    for _ in 0..2 {
        let begun = store.begin(&operation, "me", LEASE, keep).await.unwrap();
        assert_eq!(begun, Begun::Started { attempt: 1 });
    }
    assert!(OnceStore::extend(&**store, &operation, "me", LEASE, keep).await.unwrap());
    assert!(!OnceStore::extend(&**store, &operation, "you", LEASE, keep).await.unwrap());
    for _ in 0..2 {
        assert!(store.complete(&operation, "me", Bytes::from_static(b"one"), keep).await.unwrap());
    }
    assert!(!store.complete(&operation, "you", Bytes::from_static(b"two"), keep).await.unwrap());
    // A completed operation remains completed.
    store.fail(&operation, "me").await.unwrap();
    assert_eq!(store.begin(&operation, "you", LEASE, keep).await.unwrap(), Begun::Done(Bytes::from_static(b"one")));
    let another = Operation { scope: "a".to_owned(), key: "b:c".to_owned() };
    assert_eq!(store.begin(&another, "you", LEASE, keep).await.unwrap(), Begun::Started { attempt: 1 });
}
