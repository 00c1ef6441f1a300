//! On a cluster: changes of keys are noticed, or it is noticed that they could be missed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

use std::time::Duration;

use tidegate_redis::{Cause, Client, Config, Notice, Role, Tracking};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::Cluster;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(60);

const HEARTBEAT: Duration = Duration::from_millis(100);

async fn clients(cluster: &Cluster, count: usize) -> Vec<(Client, Tracking)> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let client = Client::connect(&Config::parse(&cluster.url()).unwrap(), Role::Cache).await.unwrap();
        let tracking = Tracking::start_with_heartbeat(&client, &["t:c:"], HEARTBEAT).await.unwrap();
        assert!(tracking.is_complete());
        clients.push((client, tracking));
    }
    clients
}

async fn wait_for(tracking: &mut Tracking, wanted: &Notice) {
    let waiting = async { while tracking.recv().await.as_ref() != Some(wanted) {} };
    timeout(LONG, waiting).await.unwrap_or_else(|_| panic!("no {wanted:?}"));
}

/// A write of another client to the node that serves the key.
async fn write(cluster: &mut Cluster, key: &str) {
    let node = cluster.primary_of(Client::slot_of(key)).await;
    assert_eq!(cluster.nodes()[node].cli(&["SET", key, "1"]).await, "OK");
}

#[tokio::test]
async fn foreign_writes_on_every_primary_are_noticed() {
    let mut cluster = Cluster::start().await;
    let mut clients = clients(&cluster, 3).await;
    let keys: Vec<String> = (0..30).map(|number| format!("t:c:{number}")).collect();
    for key in &keys {
        write(&mut cluster, key).await;
    }
    for (_, tracking) in &mut clients {
        let mut missing: Vec<Notice> = keys.iter().map(|key| Notice::Key(key.clone().into())).collect();
        while !missing.is_empty() {
            let notice = timeout(LONG, tracking.recv()).await.unwrap().unwrap();
            missing.retain(|missing| *missing != notice);
        }
    }
}

#[tokio::test]
async fn a_flush_of_one_primary_is_noticed_by_all() {
    let mut cluster = Cluster::start().await;
    let mut clients = clients(&cluster, 3).await;
    for node in 0..3 {
        assert_eq!(cluster.nodes()[node].cli(&["FLUSHALL"]).await, "OK");
        for (_, tracking) in &mut clients {
            wait_for(tracking, &Notice::Everything(Cause::Flush)).await;
        }
    }
}

#[tokio::test]
async fn a_killed_connection_is_tracked_again() {
    let mut cluster = Cluster::start().await;
    let mut clients = clients(&cluster, 2).await;
    cluster.nodes()[1].cli(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    for (_, tracking) in &mut clients {
        wait_for(tracking, &Notice::Everything(Cause::Reconnected)).await;
    }
    for number in 0..9 {
        let key = format!("t:c:{number}");
        write(&mut cluster, &key).await;
        for (_, tracking) in &mut clients {
            wait_for(tracking, &Notice::Key(key.clone().into())).await;
        }
    }
}

#[tokio::test]
async fn a_failover_is_noticed_and_the_new_primary_tracked() {
    let mut cluster = Cluster::start().await;
    let mut clients = clients(&cluster, 2).await;
    cluster.nodes()[2].kill9();
    for (_, tracking) in &mut clients {
        wait_for(tracking, &Notice::Everything(Cause::TopologyChanged)).await;
        poll_until(LONG, async || tracking.is_complete().then_some(())).await.unwrap();
    }
    let key = (0..).map(|number| format!("t:c:{number}")).find(|key| Client::slot_of(key) > 10_922).unwrap();
    assert_eq!(cluster.nodes()[5].cli(&["SET", &key, "2"]).await, "OK");
    for (_, tracking) in &mut clients {
        wait_for(tracking, &Notice::Key(key.clone().into())).await;
    }
}

#[tokio::test]
async fn keys_of_a_migrated_slot_are_tracked_where_they_are() {
    let mut cluster = Cluster::start().await;
    let mut clients = clients(&cluster, 2).await;
    let key = (0..).map(|number| format!("t:c:{number}")).find(|key| Client::slot_of(key) < 5_000).unwrap();
    write(&mut cluster, &key).await;
    cluster.migrate_slot(Client::slot_of(&key), 1).await;
    for (_, tracking) in &mut clients {
        // The write, and the removal from the old node.
        wait_for(tracking, &Notice::Key(key.clone().into())).await;
        while timeout(5 * HEARTBEAT, tracking.recv()).await.is_ok() {}
    }
    assert_eq!(cluster.nodes()[1].cli(&["SET", &key, "2"]).await, "OK");
    for (_, tracking) in &mut clients {
        wait_for(tracking, &Notice::Key(key.clone().into())).await;
    }
}

#[tokio::test]
async fn the_keys_that_find_a_flush_may_migrate_too() {
    let mut cluster = Cluster::start().await;
    let mut clients = clients(&cluster, 2).await;
    let epoch = cluster.nodes()[0].cli(&["KEYS", "t:epoch:*"]).await;
    let slot = Client::slot_of(&epoch);
    let from = cluster.begin_migration(slot, 1).await;
    cluster.migrate_keys(slot, from, 1).await;
    for (_, tracking) in &mut clients {
        wait_for(tracking, &Notice::Everything(Cause::TopologyChanged)).await;
        poll_until(LONG, async || tracking.is_complete().then_some(())).await.unwrap();
    }
    cluster.finish_migration(slot, from, 1).await;
    assert_eq!(cluster.nodes()[0].cli(&["FLUSHALL"]).await, "OK");
    for (_, tracking) in &mut clients {
        wait_for(tracking, &Notice::Everything(Cause::Flush)).await;
    }
}
