//! A notice of a change during a load: that load does not answer later callers, unless it was in
//! time.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join;
use tidegate_cache::{Fill, Json, Key, LoadError, Source, TtlClass, TypedCache};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::{Proxy, RedisServer};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::ground::{Node, SOON, foreign, key, nodes_on, patient, server_and_nodes};

/// A load that ends on a signal.
struct Load {
    go_on: Arc<Notify>,
    call: JoinHandle<Result<(u32, Source), &'static str>>,
}

impl Load {
    /// Returns once the loader runs.
    async fn begin(things: &TypedCache<u32>, brings: Result<u32, &'static str>) -> Self {
        let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (started, gate, things) = (Arc::clone(&begun), Arc::clone(&go_on), things.clone());
        let call = tokio::spawn(async move {
            let load = async move || {
                started.notify_one();
                gate.notified().await;
                brings.map(Fill::new)
            };
            match things.fetch(&key(1), load).await {
                Ok(read) => Ok((*read.value, read.source)),
                Err(LoadError::Loader(error)) => Err(*error),
                Err(error) => panic!("{error}"),
            }
        });
        begun.notified().await;
        Self { go_on, call }
    }

    async fn end(self) -> Result<(u32, Source), &'static str> {
        self.go_on.notify_one();
        timeout(SOON, self.call).await.unwrap().unwrap()
    }
}

/// Changes the key elsewhere, and returns when `here` has received and processed the notice.
async fn change_elsewhere(other: &Node, here: &Node) {
    other.cache.remove(&key(1)).await.unwrap();
    all_is_heard(other, here).await;
}

/// Notices arrive in order on one connection: once these have come, the earlier ones have too.
async fn all_is_heard(other: &Node, here: &Node) {
    for index in 100..102 {
        assert!(here.things.put(&key(index), 1).await);
        other.cache.remove(&key(index)).await.unwrap();
        poll_until(SOON, async || (!here.has(index)).then_some(())).await.unwrap();
    }
}

async fn fresh() -> Result<Fill<u32>, &'static str> {
    Ok(Fill::new(2))
}

async fn fresh_ones(keys: Vec<Key>) -> Result<Vec<(Key, Fill<u32>)>, &'static str> {
    Ok(keys.into_iter().map(|key| (key, Fill::new(2))).collect())
}

#[tokio::test]
async fn a_read_after_the_notice_of_a_change_does_not_join_an_older_load() {
    let (_server, [here, other]) = server_and_nodes().await;
    for is_batch in [false, true] {
        let doomed = Load::begin(&here.things, Ok(1)).await;
        change_elsewhere(&other, &here).await;
        let things = here.things.clone();
        let later = tokio::spawn(async move {
            if is_batch {
                let read = things.fetch_many([key(1)], fresh_ones).await.remove(0).unwrap();
                *read.unwrap().value
            } else {
                *things.fetch(&key(1), fresh).await.unwrap().value
            }
        });
        // Time to join, if it does.
        sleep(Duration::from_millis(50)).await;
        assert_eq!(doomed.end().await.unwrap().0, 1, "who asked before");
        assert_eq!(timeout(SOON, later).await.unwrap().unwrap(), 2, "in a batch: {is_batch}");
        assert_eq!(*here.things.fetch(&key(1), fresh).await.unwrap().value, 2);
        here.cache.remove(&key(1)).await.unwrap();
    }
}

/// A notice of a change before its start does not cost a load its readers.
#[tokio::test]
async fn a_load_that_began_after_the_change_answers_all_callers_that_join() {
    let (_server, [here, other]) = server_and_nodes().await;
    let load = Load::begin(&here.things, Ok(7)).await;
    // A change that leaves the fence as it is, as an entry does that runs out.
    foreign(&other.client, &["SET", "tg:c:{thing:t1:1}", ""]).await;
    foreign(&other.client, &["DEL", "tg:c:{thing:t1:1}"]).await;
    all_is_heard(&other, &here).await;
    let things = here.things.clone();
    let joined = tokio::spawn(async move {
        let never = async || Err::<Fill<u32>, _>("loaded twice");
        things.fetch(&key(1), never).await.map(|read| (*read.value, read.source))
    });
    sleep(Duration::from_millis(50)).await;
    assert_eq!(load.end().await.unwrap(), (7, Source::Loaded));
    assert_eq!(timeout(SOON, joined).await.unwrap().unwrap().unwrap().0, 7);
}

/// Stale as soon as it is there.
const BRIEF: TtlClass = TtlClass::new("brief", Duration::from_millis(1)).grace(Duration::from_secs(600));

