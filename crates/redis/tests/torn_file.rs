//! A server that keeps part of a torn script in its append-only file: its warning, and the effect
//! of a rewrite.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

use std::time::Duration;

use tidegate_redis::{Client, Config, Role};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::RedisServer;

const LONG: Duration = Duration::from_secs(60);
const POP: &str = "local job = redis.call('LPOP', KEYS[1]); redis.call('HSET', KEYS[2], job, 'x'); return job";

async fn connect(server: &RedisServer, role: Role) -> Client {
    Client::connect(&Config::parse(&server.url()).unwrap(), role).await.unwrap()
}

#[tokio::test]
async fn a_durable_server_that_loads_torn_files_is_a_warning_with_advice() {
    let server = RedisServer::start().await;
    let info = connect(&server, Role::Durable).await.info().await.remove(0);
    if info.keeps_torn_scripts.is_none() {
        assert!(connect(&server, Role::Durable).await.warnings().is_empty());
        return;
    }
    let warnings = connect(&server, Role::Durable).await.warnings().to_vec();
    let [warning] = &*warnings else { panic!("{warnings:?}") };
    for part in ["redis-check-aof --fix", "aof-load-truncated no", "Valkey 9.1.2", &info.keeps_torn_scripts.unwrap()] {
        assert!(warning.contains(part), "{warning}");
    }
    assert_eq!(connect(&server, Role::Cache).await.warnings(), [""; 0]);
    server.cli(&["CONFIG", "SET", "aof-load-truncated", "no"]).await;
    assert_eq!(connect(&server, Role::Durable).await.warnings(), [""; 0]);
    // If the account may not read the setting, the default is assumed.
    server.cli(&["CONFIG", "SET", "aof-load-truncated", "yes"]).await;
    server.cli(&["ACL", "SETUSER", "default", "-config"]).await;
    assert_eq!(connect(&server, Role::Durable).await.warnings().len(), 1);
    let without = RedisServer::builder().set("appendonly", "no").start().await;
    let warnings = connect(&without, Role::Durable).await.warnings().to_vec();
    assert!(warnings.iter().all(|warning| !warning.contains("redis-check-aof")), "{warnings:?}");
}

/// Without the rewrite, the list has one element less after the second restart: a test of the test
/// kit shows this.
#[tokio::test]
async fn a_rewritten_file_has_no_remains_of_a_torn_script() {
    let mut server = RedisServer::start().await;
    let pop = ["EVAL", POP, "2", "list", "lease"];
    server.cli(&["RPUSH", "list", "a", "b", "c", "d"]).await;
    server.cli(&pop).await;
    server.kill9();
    server.append_only_file().tear_after(1);
    server.restart().await;
    let client = connect(&server, Role::Durable).await;
    let address = client.info().await.remove(0).address;
    client.rewrite_append_only_file(&address).await.unwrap();
    let done = async || {
        let state = server.cli(&["INFO", "persistence"]).await;
        let is_done = ["aof_rewrite_in_progress:0", "aof_rewrite_scheduled:0", "aof_last_bgrewrite_status:ok"];
        (is_done.iter().all(|line| state.contains(line)) && server.append_only_file().transactions().is_empty())
            .then_some(())
    };
    poll_until(LONG, done).await.unwrap();
    assert_eq!(server.cli(&pop).await, "a");
    server.kill9();
    server.restart().await;
    assert_eq!(server.cli(&["LRANGE", "list", "0", "-1"]).await, "b\nc\nd");
    let error = client.rewrite_append_only_file("127.0.0.1:1").await.unwrap_err();
    assert!(error.is_transient(), "{error}");
}
