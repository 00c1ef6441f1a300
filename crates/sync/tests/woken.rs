//! Waiters for a permit on Redis are woken when it is released.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it is surprised")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use support::{LEASE, SOON, connect, keyspace};
use tidegate_sync::{Acquire, Acquired, Lock, PermitStore, Place, PlaceKind, RedisStore};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::RedisServer;
use tokio::time::{Instant, timeout};

/// Longer than any test: a waiter is woken, or the test fails.
const LONG: Duration = Duration::from_secs(300);

async fn store(url: &str) -> Arc<RedisStore> {
    Arc::new(RedisStore::new(connect(url).await, keyspace()))
}

/// The digits at the start of each owner of this process.
async fn process(server: &RedisServer, store: &Arc<RedisStore>) -> String {
    let guard = Lock::new(store.clone(), "digits").acquire(SOON).await.unwrap();
    let owner = server.cli(&["ZRANGE", "tidegate:{l:digits}:holders", "0", "0"]).await;
    guard.release().await.unwrap();
    owner[..8].to_owned()
}

fn place(name: &str) -> Place {
    Place { kind: PlaceKind::Semaphore, name: name.to_owned() }
}

async fn ask(store: &RedisStore, place: &Place, permits: u32, owner: &str) -> bool {
    let request = Acquire { place, permits, owner, lease: LEASE, queue: Some(LONG) };
    matches!(store.acquire(request).await.unwrap(), Acquired::Granted(_))
}

/// Waits until a waiter of this process would receive a message.
async fn subscribed(server: &RedisServer, process: &str) {
    let channel = format!("tidegate:woken:{process}");
    let is_heard = async || server.cli(&["PUBSUB", "NUMSUB", &channel]).await.ends_with('1').then_some(());
    poll_until(SOON, is_heard).await.unwrap();
}

#[tokio::test]
async fn a_release_wakes_the_first_waiter_alone() {
    let server = RedisServer::start().await;
    let store = store(&server.url()).await;
    let process = process(&server, &store).await;
    let [holder, first, second] = ["holder", "first", "second"].map(|name| format!("{process}-{name}"));
    let place = place("a");
    assert!(ask(&store, &place, 1, &holder).await);
    assert!(!ask(&store, &place, 1, &first).await);
    assert!(!ask(&store, &place, 1, &second).await);

    let mut waits = [&first, &second].map(|owner| Box::pin(store.wait(&place, owner, LONG)));
    for wait in &mut waits {
        let _ = timeout(Duration::from_millis(1), wait).await; // it has begun
    }
    subscribed(&server, &process).await;
    store.release(&place, &holder).await.unwrap();
    timeout(SOON, &mut waits[0]).await.expect("the first is woken");
    assert!(ask(&store, &place, 1, &first).await);
    assert!(timeout(Duration::from_millis(50), &mut waits[1]).await.is_err(), "the second is not");
    store.release(&place, &first).await.unwrap();
    timeout(SOON, &mut waits[1]).await.expect("now it is");
    assert!(ask(&store, &place, 1, &second).await);
}

#[tokio::test]
async fn permits_released_together_wake_as_many() {
    let server = RedisServer::start().await;
    let store = store(&server.url()).await;
    let process = process(&server, &store).await;
    let [one, two, first, second] = ["one", "two", "first", "second"].map(|name| format!("{process}-{name}"));
    let place = place("b");
    for (owner, is_granted) in [(&one, true), (&two, true), (&first, false), (&second, false)] {
        assert_eq!(ask(&store, &place, 2, owner).await, is_granted);
    }
    let mut waits = [&first, &second].map(|owner| Box::pin(store.wait(&place, owner, LONG)));
    for wait in &mut waits {
        let _ = timeout(Duration::from_millis(1), wait).await; // it has begun
    }
    subscribed(&server, &process).await;
    store.release(&place, &one).await.unwrap();
    store.release(&place, &two).await.unwrap();
    timeout(SOON, &mut waits[0]).await.expect("a release wakes the first");
    assert!(ask(&store, &place, 2, &first).await);
    timeout(SOON, &mut waits[1]).await.expect("and the first, once it has its permit, the second");
    assert!(ask(&store, &place, 2, &second).await);
}

#[tokio::test]
async fn an_account_without_channels_gets_its_locks_by_asking() {
    let server = RedisServer::start().await;
    server.cli(&["ACL", "SETUSER", "app", "on", ">secret", "~*", "resetchannels", "+@all"]).await;
    let store = store(&server.url().replace("redis://", "redis://app:secret@")).await;
    let guard = Lock::new(store.clone(), "a").acquire(SOON).await.unwrap();
    let waiter = tokio::spawn(async move { Lock::new(store, "a").acquire(SOON).await.map(drop) });
    poll_until(SOON, async || (server.cli(&["ZCARD", "tidegate:{l:a}:queue"]).await == "1").then_some(()))
        .await
        .unwrap();
    let released = Instant::now();
    guard.release().await.unwrap();
    waiter.await.unwrap().unwrap();
    assert!(released.elapsed() < SOON / 4);
}
