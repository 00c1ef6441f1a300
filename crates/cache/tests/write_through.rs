//! Write-through: a write that the store refused changes nothing, an accepted one is cached, and no
//! older value stays.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate_cache::{Fill, Key, Lookup, Source, TieredCache, TtlClass, TypedCache, WriteError};
use tidegate_testkit::{poll_until, scale};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, yield_now};

const CLASS: TtlClass = TtlClass::new("rows", Duration::from_secs(600));
const SOON: Duration = Duration::from_secs(20);

fn key(index: u64) -> Key {
    Key::builder("row").part(index).build().unwrap()
}

fn rows() -> TypedCache<u64> {
    TieredCache::builder().build().typed(CLASS)
}

/// A row of the store: a number that every write raises, with a configurable delay.
#[derive(Clone, Default)]
struct Row(Arc<AtomicU64>);

impl Row {
    /// Raises it and returns the new value, after some turns of other tasks before the commit and
    /// after it.
    async fn raise(&self, before: u64, after: u64) -> Result<Fill<u64>, Infallible> {
        for _ in 0..before {
            yield_now().await;
        }
        let value = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        for _ in 0..after {
            yield_now().await;
        }
        Ok(Fill::new(value))
    }

    async fn read(&self, after: u64) -> Result<Fill<u64>, Infallible> {
        let value = self.now();
        for _ in 0..after {
            yield_now().await;
        }
        Ok(Fill::new(value))
    }

    fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Numbers without a pattern that a test could fall into, the same in every run.
fn scattered(seed: u64) -> u64 {
    let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB) >> 40
}

#[tokio::test]
async fn an_accepted_write_is_the_next_hit() {
    let (rows, row) = (rows(), Row::default());
    let written = {
        let row = row.clone();
        rows.write_through(&key(1), async move || row.raise(0, 0).await).await
    };
    assert!(written.unwrap().cached);
    let read = rows.fetch(&key(1), async || Ok::<_, Infallible>(Fill::new(0))).await.unwrap();
    assert_eq!((*read.value, read.source), (1, Source::Hit));
}

#[tokio::test]
async fn a_refused_write_leaves_the_cache_unchanged() {
    let rows = rows();
    rows.put(&key(1), 7).await;
    for index in [1, 2] {
        let refused = rows.write_through(&key(index), async || Err::<Fill<u64>, _>("taken")).await;
        assert!(matches!(refused, Err(WriteError::Store("taken"))));
    }
    assert_eq!(rows.peek(&key(1)), Lookup::Fresh(Arc::new(7)));
    assert_eq!(rows.peek(&key(2)), Lookup::Miss);
    // It does not block later loads either.
    let read = rows.fetch(&key(2), async || Ok::<_, Infallible>(Fill::new(8))).await.unwrap();
    assert!(read.stored);
}

#[tokio::test]
async fn a_write_continues_when_its_caller_leaves() {
    let (rows, gate) = (rows(), Arc::new(Semaphore::new(0)));
    rows.put(&key(1), 1).await;
    let waiting = gate.clone();
    let write = async move || {
        waiting.acquire().await.unwrap().forget();
        Ok::<_, Infallible>(Fill::new(2))
    };
    let left = tokio::time::timeout(Duration::from_millis(10), rows.write_through(&key(1), write)).await;
    assert!(left.is_err());
    gate.add_permits(1);
    poll_until(SOON, async || (rows.peek(&key(1)) == Lookup::Fresh(Arc::new(2))).then_some(())).await.unwrap();
}

#[tokio::test]
async fn a_panic_invalidates() {
    let rows = rows();
    rows.put(&key(1), 1).await;
    let write = async || -> Result<Fill<u64>, Infallible> { panic!("as the test demands") };
    assert!(matches!(rows.write_through(&key(1), write).await, Err(WriteError::Panicked)));
    assert_eq!(rows.peek(&key(1)), Lookup::Miss);
}

