//! Quotas that are changed for all nodes. Each node is a client and a limiter of its own.

use std::sync::Arc;
use std::time::Duration;

use tidegate_ratelimit::{
    FallbackLimiter, FixedWindow, Limiter, MemoryLimiter, PublishError, Quota, QuotaError, RedisLimiter, SharedQuotas,
    SlidingLog, UnsupportedAlgorithm,
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

    // A node that starts later knows it at once, and one that withdraws it gives each its own.
    let late = node(&server).await;
    assert_eq!((late.limiter.quota(), late.quotas.epoch()), (quota(8), 1));
    assert_eq!(late.quotas.published(), [("api".to_owned(), quota(8))]);
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
    // What was known stays, and what could not be published is not applied.
    let refused = poll_until(LONG, async || one.quotas.publish("api", quota(3)).await.err()).await.unwrap();
    assert!(matches!(refused, PublishError::Store(_)), "{refused:?}");
    assert!(other.quotas.refresh().await.is_err());
    assert_eq!((one.limiter.quota(), other.limiter.quota()), (quota(8), quota(8)));

    // The server comes back; only one of them asks it at first.
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
    assert_eq!((late.limiter.quota(), late.quotas.epoch()), (quota(8), 2));
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

    // Names that nobody here knows are kept; what another program wrote is named.
    node.quotas.publish("unknown", quota(7)).await.unwrap();
    let write = Command::new("HSET").key(HASH).arg("api").arg("many/minute").arg("log").arg("7/fortnight");
    client.execute(write).await.unwrap();
    node.quotas.refresh().await.unwrap();
    let refused = [("api".to_owned(), QuotaError::Syntax), ("log".to_owned(), QuotaError::Syntax)];
    assert_eq!(node.quotas.refused(), refused);
    assert_eq!((node.limiter.quota(), log.quota()), (quota(10), quota(10)));
    assert_eq!(node.quotas.published(), [("unknown".to_owned(), quota(7))]);
    let unknown = Arc::new(MemoryLimiter::builder("unknown", FixedWindow::new(quota(1))).build());
    node.quotas.register(unknown.clone());
    assert_eq!(unknown.quota(), quota(7));
    node.quotas.publish("log", quota(6)).await.unwrap();
    assert_eq!((log.quota(), node.quotas.refused().len()), (quota(6), 1));
}
