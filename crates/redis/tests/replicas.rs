//! Replicas are read only while their lag is small.

#![allow(clippy::unwrap_used, reason = "in a test a panic is an answer")]

use std::time::Duration;

use tidegate_redis::{Arg, Client, Command, Config, ErrorKind, Replicas, Role, Script};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::{RedisServer, Relay};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_replica_that_falls_behind_is_not_read_and_one_that_writes_keep_busy_is() {
    let primary = RedisServer::start().await;
    let relay = Relay::start(primary.port()).await;
    let _replica = RedisServer::builder().set("replicaof", &format!("127.0.0.1 {}", relay.port())).start().await;
    let client = Client::connect(&Config::parse(&primary.url()).unwrap(), Role::Cache).await.unwrap();
    let replicas = Replicas::of(&client, Duration::from_millis(500));
    poll_until(SOON, async || (replicas.count() == 1).then_some(())).await.unwrap();
    let read = Script::new("get", "return redis.call('GET', KEYS[1])");
    let (get, set) = (
        async || replicas.run_in(0, &read, 1, vec![Arg::from("k")]).await,
        async |value: u64| client.execute(Command::new("SET").key("k").arg(value)).await.unwrap(),
    );
    // Writes are always in transit, but the lag stays small.
    for value in 0..200 {
        set(value).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(replicas.count(), 1);
    poll_until(SOON, async || (get().await.unwrap().as_int().ok()? == 199).then_some(())).await.unwrap();
    // Its connection stays open, and it answers.
    relay.stop_replies();
    set(200).await;
    poll_until(SOON, async || (replicas.count() == 0).then_some(())).await.unwrap();
    assert_eq!(get().await.unwrap_err().kind(), ErrorKind::Unavailable);
}

/// A check of a replica waits for as long as a command may take. The state of the others must not
/// become older than the lag.
#[tokio::test]
async fn a_replica_that_hangs_takes_none_of_the_others_along() {
    let lag = Duration::from_millis(500);
    let primary = RedisServer::start().await;
    let mut hung = RedisServer::builder().replica_of(&primary).start().await;
    let _other = RedisServer::builder().replica_of(&primary).start().await;
    let config = Config::parse(&primary.url()).unwrap().command_timeout(Duration::from_secs(30));
    let client = Client::connect(&config, Role::Cache).await.unwrap();
    let replicas = Replicas::of(&client, lag);
    poll_until(SOON, async || (replicas.count() == 2).then_some(())).await.unwrap();
    hung.hang().await;
    poll_until(SOON, async || (replicas.count() == 1).then_some(())).await.unwrap();
    // After this time, all state from before is too old.
    tokio::time::sleep(2 * lag).await;
    poll_until(SOON, async || (replicas.count() == 1).then_some(())).await.unwrap();
    hung.resume();
    poll_until(SOON, async || (replicas.count() == 2).then_some(())).await.unwrap();
}

#[tokio::test]
async fn a_script_that_writes_is_refused() {
    let primary = RedisServer::start().await;
    let _replica = RedisServer::builder().replica_of(&primary).start().await;
    let client = Client::connect(&Config::parse(&primary.url()).unwrap(), Role::Cache).await.unwrap();
    let replicas = Replicas::of(&client, Duration::from_secs(1));
    poll_until(SOON, async || (replicas.count() == 1).then_some(())).await.unwrap();
    let write = Script::new("set", "return redis.call('SET', KEYS[1], '1')");
    let error = replicas.run_in(0, &write, 1, vec![Arg::from("k")]).await.unwrap_err();
    assert!(!error.is_transient(), "{error}");
    assert_eq!(client.get("k").await.unwrap(), None);
}
