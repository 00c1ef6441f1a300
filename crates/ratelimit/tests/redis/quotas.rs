//! Quotas that are changed for all nodes. Each node has its own client and limiter.

use std::sync::Arc;
use std::time::Duration;

use tidegate_ratelimit::{
    FallbackLimiter, FixedWindow, Limiter, MemoryLimiter, PublishError, Quota, QuotaError, Quotas, RedisLimiter,
    SharedQuotas, SlidingLog, TokenBucket, UnsupportedAlgorithm, Windows,
};
use tidegate_redis::Command;
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::RedisServer;
use tokio::time::Instant;

use crate::support::{LONG, connect, keyspace};

const HASH: &str = "test:{rl:quotas}";

struct Node {
    limiter: Arc<dyn Limiter>,
    quotas: SharedQuotas,
}

fn quota(limit: u64) -> Quota {
    Quota::new(limit, Quota::MAX_PERIOD).unwrap()
}

async fn node(server: &RedisServer) -> Node {
    let client = connect(&server.url()).await;
    let shared = RedisLimiter::builder("api", FixedWindow::new(quota(10)), client.clone(), keyspace()).build().unwrap();
    let limiter: Arc<dyn Limiter> = Arc::new(FallbackLimiter::builder(shared).build());
    let quotas = SharedQuotas::start(client, &keyspace()).await;
    quotas.register(limiter.clone());
    Node { limiter, quotas }
}

impl Node {
    async fn knows(&self, limit: u64) {
        let known = poll_until(LONG, async || (self.limiter.quota() == quota(limit)).then_some(())).await;
        assert!(known.is_ok(), "{:?}", self.quotas);
    }
}

#[tokio::test]
async fn a_change_holds_on_every_node_within_a_second() {
    let server = RedisServer::start().await;
    let (one, other) = (node(&server).await, node(&server).await);
    assert_eq!(one.limiter.check("key", 6).await.unwrap().remaining(), 4);

    one.quotas.publish("api", quota(8)).await.unwrap();
    assert_eq!(one.limiter.check("key", 0).await.unwrap().remaining(), 2, "here at once");
    let published = Instant::now();
    other.knows(8).await;
    assert!(published.elapsed() < Duration::from_secs(1), "{:?}", published.elapsed());
    assert_eq!(other.limiter.check("key", 0).await.unwrap().remaining(), 2, "usage is carried over");

    // A node that starts later reads it immediately. A withdrawal restores each node's own quota.
    let late = node(&server).await;
    assert_eq!((late.limiter.quota(), late.quotas.epoch()), (quota(8), one.quotas.epoch()));
    assert_eq!(late.quotas.published(), [("api".to_owned(), quota(8).into())]);
    late.quotas.withdraw("api").await.unwrap();
    for node in [one, other, late] {
        node.knows(10).await;
        assert_eq!(node.quotas.published(), []);
    }
}

#[tokio::test]
async fn a_node_that_was_cut_off_learns_it_after() {
    let mut server = RedisServer::start().await;
    let (one, other) = (node(&server).await, node(&server).await);
    one.quotas.publish("api", quota(8)).await.unwrap();
    other.knows(8).await;
    server.kill9();
    // The known quotas are kept, and a quota that could not be published is not applied.
    let refused = poll_until(LONG, async || one.quotas.publish("api", quota(3)).await.err()).await.unwrap();
    assert!(matches!(refused, PublishError::Store(_)), "{refused:?}");
    assert!(other.quotas.refresh().await.is_err());
    assert_eq!((one.limiter.quota(), other.limiter.quota()), (quota(8), quota(8)));

    // The server restarts. At first only one of them sends requests.
    server.restart().await;
    poll_until(LONG, async || one.quotas.publish("api", quota(5)).await.ok()).await.unwrap();
    other.knows(5).await;
    one.knows(5).await;
}

#[tokio::test]
async fn a_server_that_lost_a_change_is_told_again() {
    let server = RedisServer::start().await;
    let one = node(&server).await;
    one.quotas.publish("api", quota(8)).await.unwrap();
    one.quotas.publish("elsewhere", quota(9)).await.unwrap();
    one.quotas.refresh().await.unwrap();
    server.cli(&["FLUSHALL"]).await;
    one.quotas.refresh().await.unwrap();
    assert_eq!(one.limiter.quota(), quota(8));
    let late = node(&server).await;
    assert_eq!((late.limiter.quota(), late.quotas.epoch()), (quota(8), one.quotas.epoch()));
    assert_eq!(late.quotas.published().len(), 2);
}

