//! Blocking commands, and their cancellation.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

use std::time::Duration;

use tidegate_redis::{BlockingPool, Config, ErrorKind, Role};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::RedisServer;
use tokio::time::{Instant, timeout};

const LONG: Duration = Duration::from_secs(60);

fn pool(server: &RedisServer, size: u32) -> BlockingPool {
    BlockingPool::new(&Config::parse(&server.url()).unwrap(), Role::Durable, size)
}

async fn wait_for_waiters(server: &RedisServer, count: usize) {
    poll_until(LONG, async || {
        let clients = server.cli(&["INFO", "clients"]).await;
        clients.contains(&format!("blocked_clients:{count}")).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn the_first_list_with_an_element_gives_it() {
    let server = RedisServer::start().await;
    let pool = pool(&server, 2);
    server.cli(&["RPUSH", "{l}b", "1"]).await;
    let popped = pool.blpop(&["{l}a", "{l}b"], LONG).await.unwrap();
    assert_eq!(popped, Some(("{l}b".to_owned(), "1".into())));
    let waiting = pool.clone();
    let waiting = tokio::spawn(async move { waiting.blpop(&["{l}a"], LONG).await });
    wait_for_waiters(&server, 1).await;
    server.cli(&["RPUSH", "{l}a", "2"]).await;
    assert_eq!(waiting.await.unwrap().unwrap(), Some(("{l}a".to_owned(), "2".into())));
}

#[tokio::test]
async fn nothing_comes_is_no_error() {
    let server = RedisServer::start().await;
    let begin = Instant::now();
    assert_eq!(pool(&server, 1).blpop(&["l"], Duration::from_millis(200)).await.unwrap(), None);
    assert!(begin.elapsed() >= Duration::from_millis(200));
    let error = pool(&server, 1).blpop(&["a", "b"], LONG).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_dropped_wait_takes_nothing() {
    let server = RedisServer::start().await;
    let pool = pool(&server, 1);
    for round in 0..20 {
        assert!(timeout(Duration::from_millis(20), pool.blpop(&["l"], LONG)).await.is_err());
        wait_for_waiters(&server, 0).await;
        let element = round.to_string();
        server.cli(&["RPUSH", "l", &element]).await;
        assert_eq!(pool.blpop(&["l"], LONG).await.unwrap().unwrap().1, element);
    }
}

#[tokio::test]
async fn no_more_than_the_size_wait_at_once() {
    let server = RedisServer::start().await;
    let pool = pool(&server, 1);
    let first = pool.clone();
    let first = tokio::spawn(async move { first.blpop(&["l"], LONG).await });
    wait_for_waiters(&server, 1).await;
    let error = pool.blpop(&["l"], Duration::from_millis(100)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    server.cli(&["RPUSH", "l", "1"]).await;
    assert!(first.await.unwrap().unwrap().is_some());
    server.cli(&["RPUSH", "l", "2"]).await;
    assert!(pool.blpop(&["l"], LONG).await.unwrap().is_some());
}

#[tokio::test]
async fn a_hung_server_is_given_up_a_second_after_the_time() {
    let mut server = RedisServer::start().await;
    let pool = pool(&server, 1);
    server.cli(&["RPUSH", "l", "0"]).await;
    assert!(pool.blpop(&["l"], LONG).await.unwrap().is_some());
    server.hang().await;
    let begin = Instant::now();
    let error = pool.blpop(&["l"], Duration::from_millis(200)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!((Duration::from_millis(1_200)..Duration::from_secs(3)).contains(&begin.elapsed()), "{:?}", begin.elapsed());
    server.resume();
    server.cli(&["RPUSH", "l", "1"]).await;
    poll_until(LONG, async || pool.blpop(&["l"], Duration::from_secs(1)).await.ok()).await.unwrap();
}

#[tokio::test]
async fn after_a_restart_nobody_waits_at_a_deaf_connection() {
    let mut server = RedisServer::start().await;
    let pool = pool(&server, 2);
    let waiting = pool.clone();
    let waiting = tokio::spawn(async move { waiting.blpop(&["l"], LONG).await });
    wait_for_waiters(&server, 1).await;
    server.kill9();
    assert!(waiting.await.unwrap().unwrap_err().is_transient());
    let error = pool.blpop(&["l"], Duration::from_secs(1)).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    server.restart().await;
    for element in ["1", "2", "3"] {
        server.cli(&["RPUSH", "l", element]).await;
        assert_eq!(pool.blpop(&["l"], LONG).await.unwrap().unwrap().1, element);
    }
}
