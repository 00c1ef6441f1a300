//! Extensions of an operation, torn before the steps of other owners.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidegate_sync::{Begun, OnceStore, Operation, RedisStore};
use tidegate_testkit::redis::RedisServer;

use super::TornBench;

const TTL: Duration = Duration::from_secs(3_600);
const HORIZON: Duration = Duration::from_secs(86_400);

fn operation() -> Operation {
    Operation { scope: "o".to_owned(), key: "1".to_owned() }
}

async fn begin(store: &RedisStore, owner: &str) -> Begun {
    store.begin(&operation(), owner, TTL, HORIZON).await.unwrap()
}

async fn extends(store: &RedisStore, owner: &str) -> bool {
    OnceStore::extend(store, &operation(), owner, TTL, HORIZON).await.unwrap()
}

async fn completes(store: &RedisStore, owner: &str) -> bool {
    store.complete(&operation(), owner, Bytes::from_static(b"done"), HORIZON).await.unwrap()
}

/// The lease of `a` is over. Its extension is torn, and another owner takes over.
#[tokio::test]
async fn a_torn_extension_takes_an_operation_from_no_later_owner() {
    let bench = TornBench::start(RedisServer::builder()).await;
    begin(&bench.store, "a").await;
    bench.advance(TTL).await;
    let extend = async |store: Arc<RedisStore>| assert!(extends(&store, "a").await);
    let take_over = async |store: Arc<RedisStore>| {
        assert!(matches!(begin(&store, "b").await, Begun::Started { attempt: 2 }));
    };
    bench
        .tear(extend, take_over, async |store, replayed| {
            let owner = if replayed.is_next_done { "b" } else { "a" };
            assert!(extends(&store, owner).await, "{}", replayed.effects);
            if replayed.is_next_done {
                assert!(!extends(&store, "a").await && !completes(&store, "a").await, "{}", replayed.effects);
            }
            assert!(completes(&store, owner).await, "{}", replayed.effects);
        })
        .await;
}

#[tokio::test]
async fn a_torn_extension_undoes_no_end_of_an_operation() {
    let bench = TornBench::start(RedisServer::builder()).await;
    begin(&bench.store, "a").await;
    let extend = async |store: Arc<RedisStore>| assert!(extends(&store, "a").await);
    let complete = async |store: Arc<RedisStore>| assert!(completes(&store, "a").await);
    bench
        .tear(extend, complete, async |store, replayed| {
            let answer = begin(&store, "c").await;
            let is_right = match &answer {
                Begun::Done(result) => replayed.is_next_done && result == "done",
                Begun::Busy { .. } => !replayed.is_next_done,
                _ => false,
            };
            assert!(is_right, "{answer:?} after {}", replayed.effects);
        })
        .await;
    let fail = async |store: Arc<RedisStore>| store.fail(&operation(), "a").await.unwrap();
    bench
        .tear(extend, fail, async |store, replayed| {
            let answer = begin(&store, "c").await;
            let is_begun = matches!(answer, Begun::Started { .. });
            assert_eq!(is_begun, replayed.is_next_done, "{answer:?} after {}", replayed.effects);
        })
        .await;
}
