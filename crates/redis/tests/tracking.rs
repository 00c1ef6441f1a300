//! On one server: changes of keys are noticed, or it is noticed that they could be missed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

use std::collections::HashSet;
use std::time::Duration;

use tidegate_redis::{Cause, Client, Command, Config, Notice, Role, Script, Tracking};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::RedisServer;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(60);

const HEARTBEAT: Duration = Duration::from_millis(100);

async fn clients(url: &str, count: usize) -> Vec<(Client, Tracking)> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let client = Client::connect(&Config::parse(url).unwrap(), Role::Cache).await.unwrap();
        let tracking = Tracking::start_with_heartbeat(&client, &["t:c:"], HEARTBEAT).await.unwrap();
        assert!(tracking.is_complete());
        clients.push((client, tracking));
    }
    clients
}

/// Waits for a notice; skips others.
async fn wait_for(tracking: &mut Tracking, wanted: &Notice) {
    let waiting = async { while tracking.recv().await.as_ref() != Some(wanted) {} };
    timeout(LONG, waiting).await.unwrap_or_else(|_| panic!("no {wanted:?}"));
}

fn key(text: &str) -> Notice {
    Notice::Key(text.to_owned().into())
}

#[tokio::test]
async fn writes_of_others_are_noticed_and_own_ones_are_not() {
    let server = RedisServer::start().await;
    let mut clients = clients(&server.url(), 2).await;
    server.cli(&["SET", "t:c:foreign", "1"]).await;
    for (_, tracking) in &mut clients {
        assert_eq!(timeout(LONG, tracking.recv()).await.unwrap(), Some(key("t:c:foreign")));
    }
    server.cli(&["SET", "t:other", "1"]).await;
    clients[0].0.execute(Command::new("SET").key("t:c:own").arg("1")).await.unwrap();
    server.cli(&["DEL", "t:c:foreign"]).await;
    // The first client gets no notice of its own write, and no client gets one of keys outside of
    // the prefix.
    assert_eq!(timeout(LONG, clients[0].1.recv()).await.unwrap(), Some(key("t:c:foreign")));
    assert_eq!(timeout(LONG, clients[1].1.recv()).await.unwrap(), Some(key("t:c:own")));
}

#[tokio::test]
async fn own_changes_in_scripts_are_noticed() {
    let server = RedisServer::start().await;
    let mut clients = clients(&server.url(), 1).await;
    let script = Script::new("set and delete", "redis.call('SET', KEYS[1], '') return redis.call('DEL', KEYS[1])");
    clients[0].0.run(&script, &["t:c:mark"], Vec::new()).await.unwrap();
    // Once, even though the key is deleted again.
    server.cli(&["SET", "t:c:after", "1"]).await;
    assert_eq!(timeout(LONG, clients[0].1.recv()).await.unwrap(), Some(key("t:c:mark")));
    assert_eq!(timeout(LONG, clients[0].1.recv()).await.unwrap(), Some(key("t:c:after")));
}

#[tokio::test]
async fn expiry_is_noticed() {
    let server = RedisServer::start().await;
    let mut clients = clients(&server.url(), 1).await;
    clients[0].0.execute(Command::new("SET").key("t:c:short").arg("1").arg("PX").arg(50_u64)).await.unwrap();
    wait_for(&mut clients[0].1, &key("t:c:short")).await;
}

#[tokio::test]
async fn a_flush_is_noticed_by_all() {
    let server = RedisServer::start().await;
    let mut clients = clients(&server.url(), 3).await;
    for flush in ["FLUSHALL", "FLUSHDB"] {
        server.cli(&[flush]).await;
        for (_, tracking) in &mut clients {
            wait_for(tracking, &Notice::Everything(Cause::Flush)).await;
            assert!(tracking.is_complete());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn none_of_ten_thousand_changes_at_once_is_missed() {
    let server = RedisServer::start().await;
    let mut clients = clients(&server.url(), 2).await;
    let script = "for i = 1, 10000 do redis.call('SET', 't:c:' .. i, i) end return 'done'";
    assert_eq!(server.cli(&["EVAL", script, "0"]).await, "done");
    for (_, tracking) in &mut clients {
        let mut missing: HashSet<String> = (1..=10_000).map(|number| format!("t:c:{number}")).collect();
        while !missing.is_empty() {
            match timeout(LONG, tracking.recv()).await.unwrap().unwrap() {
                Notice::Key(key) => drop(missing.remove(std::str::from_utf8(&key).unwrap())),
                Notice::Everything(_) => missing.clear(),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_is_told_to_forget_everything() {
    let server = RedisServer::start().await;
    let mut clients = clients(&server.url(), 1).await;
    let script = "for i = 1, 60000 do redis.call('SET', 't:c:' .. i, i) end return 'done'";
    assert_eq!(server.cli(&["EVAL", script, "0"]).await, "done");
    server.cli(&["SET", "t:c:after", "1"]).await;
    wait_for(&mut clients[0].1, &Notice::Everything(Cause::Lagged)).await;
}

#[tokio::test]
async fn a_killed_connection_is_tracked_again() {
    let server = RedisServer::start().await;
    let mut clients = clients(&server.url(), 2).await;
    let killed: usize = server.cli(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await.parse().unwrap();
    assert!(killed >= 2, "{killed}");
    for (_, tracking) in &mut clients {
        wait_for(tracking, &Notice::Everything(Cause::Reconnected)).await;
    }
    server.cli(&["SET", "t:c:later", "1"]).await;
    for (_, tracking) in &mut clients {
        wait_for(tracking, &key("t:c:later")).await;
        assert!(tracking.is_complete());
    }
}

#[tokio::test]
async fn tracking_that_was_turned_off_is_turned_on() {
    let server = RedisServer::start().await;
    let mut clients = clients(&server.url(), 1).await;
    clients[0].0.execute(Command::new("CLIENT").arg("TRACKING").arg("OFF")).await.unwrap();
    wait_for(&mut clients[0].1, &Notice::Everything(Cause::Reconnected)).await;
    server.cli(&["SET", "t:c:later", "1"]).await;
    wait_for(&mut clients[0].1, &key("t:c:later")).await;
}

#[tokio::test]
async fn without_a_server_it_is_not_complete() {
    let mut server = RedisServer::start().await;
    let mut clients = clients(&server.url(), 1).await;
    server.kill9();
    let tracking = &mut clients[0].1;
    poll_until(LONG, async || (!tracking.is_complete()).then_some(())).await.unwrap();
    server.restart().await;
    wait_for(tracking, &Notice::Everything(Cause::Reconnected)).await;
    poll_until(LONG, async || tracking.is_complete().then_some(())).await.unwrap();
}

#[tokio::test]
async fn what_the_server_refuses_is_an_error() {
    let server = RedisServer::start().await;
    let client = Client::connect(&Config::parse(&server.url()).unwrap(), Role::Cache).await.unwrap();
    let error = Tracking::start(&client, &["a", "ab"]).await.unwrap_err();
    assert!(error.to_string().contains("overlap"), "{error}");
}

/// No command is sent whose time-out would detect the outage.
#[tokio::test]
async fn a_server_that_leaves_heartbeats_unanswered_counts_as_away() {
    let mut server = RedisServer::start().await;
    let (client, tracking) = clients(&server.url(), 1).await.remove(0);
    server.hang().await;
    poll_until(LONG, async || (!client.availability().is_available()).then_some(())).await.unwrap();
    assert!(!tracking.is_complete());
    server.resume();
    poll_until(LONG, async || (client.availability().is_available() && tracking.is_complete()).then_some(()))
        .await
        .unwrap();
}
