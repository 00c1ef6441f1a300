//! Sentinels: the client follows to the new primary.

mod support;

use std::time::Duration;

use support::{LONG, Sentinels};
use tidegate_redis::{BlockingPool, Cause, Client, Command, Config, Notice, Role, Tracking};
use tidegate_testkit::poll_until;

async fn set(client: &Client, value: &str) -> Option<()> {
    client.execute(Command::new("SET").key("t:c:k").arg(value)).await.ok().map(drop)
}

async fn forget(tracking: &mut Tracking) -> Option<Cause> {
    let waiting = async {
        loop {
            if let Some(Notice::Everything(cause)) = tracking.recv().await {
                return cause;
            }
        }
    };
    tokio::time::timeout(LONG, waiting).await.ok()
}

#[tokio::test]
async fn a_planned_failover_and_then_a_dead_primary_are_followed() {
    let mut sentinels = Sentinels::start().await;
    let config = Config::parse(&sentinels.url()).unwrap();
    let client = Client::connect(&config, Role::Durable).await.unwrap();
    let mut tracking = Tracking::start_with_heartbeat(&client, &["t:c:"], Duration::from_millis(100)).await.unwrap();
    set(&client, "1").await.unwrap();

    sentinels.failover().await;
    poll_until(LONG, async || {
        let replication = sentinels.servers[1].cli(&["INFO", "replication"]).await;
        replication.contains("role:master").then_some(())
    })
    .await
    .unwrap();
    poll_until(LONG, async || {
        set(&client, "2").await?;
        (sentinels.servers[1].cli(&["GET", "t:c:k"]).await == "2").then_some(())
    })
    .await
    .unwrap();
    assert!(forget(&mut tracking).await.is_some());
    poll_until(LONG, async || tracking.is_complete().then_some(())).await.unwrap();
    sentinels.servers[1].cli(&["SET", "t:c:foreign", "1"]).await;
    let wanted = Notice::Key("t:c:foreign".into());
    let waiting = async { while tracking.recv().await.as_ref() != Some(&wanted) {} };
    tokio::time::timeout(LONG, waiting).await.unwrap();

    // The old primary is a replica now; it takes over when the new one dies.
    poll_until(LONG, async || {
        let replication = sentinels.servers[0].cli(&["INFO", "replication"]).await;
        (replication.contains("role:slave") && replication.contains("master_link_status:up")).then_some(())
    })
    .await
    .unwrap();
    sentinels.servers[1].kill9();
    poll_until(2 * LONG, async || set(&client, "3").await).await.unwrap();
    assert_eq!(sentinels.servers[0].cli(&["GET", "t:c:k"]).await, "3");
}

#[tokio::test]
async fn those_who_wait_find_the_new_primary() {
    let mut sentinels = Sentinels::start().await;
    let pool = BlockingPool::new(&Config::parse(&sentinels.url()).unwrap(), Role::Durable, 2);
    sentinels.servers[0].cli(&["RPUSH", "list", "1"]).await;
    assert_eq!(pool.blpop(&["list"], LONG).await.unwrap().unwrap().1, "1");
    sentinels.servers[0].kill9();
    poll_until(2 * LONG, async || {
        let replication = sentinels.servers[1].cli(&["INFO", "replication"]).await;
        replication.contains("role:master").then_some(())
    })
    .await
    .unwrap();
    sentinels.servers[1].cli(&["RPUSH", "list", "2"]).await;
    let popped = poll_until(LONG, async || pool.blpop(&["list"], Duration::from_secs(1)).await.ok().flatten()).await;
    assert_eq!(popped.unwrap().1, "2");
}
