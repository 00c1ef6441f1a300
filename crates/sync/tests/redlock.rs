//! A lock over three independent masters.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it is surprised")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use support::{SOON, connect, keyspace};
use tidegate_sync::{AcquireError, Redlock};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::RedisServer;

const KEY: &str = "tidegate:{l:a}:redlock";

async fn three() -> (Vec<RedisServer>, Redlock) {
    let mut servers = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..3 {
        let server = RedisServer::start().await;
        clients.push(connect(server.url()).await);
        servers.push(server);
    }
    (servers, Redlock::try_new(clients, &keyspace(), "a").unwrap())
}

async fn until_released(servers: &[RedisServer]) {
    for server in servers {
        let is_free = async || (server.cli(&["EXISTS", KEY]).await == "0").then_some(());
        poll_until(SOON, is_free).await.unwrap();
    }
}

#[tokio::test]
async fn it_has_one_holder_and_is_released_everywhere() {
    let (servers, lock) = three().await;
    let guard = lock.try_acquire().await.unwrap().unwrap();
    assert!(guard.is_held() && guard.remaining() <= Duration::from_secs(10));
    assert!(lock.try_acquire().await.unwrap().is_none());
    let timed_out = lock.acquire(Duration::from_millis(100)).await.unwrap_err();
    assert!(matches!(timed_out, AcquireError::TimedOut { .. }), "{timed_out}");
    let another = lock.named(&keyspace(), "b").try_acquire().await.unwrap().unwrap();
    assert!(guard.extend().await.unwrap());
    guard.release().await.unwrap();
    until_released(&servers).await;
    drop(lock.acquire(SOON).await.unwrap());
    until_released(&servers).await;
    assert!(another.is_held());
}

#[tokio::test]
async fn it_stands_while_most_masters_do() {
    let (mut servers, lock) = three().await;
    let lock = lock.lease(Duration::from_secs(2));
    let guard = lock.acquire(SOON).await.unwrap();
    servers[0].kill9();
    assert!(poll_until(SOON, async || guard.extend().await.ok()).await.unwrap());
    let _ = guard.release().await;
    let guard = lock.acquire(SOON).await.unwrap();
    servers[1].kill9();
    tokio::time::timeout(SOON, guard.lost()).await.unwrap();
    assert!(!guard.is_held());
    let error = lock.acquire(Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(error, AcquireError::Store(_)), "{error}");
}

#[tokio::test]
async fn a_master_that_answers_late_is_told_too() {
    let (mut servers, lock) = three().await;
    servers[2].hang().await;
    let guard = lock.acquire(SOON).await.unwrap();
    // Two of three report the release; the third does not reply.
    let _ = guard.release().await;
    until_released(&servers[..2]).await;
    servers[2].resume();
    until_released(&servers).await;
}

#[tokio::test]
async fn rivals_never_overlap() {
    let (_servers, lock) = three().await;
    let inside = Arc::new(AtomicU32::new(0));
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let (lock, inside) = (lock.clone(), inside.clone());
            tokio::spawn(async move {
                for _ in 0..10 {
                    let guard = lock.acquire(SOON * 3).await.unwrap();
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    tokio::task::yield_now().await;
                    inside.fetch_sub(1, Ordering::SeqCst);
                    let _ = guard.release().await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn two_masters_are_no_majority_and_four_are_no_better_than_three() {
    let server = RedisServer::start().await;
    let client = connect(server.url()).await;
    for count in [0, 1, 2, 4] {
        assert!(Redlock::try_new(vec![client.clone(); count], &keyspace(), "a").is_err(), "{count}");
    }
}
