//! The Redis servers of the test kit.

use std::time::Duration;

use tidegate_testkit::poll_until;
use tidegate_testkit::redis::{Certificates, Cluster, Proxy, RedisServer, Sentinels, redis_cli};

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_killed_server_comes_back_with_what_it_acknowledged() {
    let mut server = RedisServer::start().await;
    assert_eq!(server.cli(&["SET", "greeting", "hello"]).await, "OK");
    server.kill9();
    assert!(server.cli(&["PING"]).await.contains("refused"));
    server.restart().await;
    assert_eq!(server.cli(&["GET", "greeting"]).await, "hello");
}

#[tokio::test]
async fn a_server_that_hangs_answers_nothing_until_it_is_resumed() {
    let mut server = RedisServer::start().await;
    server.hang().await;
    let asked = tokio::time::timeout(Duration::from_millis(500), server.cli(&["PING"])).await;
    assert!(asked.is_err(), "{asked:?}");
    server.resume();
    assert_eq!(server.cli(&["PING"]).await, "PONG");
}

#[tokio::test]
async fn a_server_wants_its_password_and_its_settings() {
    let server = RedisServer::builder().password("secret").set("maxmemory-policy", "allkeys-lru").start().await;
    assert!(redis_cli(server.port(), &["GET", "x"]).await.contains("NOAUTH"));
    assert!(server.cli(&["CONFIG", "GET", "maxmemory-policy"]).await.contains("allkeys-lru"));
    assert_eq!(server.url(), format!("redis://:secret@127.0.0.1:{}", server.port()));
}

#[tokio::test]
async fn a_server_with_tls_refuses_plain_text() {
    let certificates = Certificates::generate();
    let server = RedisServer::builder().tls(&certificates).start().await;
    assert!(!redis_cli(server.port(), &["PING"]).await.contains("PONG"));
    let authority = certificates.authority();
    let tls = ["--tls", "--cacert", authority.to_str().unwrap(), "PING"];
    assert_eq!(redis_cli(server.port(), &tls).await, "PONG");
}

#[tokio::test]
async fn the_sentinels_choose_another_primary() {
    let mut sentinels = Sentinels::start().await;
    let first = sentinels.primary().await.port();
    sentinels.failover().await;
    let second = sentinels.primary().await.port();
    assert_ne!(first, second);
    sentinels.primary().await.kill9();
    sentinels.wait_for_primary_other_than(second).await;
    assert_eq!(sentinels.primary().await.cli(&["SET", "a", "b"]).await, "OK");
}

#[tokio::test]
async fn a_cluster_fails_over_and_moves_slots() {
    let mut cluster = Cluster::start().await;
    let before = cluster.primary_of(866).await; // the slot of `hello`
    assert_eq!(before, 0);
    assert_eq!(cluster.nodes()[0].cli(&["SET", "hello", "there"]).await, "OK");

    let from = cluster.begin_migration(866, 1).await;
    cluster.migrate_keys(866, from, 1).await;
    assert!(cluster.nodes()[0].cli(&["GET", "hello"]).await.contains("ASK 866"));
    cluster.finish_migration(866, from, 1).await;
    assert_eq!(cluster.nodes()[1].cli(&["GET", "hello"]).await, "there");

    cluster.nodes()[1].kill9();
    cluster.wait_until_primary(4).await;
    assert_eq!(cluster.primary_of(866).await, 4);
    cluster.nodes()[1].restart().await;
    cluster.wait_until_ok().await;
    cluster.failover(1).await;
    assert_eq!(cluster.nodes()[1].cli(&["GET", "hello"]).await, "there");
}

#[tokio::test]
async fn a_proxy_drops_only_the_reply_it_is_told_to_drop() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(&server).await;
    assert_eq!(redis_cli(proxy.port(), &["INCR", "n"]).await, "1");

    proxy.drop_next_reply();
    assert!(!redis_cli(proxy.port(), &["INCR", "n"]).await.contains('2'));
    assert_eq!((server.cli(&["GET", "n"]).await.as_str(), proxy.dropped()), ("2", 1));
    assert_eq!(redis_cli(proxy.port(), &["INCR", "n"]).await, "3");
}

#[tokio::test]
async fn a_proxy_loses_the_first_reply_to_each_command() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(&server).await;
    proxy.drop_every_reply_once();
    for key in ["a", "b"] {
        assert!(!redis_cli(proxy.port(), &["INCR", key]).await.contains('1'), "{key}");
        assert_eq!(redis_cli(proxy.port(), &["INCR", key]).await, "2", "{key}");
    }
    assert_eq!(proxy.dropped(), 2);
    proxy.restore();
    assert_eq!(redis_cli(proxy.port(), &["INCR", "c"]).await, "1");
}

#[tokio::test]
async fn a_proxy_that_hangs_answers_nothing_until_it_is_restored() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(&server).await;
    proxy.hang();
    let asked = tokio::time::timeout(Duration::from_millis(500), redis_cli(proxy.port(), &["INCR", "n"])).await;
    assert!(asked.is_err(), "{asked:?}");
    assert_eq!(server.cli(&["EXISTS", "n"]).await, "0");
    proxy.restore();
    assert_eq!(redis_cli(proxy.port(), &["INCR", "n"]).await, "1");
}

#[tokio::test]
async fn a_proxy_holds_replies_and_releases_them_in_request_order() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(&server).await;
    proxy.hold();
    let port = proxy.port();
    let mut asked = Vec::new();
    for nth in 1..=3 {
        asked.push(tokio::spawn(async move { redis_cli(port, &["INCR", "n"]).await }));
        poll_until(LONG, async || (proxy.held() == nth).then_some(())).await.unwrap();
    }
    let third = asked.pop().unwrap();
    proxy.release(2);
    for (nth, asked) in asked.into_iter().enumerate() {
        assert_eq!(asked.await.unwrap(), (nth + 1).to_string());
    }
    // The server has run the command earlier.
    poll_until(LONG, async || (server.cli(&["GET", "n"]).await == "3").then_some(())).await.unwrap();
    assert!(!third.is_finished());
    proxy.restore();
    assert_eq!(third.await.unwrap(), "3");
}