#[tokio::test]
async fn a_stale_value_that_was_changed_elsewhere_is_no_fallback() {
    let (_server, [here, other]) = server_and_nodes().await;
    let things = |node: &Node, class| node.cache.typed_with_codec::<u32>(class, Json::new());
    // With a distant time-out and without one.
    for soft in [SOON, Duration::ZERO] {
        let there = things(&here, BRIEF.soft_timeout(soft));
        assert!(things(&other, BRIEF).put(&key(1), 1).await);
        sleep(Duration::from_millis(5)).await;
        let early = Load::begin(&there, Err("down")).await;
        change_elsewhere(&other, &here).await;
        let later =
            tokio::spawn(async move { there.fetch(&key(1), fresh).await.map(|read| (*read.value, read.source)) });
        sleep(Duration::from_millis(50)).await;
        let early = early.end().await;
        let later = timeout(SOON, later).await.unwrap().unwrap();
        if soft.is_zero() {
            assert_eq!(early.unwrap(), (1, Source::Stale), "handed out before");
            assert_eq!(later.unwrap().0, 2);
        } else {
            assert_eq!(early, Err("down"));
            // It shared that failure, or loaded.
            assert!(later.as_ref().map_or(true, |read| read.0 == 2), "{later:?}");
        }
        here.cache.remove(&key(1)).await.unwrap();
    }
}

/// The caller that begins a load queries L2 itself, and may leave meanwhile. Whether L2 has the
/// value or not, the callers that joined get it.
#[tokio::test]
async fn a_caller_that_joined_a_read_is_served_when_its_leader_leaves() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(&server).await;
    let [here]: [Node; 1] = nodes_on(&patient(&proxy.url())).await;
    let [other]: [Node; 1] = nodes_on(&patient(&server.url())).await;
    let joined = |node: &Node| node.cache.stats().classes.iter().map(|class| class.collapsed).sum::<u64>();
    for (round, is_held) in (0..).zip([true, false]) {
        let wanted = key(200 + round);
        if is_held {
            assert!(other.things.put(&wanted, 1).await);
        }
        // The heartbeat got a reply a moment ago, so the query is a plain one.
        here.until(|l2| l2.is_followed && l2.is_available).await;
        let calls = joined(&here);
        proxy.hold();
        let read = |brings: u32| {
            let (things, wanted) = (here.things.clone(), wanted.clone());
            tokio::spawn(async move {
                let load = async move || Ok::<_, &str>(Fill::new(brings));
                things.fetch(&wanted, load).await.map(|read| *read.value)
            })
        };
        let leader = read(2);
        poll_until(SOON, async || (proxy.held() > 0).then_some(())).await.unwrap();
        let follower = read(3);
        poll_until(SOON, async || (joined(&here) > calls).then_some(())).await.unwrap();
        leader.abort();
        assert!(leader.await.is_err_and(|error| error.is_cancelled()));
        proxy.restore();
        let value = timeout(SOON, follower).await.unwrap().unwrap().unwrap();
        // If L2 has no value, the loader of the caller that left continues.
        assert_eq!(value, if is_held { 1 } else { 2 });
        poll_until(SOON, async || here.things.peek(&wanted).into_value()).await.unwrap();
    }
}

/// A future that is not polled makes no progress: other callers must not depend on it.
#[tokio::test]
async fn a_caller_that_joined_a_read_is_served_even_if_its_leader_is_not_polled() {
    let (_server, [here, other]) = server_and_nodes().await;
    for (round, is_held) in (0..).zip([true, false]) {
        let wanted = key(200 + round);
        if is_held {
            assert!(other.things.put(&wanted, 1).await);
        }
        here.until(|l2| l2.is_followed && l2.is_available).await;
        let read = async |brings: u32| {
            let load = async move || Ok::<_, &str>(Fill::new(brings));
            here.things.fetch(&wanted, load).await.map(|read| *read.value)
        };
        let mut leader = Box::pin(read(2));
        assert!(leader.as_mut().now_or_never().is_none(), "it looks");
        let many = here.things.get_many([&wanted]);
        let (value, found) = timeout(SOON, join(read(3), many)).await.unwrap();
        // If L2 has no value, the loader of the first caller runs.
        let expected = if is_held { 1 } else { 2 };
        assert_eq!(value.unwrap(), expected);
        // Without a loader, a caller does not wait for another's load.
        assert_eq!(found[0].is_hit(), is_held, "{found:?}");
        assert_eq!(timeout(SOON, leader).await.unwrap().unwrap(), expected);
    }
}