#[tokio::test]
async fn what_cannot_be_applied_changes_nothing() {
    let server = RedisServer::start().await;
    let client = connect(&server.url()).await;
    let node = node(&server).await;
    let log = SlidingLog::new(quota(10)).unwrap();
    let log: Arc<dyn Limiter> =
        Arc::new(RedisLimiter::builder("log", log, client.clone(), keyspace()).build().unwrap());
    node.quotas.register(log.clone());
    let refused = node.quotas.publish("log", quota(5_000)).await.unwrap_err();
    let unsupported = UnsupportedAlgorithm::TooManySegments { segments: 5_000, max: 1_000 };
    assert_eq!(refused, PublishError::Quota(QuotaError::Unsupported(unsupported)));
    for name in [String::new(), "n".repeat(513)] {
        let error = PublishError::Name { length: name.len(), max: 512 };
        assert_eq!(node.quotas.publish(&name, quota(1)).await, Err(error.clone()));
        assert_eq!(node.quotas.withdraw(&name).await, Err(error));
    }
    assert_eq!((log.quota(), node.quotas.epoch()), (quota(10), 0));

    // Names that are unknown here are kept. A text that another program wrote is reported.
    node.quotas.publish("unknown", quota(7)).await.unwrap();
    let write = Command::new("HSET").key(HASH).arg("api").arg("many/minute").arg("log").arg("7/fortnight");
    client.execute(write).await.unwrap();
    node.quotas.refresh().await.unwrap();
    let refused = [("api".to_owned(), QuotaError::Syntax), ("log".to_owned(), QuotaError::Syntax)];
    assert_eq!(node.quotas.refused(), refused);
    assert_eq!((node.limiter.quota(), log.quota()), (quota(10), quota(10)));
    assert_eq!(node.quotas.published(), [("unknown".to_owned(), quota(7).into())]);
    // A valid text that the limiter cannot apply is refused and not listed as published.
    client.execute(Command::new("HSET").key(HASH).arg("log").arg("5000/day")).await.unwrap();
    node.quotas.refresh().await.unwrap();
    let refused_log = node.quotas.refused().into_iter().find(|(name, _)| name == "log").unwrap().1;
    assert_eq!(refused_log, QuotaError::Unsupported(unsupported));
    assert_eq!(node.quotas.published(), [("unknown".to_owned(), quota(7).into())]);
    let unknown = Arc::new(MemoryLimiter::builder("unknown", FixedWindow::new(quota(1))).build());
    node.quotas.register(unknown.clone());
    assert_eq!(unknown.quota(), quota(7));
    node.quotas.publish("log", quota(6)).await.unwrap();
    assert_eq!((log.quota(), node.quotas.refused().len()), (quota(6), 1));
}

/// A node with the given limiter in memory.
async fn node_of(server: &RedisServer, limiter: impl Limiter + 'static) -> Node {
    let limiter: Arc<dyn Limiter> = Arc::new(limiter);
    let quotas = SharedQuotas::start(connect(&server.url()).await, &keyspace()).await;
    quotas.register(limiter.clone());
    Node { limiter, quotas }
}

fn windows() -> MemoryLimiter<Windows> {
    MemoryLimiter::builder("windows", Windows::new("100/minute; 1000/hour".parse().unwrap())).build()
}