#[tokio::test]
async fn a_load_that_began_before_the_write_does_not_come_after_it() {
    let (rows, gate) = (rows(), Arc::new(Semaphore::new(0)));
    let (reader, waiting) = (rows.clone(), gate.clone());
    let load = tokio::spawn(async move {
        let load = async move || {
            waiting.acquire().await.unwrap().forget();
            Ok::<_, Infallible>(Fill::new(1))
        };
        reader.fetch(&key(1), load).await.unwrap()
    });
    poll_until(SOON, async || (rows.cache().stats().classes[0].loads == 1).then_some(())).await.unwrap();
    assert!(rows.write_through(&key(1), async || Ok::<_, Infallible>(Fill::new(2))).await.unwrap().cached);
    gate.add_permits(1);
    assert!(!load.await.unwrap().stored);
    assert_eq!(rows.peek(&key(1)), Lookup::Fresh(Arc::new(2)));
}

#[tokio::test]
async fn an_invalidation_during_the_write_is_obeyed() {
    let (rows, gate) = (rows(), Arc::new(Semaphore::new(0)));
    for clear in [false, true] {
        let (writer, waiting) = (rows.clone(), gate.clone());
        let write = tokio::spawn(async move {
            let write = async move || {
                waiting.acquire().await.unwrap().forget();
                Ok::<_, Infallible>(Fill::new(2))
            };
            writer.write_through(&key(1), write).await.unwrap()
        });
        yield_now().await;
        yield_now().await;
        if clear {
            rows.cache().clear().await.unwrap();
        } else {
            rows.remove(&key(1)).await.unwrap();
        }
        gate.add_permits(1);
        assert!(!write.await.unwrap().cached);
        assert_eq!(rows.peek(&key(1)), Lookup::Miss);
    }
}

