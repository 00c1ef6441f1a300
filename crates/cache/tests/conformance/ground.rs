//! Two nodes: two processes as far as the cache is concerned, or the same one if there is no L2.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tidegate_cache::{Capacity, Fill, Key, Read, Tag, TieredCache, TtlClass, TypedCache};
#[cfg(feature = "json")]
use tidegate_cache::{Json, RedisTier};
use tidegate_testkit::poll_until;
#[cfg(feature = "json")]
use tidegate_testkit::redis::RedisServer;

/// No test waits longer for anything.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) const THINGS: TtlClass = TtlClass::new("things", Duration::from_secs(600));
pub(crate) const OTHERS: TtlClass = TtlClass::new("others", Duration::from_secs(600));

pub(crate) fn key(index: u32) -> Key {
    Key::builder("thing").part(index).build().unwrap()
}

pub(crate) fn keys(indexes: impl IntoIterator<Item = u32>) -> Vec<Key> {
    indexes.into_iter().map(key).collect()
}

pub(crate) fn tag(name: &str) -> Tag {
    Tag::of(["tag", name])
}

pub(crate) struct Ground {
    pub(crate) one: TieredCache,
    pub(crate) other: TieredCache,
    #[cfg(feature = "json")]
    _server: Option<RedisServer>,
}

impl Ground {
    fn alone(capacity: Capacity) -> Self {
        let one = TieredCache::builder().capacity(capacity).build();
        Self {
            other: one.clone(),
            one,
            #[cfg(feature = "json")]
            _server: None,
        }
    }

    pub(crate) fn of_entries() -> Self {
        Self::alone(Capacity::Entries(100_000))
    }

    pub(crate) fn of_bytes() -> Self {
        Self::alone(Capacity::Bytes(64 << 20))
    }

    /// Two nodes on a server of their own.
    #[cfg(feature = "json")]
    pub(crate) async fn on_redis(set: impl Fn(RedisTier) -> RedisTier) -> Self {
        let server = RedisServer::start().await;
        let ground = Self::at(&server.url(), "tg", set).await;
        Self { _server: Some(server), ..ground }
    }

    #[cfg(feature = "json")]
    pub(crate) async fn at(url: &str, name: &str, set: impl Fn(RedisTier) -> RedisTier) -> Self {
        use tidegate_redis::{Client, Config, Keyspace, Role};

        let node = async || {
            let config = Config::parse(&format!("{url}?timeout=5s")).unwrap();
            let client = Client::connect(&config, Role::Cache).await.unwrap();
            let tier = set(RedisTier::new(client, &Keyspace::new(name).unwrap()));
            let cache = TieredCache::builder().l2(tier).build();
            let is_followed = async || cache.stats().tiers[1].is_followed.then_some(());
            poll_until(SOON, is_followed).await.unwrap();
            cache
        };
        Self { one: node().await, other: node().await, _server: None }
    }

    /// Handles of both nodes.
    pub(crate) fn both<V: Valued>(&self, class: TtlClass) -> [TypedCache<V>; 2] {
        [&self.one, &self.other].map(|cache| V::handle(cache, class))
    }

    pub(crate) fn things(&self) -> [TypedCache<u32>; 2] {
        self.both(THINGS)
    }
}

/// A type that every tier can hold.
pub(crate) trait Valued: Sized + Send + Sync + 'static {
    fn handle(cache: &TieredCache, class: TtlClass) -> TypedCache<Self>;
}

#[cfg(feature = "json")]
impl<V: serde::Serialize + serde::de::DeserializeOwned + Send + Sync + 'static> Valued for V {
    fn handle(cache: &TieredCache, class: TtlClass) -> TypedCache<Self> {
        cache.typed_with_codec(class, Json::new())
    }
}

#[cfg(not(feature = "json"))]
impl<V: Send + Sync + 'static> Valued for V {
    fn handle(cache: &TieredCache, class: TtlClass) -> TypedCache<Self> {
        cache.typed(class)
    }
}

/// The rows behind the cache: one number, with the reads counted.
#[derive(Clone, Default)]
pub(crate) struct Store {
    pub(crate) row: Arc<AtomicU32>,
    reads: Arc<AtomicU32>,
}

impl Store {
    pub(crate) fn holding(row: u32) -> Self {
        let store = Self::default();
        store.row.store(row, Ordering::SeqCst);
        store
    }

    pub(crate) fn read(&self) -> u32 {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.row.load(Ordering::SeqCst)
    }

    pub(crate) fn reads(&self) -> u32 {
        self.reads.load(Ordering::SeqCst)
    }

    /// Reads through a node, with these tags.
    pub(crate) async fn through(&self, node: &TypedCache<u32>, key: &Key, tags: &[Tag]) -> Read<u32> {
        let (store, tags) = (self.clone(), tags.to_vec());
        let load = async move || Ok::<_, Infallible>(Fill::new(store.read()).tags(tags));
        node.fetch(key, load).await.unwrap()
    }

    /// Waits until a node reads this value, from any tier.
    pub(crate) async fn until_read(&self, node: &TypedCache<u32>, key: &Key, expected: u32) {
        let is_read = async || (*self.through(node, key, &[]).await.value == expected).then_some(());
        poll_until(SOON, is_read).await.unwrap();
    }
}
