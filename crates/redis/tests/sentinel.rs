//! Sentinels: the client switches to the new primary.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

use std::time::Duration;

use tidegate_redis::{BlockingPool, Cause, Client, Command, Config, Notice, Role, Tracking};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::Sentinels;

const LONG: Duration = Duration::from_secs(60);

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
        set(&client, "2").await?;
        (sentinels.primary().await.cli(&["GET", "t:c:k"]).await == "2").then_some(())
    })
    .await
    .unwrap();
    assert!(forget(&mut tracking).await.is_some());
    poll_until(LONG, async || tracking.is_complete().then_some(())).await.unwrap();
    sentinels.primary().await.cli(&["SET", "t:c:foreign", "1"]).await;
    let wanted = Notice::Key("t:c:foreign".into());
    let waiting = async { while tracking.recv().await.as_ref() != Some(&wanted) {} };
    tokio::time::timeout(LONG, waiting).await.unwrap();

    let primary = sentinels.primary().await;
    let port = primary.port();
    primary.kill9();
    sentinels.wait_for_primary_other_than(port).await;
    poll_until(LONG, async || set(&client, "3").await).await.unwrap();
    assert_eq!(sentinels.primary().await.cli(&["GET", "t:c:k"]).await, "3");
}

#[tokio::test]
async fn those_who_wait_find_the_new_primary() {
    let mut sentinels = Sentinels::start().await;
    let pool = BlockingPool::new(&Config::parse(&sentinels.url()).unwrap(), Role::Durable, 2);
    sentinels.servers()[0].cli(&["RPUSH", "list", "1"]).await;
    assert_eq!(pool.blpop(&["list"], LONG).await.unwrap().unwrap().1, "1");
    let port = sentinels.servers()[0].port();
    sentinels.servers()[0].kill9();
    sentinels.wait_for_primary_other_than(port).await;
    sentinels.primary().await.cli(&["RPUSH", "list", "2"]).await;
    let popped = poll_until(LONG, async || pool.blpop(&["list"], Duration::from_secs(1)).await.ok().flatten()).await;
    assert_eq!(popped.unwrap().1, "2");
}