/// Writers and readers of one key at once. Afterwards the cache has the store's value, or none.
async fn storm(nodes: &[TypedCache<u64>], index: u64, seed: u64) {
    let row = Row::default();
    let mut tasks = JoinSet::new();
    for task in 0..6 {
        let (rows, row) = (nodes[usize::try_from(task).unwrap() % nodes.len()].clone(), row.clone());
        let turns = scattered(seed * 100 + task);
        let (before, after) = (turns % 7, turns / 7 % 7);
        tasks.spawn(async move {
            if task % 3 == 2 {
                rows.fetch(&key(index), async move || row.read(after).await).await.unwrap();
            } else {
                rows.write_through(&key(index), async move || row.raise(before, after).await).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    for rows in nodes {
        // An entry of L1 that another node's write made old goes with its notice.
        let is_right = async || {
            let (row, now) = (row.clone(), row.now());
            let read = rows.fetch(&key(index), async move || row.read(0).await).await.unwrap();
            (*read.value == now).then_some(())
        };
        poll_until(SOON, is_right).await.unwrap_or_else(|_| panic!("seed {seed}: an old value stayed"));
    }
}

#[tokio::test]
async fn concurrent_writes_leave_no_older_value() {
    let node = [rows()];
    let mut kept = 0;
    for seed in 0..scale(3_000, 100_000) as u64 {
        storm(&node, 1, seed).await;
        kept += u64::from(node[0].peek(&key(1)).into_value().is_some());
        node[0].remove(&key(1)).await.unwrap();
    }
    assert!(kept > 0);
}

#[cfg(feature = "json")]
mod shared {
    use tidegate_cache::{Json, RedisTier};
    use tidegate_redis::{Client, Config, Keyspace, Role};
    use tidegate_testkit::redis::RedisServer;

    use super::*;

    async fn node(url: &str) -> TypedCache<u64> {
        let config = Config::parse(url).unwrap().command_timeout(Duration::from_secs(5));
        let client = Client::connect(&config, Role::Cache).await.unwrap();
        let tier = RedisTier::new(client, &Keyspace::new("tg").unwrap());
        let cache = TieredCache::builder().l2(tier).build();
        poll_until(SOON, async || cache.stats().tiers[1].is_followed.then_some(())).await.unwrap();
        cache.typed_with_codec(CLASS, Json::new())
    }

    #[tokio::test]
    async fn the_other_node_reads_the_written_value() {
        let server = RedisServer::start().await;
        let [one, other] = [node(&server.url()).await, node(&server.url()).await];
        other.put(&key(1), 1).await;
        assert!(one.write_through(&key(1), async || Ok::<_, Infallible>(Fill::new(2))).await.unwrap().cached);
        let read = async || other.fetch(&key(1), async || Ok::<_, Infallible>(Fill::new(0))).await.unwrap();
        let found = poll_until(SOON, async || Some(read().await).filter(|read| *read.value == 2)).await.unwrap();
        assert!(matches!(found.source, Source::Shared | Source::Hit), "{found:?}");
        let refused = one.write_through(&key(1), async || Err::<Fill<u64>, _>("taken")).await;
        assert!(matches!(refused, Err(WriteError::Store("taken"))));
        assert_eq!((*read().await.value, one.peek(&key(1))), (2, Lookup::Fresh(Arc::new(2))));
    }

    #[tokio::test]
    async fn concurrent_writes_on_two_nodes_leave_no_older_value() {
        let server = RedisServer::start().await;
        let nodes = [node(&server.url()).await, node(&server.url()).await];
        for seed in 0..scale(150, 10_000) as u64 {
            storm(&nodes, seed, seed).await;
        }
        let errors: u64 = nodes.iter().map(|node| node.cache().stats().tiers[1].errors).sum();
        assert_eq!(errors, 0);
    }

    #[tokio::test]
    async fn a_write_while_redis_is_away_is_never_followed_by_the_old_value() {
        let mut server = RedisServer::start().await;
        let [one, other] = [node(&server.url()).await, node(&server.url()).await];
        one.put(&key(1), 1).await;
        server.kill9();
        let written = one.write_through(&key(1), async || Ok::<_, Infallible>(Fill::new(2))).await.unwrap();
        assert!(!written.cached);
        let read = one.fetch(&key(1), async || Ok::<_, Infallible>(Fill::new(2))).await.unwrap();
        assert_eq!(*read.value, 2);
        server.restart().await;
        poll_until(SOON, async || (one.cache().owed() == Some(0)).then_some(())).await.unwrap();
        let read = other.fetch(&key(1), async || Ok::<_, Infallible>(Fill::new(2))).await.unwrap();
        assert_eq!(*read.value, 2);
    }

    /// Redis notifies a process of its own writes as well, a moment later.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_write_without_competitors_is_cached() {
        let server = RedisServer::start().await;
        let one = node(&server.url()).await;
        let mut writers = JoinSet::new();
        for index in 0..32 {
            let one = one.clone();
            writers.spawn(async move {
                for value in 0..100 {
                    let written =
                        one.write_through(&key(index), async move || Ok::<_, Infallible>(Fill::new(value))).await;
                    assert!(written.unwrap().cached, "write {value} of key {index}");
                }
            });
        }
        writers.join_all().await;
    }

    #[tokio::test]
    async fn a_write_without_a_codec_invalidates_everywhere() {
        let server = RedisServer::start().await;
        let [one, other] = [node(&server.url()).await, node(&server.url()).await];
        let alone = other.cache().typed::<u64>(CLASS);
        // In L2, and where no other process can see it.
        one.put(&key(1), 1).await;
        assert!(alone.put(&key(2), 1).await);
        for index in [1, 2] {
            let write = async || Ok::<_, Infallible>(Fill::new(2));
            let written = one.cache().typed::<u64>(CLASS).write_through(&key(index), write).await.unwrap();
            assert!(!written.cached);
            poll_until(SOON, async || (other.peek(&key(index)) == Lookup::Miss).then_some(())).await.unwrap();
            let load = async || Ok::<_, Infallible>(Fill::new(2));
            assert_eq!(*other.fetch(&key(index), load).await.unwrap().value, 2);
        }
    }
}
