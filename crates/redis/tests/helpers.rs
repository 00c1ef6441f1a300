//! Scans of keys, and the status of a server.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

use std::time::Duration;

use tidegate_redis::{Client, Command, Config, Role, Thresholds, Warning, escape_glob};
use tidegate_testkit::redis::RedisServer;

async fn connect(server: &RedisServer) -> Client {
    Client::connect(&Config::parse(&server.url()).unwrap(), Role::Cache).await.unwrap()
}

#[tokio::test]
async fn a_walk_finds_what_matches_and_takes_literals_as_such() {
    let server = RedisServer::start().await;
    let client = connect(&server).await;
    for key in ["a*b:1", "a*b:2", "axb:3", "a*b"] {
        client.execute(Command::new("SET").key(key).arg("1")).await.unwrap();
    }
    let mut keys = Vec::new();
    let mut scan = client.scan(format!("{}:*", escape_glob("a*b")));
    while let Some(page) = scan.page().await.unwrap() {
        keys.extend(page);
    }
    keys.sort();
    assert_eq!(keys, ["a*b:1", "a*b:2"]);
    assert_eq!(client.unlink(keys).await.unwrap(), 2);
    assert_eq!(client.unlink(Vec::<&'static str>::new()).await.unwrap(), 0);
}

#[tokio::test]
async fn a_server_tells_how_it_is() {
    let server = RedisServer::builder()
        .set("maxmemory", "1000000000")
        .set("slowlog-log-slower-than", "0")
        .set("appendonly", "no")
        .start()
        .await;
    let client = connect(&server).await;
    let earlier = client.info().await.remove(0);
    assert_eq!(earlier.address, format!("127.0.0.1:{}", server.port()));
    assert_eq!((earlier.role.as_deref(), earlier.is_append_only), (Some("master"), Some(false)));
    assert!(earlier.used_memory > Some(0) && earlier.resident_memory > Some(0) && earlier.clients > Some(0));
    assert_eq!(earlier.max_memory, Some(1_000_000_000));
    let told = [earlier.rejected_connections, earlier.commands_per_second, earlier.evicted_keys, earlier.hits];
    assert!(told.iter().all(Option::is_some) && earlier.last_fork.is_some() && earlier.fragmentation.is_some());
    assert_eq!(earlier.processor_percent, None);
    // Takes far longer than the resolution of the CPU time, on any machine.
    let busy = client.execute(Command::new("EVAL").arg("for i = 1, 20000000 do end return 1").arg(0_u32)).await;
    busy.unwrap();
    let later = client.info().await.remove(0).since(&earlier);
    assert!(later.processor_percent > Some(0.0), "{later:?}");
    assert_eq!(later.warnings(&Thresholds::default().clients(0).processor_percent(1e9)).len(), 1);
    assert!(matches!(later.warnings(&Thresholds::default().clients(0)).last(), Some(Warning::Clients { .. })));

    let slow = client.slowlog(10).await;
    assert!(slow.iter().any(|entry| entry.command.starts_with("EVAL")), "{slow:?}");
    assert!(slow.iter().all(|entry| entry.took >= Duration::from_millis(10)) && slow.len() <= 10, "{slow:?}");
}
