//! A cluster: slots migrate, primaries crash, and no answer reaches the wrong command.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

#[path = "cluster/log.rs"]
mod log;

use std::time::Duration;

use log::Log;
use tidegate_redis::{BlockingPool, Client, Command, Config, ErrorKind, Role, Script};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::{Cluster, RedisServer};
use tokio::time::Instant;

const LONG: Duration = Duration::from_secs(60);

async fn connect(cluster: &Cluster) -> Client {
    Client::connect(&Config::parse(&cluster.url()).unwrap(), Role::Durable).await.unwrap()
}

async fn set(client: &Client, key: &str, value: &str) -> Result<(), tidegate_redis::Error> {
    client.execute(Command::new("SET").key(key).arg(value)).await.map(drop)
}

/// A key that the node serves.
async fn key_on(cluster: &Cluster, node: usize, name: &str) -> String {
    for number in 0.. {
        let key = format!("{name}{number}");
        if cluster.primary_of(Client::slot_of(&key)).await == node {
            return key;
        }
    }
    unreachable!()
}

/// Regression test: fred's cluster mode takes the reply of another command for that to its ASKING.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_slot_migrates_every_answer_reaches_its_own_command() {
    let cluster = Cluster::start().await;
    let client = connect(&cluster).await;
    let moving = key_on(&cluster, 0, "moving").await;
    set(&client, &moving, "moved").await.unwrap();
    let slot = Client::slot_of(&moving);
    let from = cluster.begin_migration(slot, 1).await;
    cluster.migrate_keys(slot, from, 1).await;

    let mut readers = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let key = key_on(&cluster, 1, name).await;
        set(&client, &key, &format!("value of {key}")).await.unwrap();
        let client = client.clone();
        readers.push(tokio::spawn(async move {
            for _ in 0..2_000 {
                let value = client.get(&key).await.unwrap().unwrap();
                assert_eq!(value, format!("value of {key}"));
            }
        }));
    }
    for _ in 0..300 {
        assert_eq!(client.get(&moving).await.unwrap().as_deref(), Some(&b"moved"[..]));
    }
    let append = Script::new("append", "return redis.call('APPEND', KEYS[1], ARGV[1])");
    assert_eq!(client.run(&append, &[&moving], vec!["!".into()]).await.unwrap().as_int(), Ok(6));
    for reader in readers {
        reader.await.unwrap();
    }
    cluster.finish_migration(slot, from, 1).await;
    assert_eq!(client.get(&moving).await.unwrap().as_deref(), Some(&b"moved!"[..]));
    assert_eq!(cluster.primary_of(slot).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_one_primary_is_dead_the_others_serve_and_its_replica_takes_over() {
    let mut cluster = Cluster::start().await;
    let client = connect(&cluster).await;
    let (healthy, lost) = (key_on(&cluster, 0, "k").await, key_on(&cluster, 2, "k").await);
    set(&client, &healthy, "1").await.unwrap();
    set(&client, &lost, "1").await.unwrap();
    cluster.nodes()[2].kill9();

    let is_over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (reader, over, key) = (client.clone(), is_over.clone(), healthy.clone());
    let reader = tokio::spawn(async move {
        let (mut reads, mut slowest) = (0, Duration::ZERO);
        while !over.load(std::sync::atomic::Ordering::Relaxed) {
            let begin = Instant::now();
            reader.get(&key).await.unwrap();
            slowest = slowest.max(begin.elapsed());
            reads += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        (reads, slowest)
    });
    // The first calls may time out; later ones fail immediately.
    poll_until(LONG, async || {
        let begin = Instant::now();
        let error = client.get(&lost).await.err()?;
        (error.kind() == ErrorKind::Unavailable && begin.elapsed() < Duration::from_millis(10)).then_some(())
    })
    .await
    .unwrap();
    poll_until(LONG, async || set(&client, &lost, "2").await.ok()).await.unwrap();
    is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    let (reads, slowest) = reader.await.unwrap();
    assert!(reads > 10 && slowest < Duration::from_millis(500), "{reads} reads, the slowest took {slowest:?}");
    poll_until(LONG, async || (client.primaries().len() == 3 && client.availability().is_available()).then_some(()))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_failover_and_a_moved_slot_are_followed() {
    let mut cluster = Cluster::start().await;
    let client = connect(&cluster).await;
    let key = key_on(&cluster, 1, "k").await;
    set(&client, &key, "1").await.unwrap();
    cluster.failover(4).await;
    poll_until(LONG, async || set(&client, &key, "2").await.ok()).await.unwrap();
    assert_eq!(client.get(&key).await.unwrap().as_deref(), Some(&b"2"[..]));
    cluster.migrate_slot(Client::slot_of(&key), 0).await;
    assert_eq!(client.get(&key).await.unwrap().as_deref(), Some(&b"2"[..]));
    let old = cluster.nodes()[1].port().to_string();
    poll_until(LONG, async || (!client.primaries().iter().any(|node| node.to_string().ends_with(&old))).then_some(()))
        .await
        .unwrap();
}

#[tokio::test]
async fn keys_of_all_nodes_are_scanned_and_deleted() {
    let cluster = Cluster::start().await;
    let client = connect(&cluster).await;
    for number in 0..1_500 {
        set(&client, &format!("s:{number}"), "1").await.unwrap();
    }
    set(&client, "other", "1").await.unwrap();
    let mut found = std::collections::HashSet::new();
    let mut scan = client.scan("s:*");
    while let Some(keys) = scan.page().await.unwrap() {
        found.extend(keys);
    }
    assert_eq!(found.len(), 1_500);
    assert_eq!(client.unlink(found).await.unwrap(), 1_500);
    assert!(client.get("other").await.unwrap().is_some());
    assert_eq!(client.info().await.len(), 3);
}

#[tokio::test]
async fn one_waits_at_whichever_node_has_the_list() {
    let mut cluster = Cluster::start().await;
    let client = connect(&cluster).await;
    let pool = BlockingPool::new(client.config(), Role::Durable, 4);
    for node in 0..3 {
        let key = key_on(&cluster, node, "list").await;
        for element in ["one", "two"] {
            client.execute(Command::new("RPUSH").key(&key).arg(element)).await.unwrap();
            let popped = pool.blpop(&[&key], LONG).await.unwrap().unwrap();
            assert_eq!((popped.0.as_str(), &popped.1[..]), (key.as_str(), element.as_bytes()));
        }
    }
    // Also if the slot moves during a wait.
    let key = key_on(&cluster, 0, "list").await;
    let (waiting, waited) = (pool.clone(), key.clone());
    let waiting = tokio::spawn(async move { waiting.blpop(&[&waited], LONG).await });
    poll_until(LONG, async || cluster.nodes()[0].cli(&["CLIENT", "LIST"]).await.contains("cmd=blpop").then_some(()))
        .await
        .unwrap();
    cluster.migrate_slot(Client::slot_of(&key), 2).await;
    poll_until(LONG, async || cluster.nodes()[2].cli(&["CLIENT", "LIST"]).await.contains("cmd=blpop").then_some(()))
        .await
        .unwrap();
    client.execute(Command::new("RPUSH").key(&key).arg("three")).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().unwrap().1, "three");
}

/// Two servers that each name the other as the server of the slot.
#[tokio::test]
async fn a_command_that_is_redirected_without_end_is_named_a_moved_storm() {
    let log = Log::default();
    let _logged = tracing::subscriber::set_default(log.clone());
    let mut cluster = Cluster::start().await;
    let client = connect(&cluster).await;
    let key = key_on(&cluster, 0, "k").await;
    let slot = Client::slot_of(&key);
    let ids = [cluster.nodes()[0].cli(&["CLUSTER", "MYID"]).await, cluster.nodes()[1].cli(&["CLUSTER", "MYID"]).await];
    let give_to = async |node: &RedisServer, id: &str| {
        assert_eq!(node.cli(&["CLUSTER", "SETSLOT", &slot.to_string(), "NODE", id]).await, "OK");
    };
    give_to(&cluster.nodes()[0], &ids[1]).await;

    let script = Script::new("set", "return redis.call('SET', KEYS[1], '1')");
    let wait = Command::new("WAIT").arg(0_u64).arg(0_u64);
    let errors = [
        set(&client, &key, "1").await.unwrap_err(),
        client.run_then(slot, &script, 1, vec![key.as_str().into()], wait).await.unwrap_err(),
        BlockingPool::new(client.config(), Role::Durable, 1).blpop(&[&key], LONG).await.unwrap_err(),
    ];
    for error in &errors {
        let text = error.to_string();
        assert!(text.contains("MOVED storm") && text.contains(&format!("`MOVED {slot} 127.0.0.1:")), "{text}");
        assert!(error.is_transient() && !error.may_have_run(), "{error:?}");
    }
    for _ in 0..20 {
        set(&client, &key, "1").await.unwrap_err();
    }
    // One line of the client and one of the pool.
    let mut lines = log.lines();
    lines.retain(|line| line.contains("redirects commands without end"));
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("WARN") && lines[0].contains(&errors[0].to_string()), "{lines:?}");

    give_to(&cluster.nodes()[0], &ids[0]).await;
    poll_until(LONG, async || set(&client, &key, "2").await.ok()).await.unwrap();
}