fn quotas(text: &str) -> Quotas {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_publish_that_is_dropped_applies_nothing() {
    let server = RedisServer::start().await;
    let node = node_of(&server, MemoryLimiter::builder("api", FixedWindow::new(quota(10))).build()).await;
    tokio::select! {
        biased;
        done = node.quotas.publish("api", quota(3)) => panic!("without asking: {done:?}"),
        () = std::future::ready(()) => {}
    }
    assert_eq!(node.limiter.quota(), quota(10));
}

#[tokio::test]
async fn a_publish_that_fails_applies_nothing() {
    let mut server = RedisServer::start().await;
    let several = node_of(&server, windows()).await;
    let bucket = node_of(&server, MemoryLimiter::builder("bucket", TokenBucket::new(quota(1_000))).build()).await;
    let other = node_of(&server, MemoryLimiter::builder("api", FixedWindow::new(quota(10))).build()).await;
    other.limiter.set_quota(quota(20)).unwrap();
    let _ = bucket.limiter.penalty("key", 1_000).await.unwrap();
    server.kill9();
    let failed = several.quotas.publish("windows", "2000/hour".parse().unwrap()).await;
    assert!(matches!(failed, Err(PublishError::Store(_))), "{failed:?}");
    assert_eq!(several.limiter.quotas(), quotas("100/minute; 1000/hour"));
    let failed = bucket.quotas.publish("bucket", quota(10)).await;
    assert!(matches!(failed, Err(PublishError::Store(_))), "{failed:?}");
    assert_eq!(bucket.limiter.peek("key", 0).await.unwrap().remaining(), 0, "what is missing stays missing");
    assert!(other.quotas.publish("api", quota(5)).await.is_err());
    assert!(other.quotas.withdraw("api").await.is_err());
    assert_eq!(other.limiter.quota(), quota(20), "what was set after it was registered");
}

#[tokio::test]
async fn each_published_window_counts() {
    let server = RedisServer::start().await;
    let (one, other) = (node_of(&server, windows()).await, node_of(&server, windows()).await);
    one.quotas.publish("windows", "2000/hour".parse().unwrap()).await.unwrap();
    // The other node may not have read that yet.
    other.quotas.publish("windows", "50/minute".parse().unwrap()).await.unwrap();
    assert_eq!(other.limiter.quotas(), quotas("50/minute; 2000/hour"));
    let late = node_of(&server, windows()).await;
    assert_eq!(late.limiter.quotas(), quotas("50/minute; 2000/hour"));
    one.quotas.refresh().await.unwrap();
    assert_eq!(one.limiter.quotas(), quotas("50/minute; 2000/hour"));

    let no_window = QuotaError::NoSuchWindow { period: Duration::from_secs(86_400) };
    let refused = one.quotas.publish("windows", "9/day".parse().unwrap()).await;
    assert_eq!(refused, Err(PublishError::Quota(no_window)));
    late.quotas.withdraw("windows").await.unwrap();
    one.quotas.refresh().await.unwrap();
    for node in [one, late] {
        assert_eq!(node.limiter.quotas(), quotas("100/minute; 1000/hour"));
    }

    // A limiter with one quota does not apply the last of several.
    let single = node_of(&server, MemoryLimiter::builder("single", FixedWindow::new(quota(10))).build()).await;
    let client = connect(&server.url()).await;
    client.execute(Command::new("HSET").key(HASH).arg("single").arg("5/minute; 6/hour")).await.unwrap();
    single.quotas.refresh().await.unwrap();
    let refused = QuotaError::NoSuchWindow { period: Duration::from_secs(60) };
    assert_eq!(single.quotas.refused(), [("single".to_owned(), refused)]);
    assert_eq!(single.limiter.quota(), quota(10));
}

#[tokio::test]
async fn what_is_published_after_a_loss_stays() {
    let server = RedisServer::start().await;
    let one = node(&server).await;
    for limit in [3, 4, 5, 6] {
        one.quotas.publish("api", quota(limit)).await.unwrap();
    }
    one.quotas.publish("gone", quota(9)).await.unwrap();
    one.quotas.withdraw("gone").await.unwrap();
    // This node knows nothing: it starts after the server has lost everything, and changes a quota
    // that the first one knows.
    server.cli(&["FLUSHALL"]).await;
    let other = Node {
        limiter: one.limiter.clone(),
        quotas: SharedQuotas::start(connect(&server.url()).await, &keyspace()).await,
    };
    other.quotas.publish("login", quota(7)).await.unwrap();
    other.quotas.publish("api", quota(8)).await.unwrap();
    one.quotas.refresh().await.unwrap();
    one.quotas.refresh().await.unwrap();
    other.quotas.refresh().await.unwrap();
    let published = [("api".to_owned(), quota(8).into()), ("login".to_owned(), quota(7).into())];
    assert_eq!((one.quotas.published(), other.quotas.published()), (published.to_vec(), published.to_vec()));
    assert_eq!(one.limiter.quota(), quota(8));
}

#[tokio::test]
async fn two_histories_become_one() {
    let server = RedisServer::start().await;
    let client = connect(&server.url()).await;
    let (one, other) = (node(&server).await, node(&server).await);
    one.quotas.publish("api", quota(4)).await.unwrap();
    other.knows(4).await;
    let before = client.execute(Command::new("HGET").key(HASH).arg("api")).await.unwrap().into_text().unwrap();
    one.quotas.publish("api", quota(5)).await.unwrap();
    one.quotas.publish("import", quota(6)).await.unwrap();
    // A failover to a replica that had only the first change. Then the other node publishes.
    let lose = [Command::new("HDEL").key(HASH).arg("import"), Command::new("HSET").key(HASH).arg("api").arg(before)];
    for command in lose {
        client.execute(command).await.unwrap();
    }
    other.quotas.publish("login", quota(7)).await.unwrap();
    one.quotas.refresh().await.unwrap();
    other.quotas.refresh().await.unwrap();
    for node in [one, other] {
        let published =
            [("api", 5), ("import", 6), ("login", 7)].map(|(name, limit)| (name.to_owned(), quota(limit).into()));
        assert_eq!((node.quotas.published(), node.limiter.quota()), (published.to_vec(), quota(5)));
    }
}
