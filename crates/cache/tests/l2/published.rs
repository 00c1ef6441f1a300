//! A server that refuses `CLIENT TRACKING`: nodes notify one another over a channel.

use std::convert::Infallible;
use std::sync::atomic::Ordering;

use tidegate_cache::{Fill, Pattern, RedisTier, Source};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::{Proxy, RedisServer};

use crate::ground::{Node, SOON, Store, key, nodes_on, patient, tag};

/// A server on which the user `app` may do all but track, and its URL.
async fn server() -> (RedisServer, String) {
    let server = RedisServer::start().await;
    let allowed = ["~*", "&*", "+@all", "-client|tracking", "-client|trackinginfo"];
    server.cli(&[&["ACL", "SETUSER", "app", "on", ">secret"][..], &allowed].concat()).await;
    let url = patient(&format!("redis://app:secret@127.0.0.1:{}", server.port()));
    (server, url)
}

/// Everything that `one` can do to a value that `other` holds.
async fn changes_reach(one: &Node, other: &Node) {
    let store = Store::default();
    for round in 0..21 {
        other.read(1, &store).await;
        one.read(1, &store).await;
        assert!(one.has(1) && other.has(1), "round {round}");
        let new = store.row.fetch_add(1, Ordering::SeqCst) + 1;
        match round % 7 {
            0 => drop(one.cache.remove(&key(1)).await.unwrap()),
            1 => one.cache.invalidate_tag(&tag()).await.unwrap(),
            2 => drop(one.cache.invalidate_pattern(&Pattern::parse("thing:*").unwrap()).await.unwrap()),
            3 => drop(one.cache.invalidate_class("things").await.unwrap()),
            4 => one.cache.clear().await.unwrap(),
            5 => {
                let write = async move || Ok::<_, Infallible>(Fill::new(new).tag(tag()));
                assert!(one.things.write_through(&key(1), write).await.unwrap().cached);
            }
            _ => assert!(one.things.put(&key(1), Fill::new(new).tag(tag())).await),
        }
        // The node gets no notice of its own change, so its next value is kept.
        let read = one.read(1, &store).await;
        assert_eq!((*read.value, read.stored), (new, true), "round {round}");
        other.until_gone(1).await;
        assert_eq!(*other.read(1, &store).await.value, new, "round {round}");
        assert_eq!(one.read(1, &store).await.source, Source::Hit, "round {round}");
    }
}

#[tokio::test]
async fn nodes_without_permission_to_track_notify_one_another() {
    let (_server, url) = server().await;
    let [one, other] = nodes_on(&url).await;
    changes_reach(&one, &other).await;
    changes_reach(&other, &one).await;
    // Reported once, for the operator.
    let heard = one.listener.0.lock().unwrap().clone();
    assert!(heard.len() == 1 && heard[0].contains("follow") && heard[0].contains("NOPERM"), "{heard:?}");
}

#[tokio::test]
async fn a_node_that_may_track_can_be_made_to_publish() {
    let (server, url) = server().await;
    let [one] = nodes_on(&url).await;
    let other = Node::start_in(&patient(&server.url()), "tg", RedisTier::published).await;
    changes_reach(&one, &other).await;
    changes_reach(&other, &one).await;
    assert_eq!(other.l2().errors, 0);
}

#[tokio::test]
async fn values_are_not_served_after_the_channel_may_have_lost_their_notices() {
    let (server, url) = server().await;
    let [one, other] = nodes_on(&url).await;
    let store = Store::default();
    let ways: [&[&str]; 2] = [&["FLUSHALL"], &["CLIENT", "KILL", "USER", "app"]];
    for (index, way) in (0..).zip(ways) {
        for node in [&one, &other] {
            node.until(|l2| l2.is_followed && l2.is_available).await;
            poll_until(SOON, async || node.read(index, &store).await.stored.then_some(())).await.unwrap();
        }
        server.cli(way).await;
        for node in [&one, &other] {
            node.until_gone(index).await;
        }
    }
}

#[tokio::test]
async fn tracking_that_is_forbidden_later_is_replaced_by_the_channel() {
    let (server, url) = server().await;
    server.cli(&["ACL", "SETUSER", "app", "+@all"]).await;
    let [one, other] = nodes_on(&url).await;
    server.cli(&["ACL", "SETUSER", "app", "-client|tracking", "-client|trackinginfo"]).await;
    for node in [&one, &other] {
        node.until(|l2| l2.errors > 0 && l2.is_followed).await;
    }
    changes_reach(&one, &other).await;
}

/// Two nodes are forbidden to track, and one finds out first. Changes of the other, made while it
/// still believes that the server notifies, are made up for.
#[tokio::test]
async fn values_changed_before_the_last_node_subscribed_are_not_served() {
    let (server, url) = server().await;
    server.cli(&["ACL", "SETUSER", "app", "+@all"]).await;
    server.cli(&["ACL", "SETUSER", "late", "on", ">secret", "~*", "&*", "+@all"]).await;
    let proxy = Proxy::start(&server).await;
    let [first] = nodes_on(&url).await;
    let [last] = nodes_on(&patient(&proxy.url().replace("redis://", "redis://late:secret@"))).await;
    let store = Store::default();
    last.read(1, &store).await;
    // A heartbeat of the last node has received the reply that it tracks, and waits.
    proxy.hold();
    poll_until(SOON, async || (proxy.held() > 0).then_some(())).await.unwrap();
    for user in ["app", "late"] {
        server.cli(&["ACL", "SETUSER", user, "-client|tracking", "-client|trackinginfo"]).await;
    }
    // A connection keeps its tracking, so the first node loses its connection.
    server.cli(&["CLIENT", "KILL", "USER", "app"]).await;
    first.until(|l2| l2.errors > 0 && l2.is_followed).await;
    assert_eq!(*first.read(1, &store).await.value, 0);
    store.row.store(1, Ordering::SeqCst);
    let (key, before) = (key(1), proxy.held());
    let (told, ()) = tokio::join!(last.cache.remove(&key), async {
        poll_until(SOON, async || (proxy.held() > before).then_some(())).await.unwrap();
        assert_eq!(last.l2().errors, 0, "it does not know yet");
        proxy.restore();
    });
    told.unwrap();
    last.until(|l2| l2.errors > 0 && l2.is_followed).await;
    first.until_gone(1).await;
    assert_eq!(*first.read(1, &store).await.value, 1);
}
