//! Processes, not only nodes: thousands of callers in each request a key that no process has.

use std::env;
use std::time::Duration;

use tidegate_cache::{Fill, Source};
use tidegate_redis::{Client, Command};
use tidegate_testkit::Process;
use tidegate_testkit::redis::RedisServer;
use tidegate_testkit::{poll_until, scale};
use tokio::task::JoinSet;

use crate::ground::{Node, SOON, client, key, patient};

const URL: &str = "TIDEGATE_TEST_COLD_KEY";
const PROCESSES: u64 = 3;
const KEYS: u32 = 3;

async fn add(client: &Client, name: &str) -> u64 {
    let added = client.execute(Command::new("INCR").key(name)).await.unwrap().as_int().unwrap();
    u64::try_from(added).unwrap()
}

async fn count(client: &Client, name: &str) -> u64 {
    let count = client.get(name).await.unwrap();
    count.map_or(0, |digits| str::from_utf8(&digits).unwrap().parse().unwrap())
}

/// Work of each process.
async fn ask(url: &str) {
    // This test does not measure how long losers wait for the winner. On a busy machine a second
    // can be short.
    let node = Node::start_in(&patient(url), "tg", |tier| tier.wait(SOON)).await;
    let callers = scale(700, 10_000);
    for index in 0..KEYS {
        add(&node.client, &format!("ready:{index}")).await;
        poll_until(3 * SOON, async || {
            (count(&node.client, &format!("ready:{index}")).await == PROCESSES).then_some(())
        })
        .await
        .unwrap();
        let mut reads = JoinSet::new();
        for _ in 0..callers {
            let node = node.clone();
            reads.spawn(async move {
                let counter = node.client.clone();
                let load = async move || {
                    let loads = add(&counter, "loads").await;
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    Ok::<_, std::convert::Infallible>(Fill::new(u32::try_from(loads).unwrap()))
                };
                node.things.fetch(&key(index), load).await.unwrap()
            });
        }
        for read in reads.join_all().await {
            assert_eq!(*read.value, index + 1, "from {:?}", read.source);
            assert_ne!(read.source, Source::Stale);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_callers_in_three_processes_make_one_load() {
    if let Ok(url) = env::var(URL) {
        return ask(&url).await;
    }
    let server = RedisServer::start().await;
    let start = |number| {
        let test = "processes::thousands_of_callers_in_three_processes_make_one_load";
        let process = Process::builder(env::current_exe().unwrap()).name(format!("asker-{number}"));
        process.args(["--exact", test, "--nocapture"]).env(URL, server.url()).start().unwrap()
    };
    let mut processes: Vec<Process> = (0..PROCESSES).map(start).collect();
    for process in &mut processes {
        let status = process.wait_for_exit(9 * SOON).await.unwrap();
        assert!(status.success(), "{status}");
    }
    assert_eq!(count(&client(&server.url()).await, "loads").await, u64::from(KEYS));
}
