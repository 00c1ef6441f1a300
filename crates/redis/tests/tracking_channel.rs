//! Notices over a channel, for servers that refuse tracking.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

use std::time::Duration;

use futures_util::future::join_all;
use tidegate_redis::{Cause, Channel, Client, Command, Config, Notice, Role, Tracking};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::{Cluster, RedisServer};
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(60);

/// A server on which the user `app` may do everything except tracking.
async fn server() -> RedisServer {
    let server = RedisServer::start().await;
    let allowed = ["~*", "&*", "+@all", "-client|tracking", "-client|trackinginfo"];
    assert_eq!(server.cli(&[&["ACL", "SETUSER", "app", "on", ">secret"][..], &allowed].concat()).await, "OK");
    server
}

fn url(server: &RedisServer) -> String {
    format!("redis://app:secret@127.0.0.1:{}", server.port())
}

async fn client(url: &str) -> Client {
    Client::connect(&Config::parse(url).unwrap(), Role::Cache).await.unwrap()
}

async fn listeners<const N: usize>(url: &str) -> [(Channel, Tracking); N] {
    let mut listeners = Vec::new();
    for _ in 0..N {
        let channel = Channel::new(&client(url).await, "t:words");
        let tracking = Tracking::over(&channel).await.unwrap();
        assert!(tracking.is_complete());
        listeners.push((channel, tracking));
    }
    listeners.try_into().unwrap_or_else(|_| unreachable!("as many as asked for"))
}

async fn next(tracking: &mut Tracking) -> Notice {
    timeout(LONG, tracking.recv()).await.unwrap().unwrap()
}

async fn wait_for(tracking: &mut Tracking, wanted: &Notice) {
    while next(tracking).await != *wanted {}
}

fn key(text: &str) -> Notice {
    Notice::Key(text.to_owned().into())
}

#[tokio::test]
async fn a_user_that_may_not_track_is_told_so() {
    let server = server().await;
    let client = client(&url(&server)).await;
    let error = Tracking::start(&client, &["t:c:"]).await.unwrap_err();
    assert_eq!(error.code(), Some("NOPERM"), "{error}");
    // Also if it is forbidden later.
    server.cli(&["ACL", "SETUSER", "app", "+@all"]).await;
    let mut tracking = Tracking::start(&client, &["t:c:"]).await.unwrap();
    server.cli(&["ACL", "SETUSER", "app", "-client|tracking", "-client|trackinginfo"]).await;
    wait_for(&mut tracking, &Notice::Refused).await;
    assert!(!tracking.is_complete());
}

#[tokio::test]
async fn what_others_publish_is_heard_and_own_words_are_not() {
    let server = server().await;
    let [(one, mut at_one), (other, mut at_other)] = listeners(&url(&server)).await;
    for round in 0..50 {
        one.publish(&format!("t:one:{round}")).await.unwrap();
        other.publish(&format!("t:other:{round}")).await.unwrap();
        assert_eq!(next(&mut at_one).await, key(&format!("t:other:{round}")));
        assert_eq!(next(&mut at_other).await, key(&format!("t:one:{round}")));
    }
    // Messages in an unknown form are ignored, and the heartbeats continue.
    for word in ["", "short", "0123456789abcdef"] {
        server.cli(&["PUBLISH", "t:words", word]).await;
    }
    server.cli(&["PUBLISH", "t:words", "0123456789abcdeft:foreign"]).await;
    for tracking in [&mut at_one, &mut at_other] {
        assert_eq!(next(tracking).await, key("t:foreign"));
        assert!(tracking.is_complete());
    }
}

#[tokio::test]
async fn a_flush_and_a_lost_connection_are_noticed() {
    let server = server().await;
    let [(one, mut at_one), (_other, mut at_other)] = listeners(&url(&server)).await;
    server.cli(&["FLUSHALL"]).await;
    for tracking in [&mut at_one, &mut at_other] {
        wait_for(tracking, &Notice::Everything(Cause::Flush)).await;
    }
    server.cli(&["CLIENT", "KILL", "USER", "app"]).await;
    for tracking in [&mut at_one, &mut at_other] {
        wait_for(tracking, &Notice::Everything(Cause::Reconnected)).await;
        poll_until(LONG, async || tracking.is_complete().then_some(())).await.unwrap();
    }
    one.publish("t:later").await.unwrap();
    wait_for(&mut at_other, &key("t:later")).await;
}

/// A subscription can end while the connection continues. Messages are then missed, and so is the
/// heartbeat.
#[tokio::test]
async fn a_channel_that_went_silent_is_noticed() {
    let server = server().await;
    let [(_one, mut at_one)] = listeners(&url(&server)).await;
    server.cli(&["ACL", "SETUSER", "app", "resetchannels"]).await;
    poll_until(LONG, async || (!at_one.is_complete()).then_some(())).await.unwrap();
    server.cli(&["ACL", "SETUSER", "app", "allchannels"]).await;
    wait_for(&mut at_one, &Notice::Everything(Cause::Reconnected)).await;
    poll_until(LONG, async || at_one.is_complete().then_some(())).await.unwrap();
}

/// Regression test: fred does not read the answer to `SUBSCRIBE`, and gave a refusal to the next
/// command of the connection.
#[tokio::test]
async fn a_refused_subscription_leaves_each_reply_to_its_command() {
    let server = RedisServer::start().await;
    for user in [&["resetchannels", "+@all"][..], &["allchannels", "+@all", "-subscribe"]] {
        server.cli(&[&["ACL", "SETUSER", "app", "reset", "on", ">secret", "~*"], user].concat()).await;
        let client = client(&url(&server)).await;
        let channel = Channel::new(&client, "t:words");
        let echo = async |number: u32| {
            let text = number.to_string();
            let answer = client.execute(Command::new("ECHO").arg(text.as_str())).await.unwrap();
            assert_eq!(answer.into_text().unwrap(), text);
        };
        let commands = async {
            for first in (0..2_000).step_by(10) {
                join_all((first..first + 10).map(echo)).await;
            }
        };
        let ((), subscribed) = tokio::join!(commands, Tracking::over(&channel));
        assert!(subscribed.is_err() || !subscribed.unwrap().is_complete(), "{user:?}");
        echo(0).await;
    }
}

#[tokio::test]
async fn words_reach_every_node_of_a_cluster() {
    let cluster = Cluster::start().await;
    let [(one, mut at_one), (other, mut at_other)] = listeners(&cluster.url()).await;
    for round in 0..20 {
        one.publish(&format!("t:{round}")).await.unwrap();
        wait_for(&mut at_other, &key(&format!("t:{round}"))).await;
    }
    other.publish("t:last").await.unwrap();
    assert_eq!(next(&mut at_one).await, key("t:last"));
}
