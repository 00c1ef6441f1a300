//! Features that only Redis has: nodes that share pending writes, and keys.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidegate_cache::{Fill, Json, Key, RedisTier, TieredCache, WriteBehind, WriteBehindError};
use tidegate_redis::{Client, Command, Config, Keyspace, Role};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::RedisServer;
use tokio::sync::Semaphore;

use crate::ground::{CLASS, Place, SOON, Store, cached, key, options};

pub(crate) fn keyspace() -> Keyspace {
    Keyspace::new("tg").unwrap()
}

pub(crate) async fn durable(url: &str) -> Client {
    let config = Config::parse(url).unwrap().command_timeout(Duration::from_secs(5));
    Client::connect(&config, Role::Durable).await.unwrap()
}

#[tokio::test]
async fn a_client_of_the_cache_role_is_refused() {
    let server = RedisServer::start().await;
    let client = Client::connect(&Config::parse(&server.url()).unwrap(), Role::Cache).await.unwrap();
    let refused = WriteBehind::on_redis(cached(), Json::new(), Store::default(), &client, &keyspace(), options());
    assert!(matches!(refused, Err(WriteBehindError::NotDurable { role: Role::Cache })));
}

#[tokio::test]
async fn a_write_of_one_node_is_read_and_flushed_by_the_other() {
    let server = RedisServer::start().await;
    let store = Store::default();
    let mut nodes = Vec::new();
    for _ in 0..2 {
        let client = durable(&server.url()).await;
        let cache = TieredCache::builder().l2(RedisTier::new(client.clone(), &keyspace())).build();
        poll_until(SOON, async || cache.stats().tiers[1].is_followed.then_some(())).await.unwrap();
        let values = cache.typed_with_codec(CLASS, Json::new());
        let rows = WriteBehind::on_redis(values, Json::new(), store.clone(), &client, &keyspace(), options()).unwrap();
        nodes.push(rows);
    }
    let read = async |node: usize| {
        let store = store.clone();
        let load = async move || Ok::<_, Infallible>(Fill::new(store.row(1).unwrap_or_default()));
        *nodes[node].fetch(&key(1), load).await.unwrap().value
    };
    assert_eq!((read(0).await, read(1).await), (0, 0));
    for value in 1..20_u64 {
        let (writer, reader) = if value % 2 == 0 { (0, 1) } else { (1, 0) };
        assert!(nodes[writer].write(&key(1), value).await.unwrap().owed.is_none());
        assert_eq!(read(writer).await, value);
        poll_until(SOON, async || (read(reader).await == value).then_some(())).await.unwrap();
    }
    nodes.remove(1).flush(SOON).await.unwrap();
    assert_eq!(store.row(1), Some(19));
    assert_eq!(nodes[0].status().await.waiting, Some(0));
}

/// A write also stays pending until the cache has been notified of it, because its writer may have
/// ended by then.
#[tokio::test]
async fn a_write_stays_pending_until_the_cache_is_notified() {
    let (mut shared, waiting) = (RedisServer::start().await, RedisServer::start().await);
    let (url, store) = (shared.url(), Store::default());
    store.rows.lock().unwrap().insert(key(1), (1, 0));
    let node = async |timeout: &str| {
        let config = Config::parse(&format!("{url}?timeout={timeout}")).unwrap();
        let client = Client::connect(&config, Role::Cache).await.unwrap();
        let cache = TieredCache::builder().l2(RedisTier::new(client, &keyspace())).build();
        poll_until(SOON, async || cache.stats().tiers[1].is_followed.then_some(())).await.unwrap();
        let (values, client) = (cache.typed_with_codec(CLASS, Json::new()), durable(&waiting.url()).await);
        WriteBehind::on_redis(values, Json::new(), store.clone(), &client, &keyspace(), options()).unwrap()
    };
    let read = async |node: &WriteBehind<u64>| {
        let store = store.clone();
        let load = async move || Ok::<_, Infallible>(Fill::new(store.row(1).unwrap_or_default()));
        *node.fetch(&key(1), load).await.unwrap().value
    };
    let writer = node("250ms").await;
    assert_eq!(read(&writer).await, 1);
    shared.hang().await;
    assert!(writer.write(&key(1), 2).await.unwrap().owed.is_some());
    let not_flushed = writer.flush(Duration::from_secs(1)).await.map_err(|error| error.waiting);
    // It ends before it has notified any process, and its debts with it.
    drop(writer);
    shared.resume();
    let other = node("5s").await;
    other.flush(SOON).await.unwrap();
    assert_eq!((store.row(1), other.status().await.waiting), (Some(2), Some(0)));
    assert_eq!((read(&other).await, not_flushed), (2, Err(Some(1))), "what the cache held before is gone");
}

/// A node whose sink is suspended in the middle of its call, for longer than its lease.
#[tokio::test]
async fn a_node_that_was_suspended_while_it_flushed_turns_nothing_back_and_counts_nothing_twice() {
    let place = Place::Redis(Box::new(RedisServer::start().await));
    let options = options().lease(Duration::from_millis(100));
    let (store, gate) = (Store::default(), Arc::new(Semaphore::new(0)));
    let (rows, other_rows) = (place.values(&store, options.clone()).await, place.values(&store, options.clone()).await);
    let (views, other_views) =
        (place.increments(&store, options.clone()).await, place.increments(&store, options).await);
    rows.write(&key(1), 1).await.unwrap();
    views.add(&key(1), 1).await.unwrap();
    let suspended =
        async || poll_until(SOON, async || store.gate.lock().unwrap().is_none().then_some(())).await.unwrap();
    *store.gate.lock().unwrap() = Some(gate.clone());
    let flushing = rows.clone();
    let first = tokio::spawn(async move { flushing.flush(SOON).await.is_ok() });
    suspended().await;
    *store.gate.lock().unwrap() = Some(gate.clone());
    let flushing = views.clone();
    let second = tokio::spawn(async move { flushing.flush(SOON).await.is_ok() });
    suspended().await;

    other_rows.write(&key(1), 2).await.unwrap();
    other_views.add(&key(1), 10).await.unwrap();
    other_rows.flush(SOON).await.unwrap();
    other_views.flush(SOON).await.unwrap();
    assert_eq!((store.row(1), store.total(1)), (Some(2), 11));
    gate.add_permits(2);
    assert!(first.await.unwrap() && second.await.unwrap());
    assert_eq!((store.row(1), store.total(1)), (Some(2), 11));
}

#[tokio::test]
async fn versions_grow_even_after_redis_was_emptied() {
    let place = Place::Redis(Box::new(RedisServer::start().await));
    let store = Store::default();
    let rows = place.values(&store, options()).await;
    let views = place.increments(&store, options()).await;
    let before = rows.write(&key(1), 1).await.unwrap().version;
    views.add(&key(1), 1).await.unwrap();
    rows.flush(SOON).await.unwrap();
    views.flush(SOON).await.unwrap();
    let Place::Redis(server) = &place else { unreachable!("as it was made") };
    server.cli(&["FLUSHALL"]).await;
    let after = rows.write(&key(1), 2).await.unwrap().version;
    views.add(&key(1), 1).await.unwrap();
    rows.flush(SOON).await.unwrap();
    views.flush(SOON).await.unwrap();
    assert!(after > before);
    assert_eq!((store.row(1), store.total(1)), (Some(2), 2));
}

#[tokio::test]
async fn values_of_a_newer_build_stay_pending_and_delay_no_others() {
    let place = Place::Redis(Box::new(RedisServer::start().await));
    let store = Store::default();
    let old = place.values(&store, options()).await;
    let Place::Redis(server) = &place else { unreachable!("as it was made") };
    let client = durable(&server.url()).await;
    let newer = |store: &Store| {
        WriteBehind::on_redis(cached(), Json::version(1), store.clone(), &client, &keyspace(), options()).unwrap()
    };
    // This one is not flushed: its own sink is away.
    let away = Store::default();
    away.failing.store(usize::MAX, Ordering::SeqCst);
    let new = newer(&away);
    new.write(&key(1), 1).await.unwrap();
    old.write(&key(2), 2).await.unwrap();
    let told = old.flush(Duration::from_millis(200)).await.unwrap_err().reason.unwrap().to_string();
    assert!(told.starts_with("1 waiting writes can't be read by this process"), "{told}");
    assert_eq!((store.row(1), store.row(2)), (None, Some(2)));
    assert!(matches!(old.pending(&key(1)).await, Err(WriteBehindError::Codec(_))));
    newer(&store).flush(SOON).await.unwrap();
    assert_eq!(store.row(1), Some(1));
}

/// A process that is killed between accepting a write and notifying the cache: its cache has no L2,
/// so it sends no notice.
#[tokio::test]
async fn a_flushed_write_is_read_even_if_its_process_was_killed_before_it_notified_the_cache() {
    let server = RedisServer::start().await;
    let store = Store::default();
    let client = durable(&server.url()).await;
    let killed = WriteBehind::on_redis(cached(), Json::new(), store.clone(), &client, &keyspace(), options()).unwrap();
    let mut nodes = Vec::new();
    for _ in 0..2 {
        let cache = TieredCache::builder().l2(RedisTier::new(client.clone(), &keyspace())).build();
        poll_until(SOON, async || cache.stats().tiers[1].is_followed.then_some(())).await.unwrap();
        let values = cache.typed_with_codec(CLASS, Json::new());
        nodes.push(WriteBehind::on_redis(values, Json::new(), store.clone(), &client, &keyspace(), options()).unwrap());
    }
    let read = async |node: usize| {
        let store = store.clone();
        let load = async move || Ok::<_, Infallible>(Fill::new(store.row(1).unwrap_or_default()));
        *nodes[node].fetch(&key(1), load).await.unwrap().value
    };
    assert_eq!((read(0).await, read(1).await), (0, 0));
    killed.write(&key(1), 1).await.unwrap();
    nodes[0].flush(SOON).await.unwrap();
    assert_eq!((store.row(1), read(0).await), (Some(1), 1));
    poll_until(SOON, async || (read(1).await == 1).then_some(())).await.unwrap();
}

#[tokio::test]
async fn versions_and_numbers_grow_even_after_a_server_restarts_with_older_data() {
    let place = Place::Redis(Box::new(RedisServer::start().await));
    let store = Store::default();
    let rows = place.values(&store, options()).await;
    let views = place.increments(&store, options()).await;
    let Place::Redis(server) = &place else { unreachable!("as it was made") };
    // A server whose clock is ahead, and then another that does not know of it.
    let ahead = 4_000_000_000_000_000_u64;
    server.cli(&["SET", "tg:{wv:test}:clock", &ahead.to_string()]).await;
    server.cli(&["SET", "tg:{wi:test}:clock", &ahead.to_string()]).await;
    for round in 1..3 {
        let version = rows.write(&key(1), round).await.unwrap().version;
        assert_eq!(version, ahead + round);
        views.add(&key(1), 1).await.unwrap();
        rows.flush(SOON).await.unwrap();
        views.flush(SOON).await.unwrap();
        assert_eq!((store.row(1), store.total(1)), (Some(round), i64::try_from(round).unwrap()));
        server.cli(&["FLUSHALL"]).await;
    }
}

#[tokio::test]
async fn no_increments_are_added_before_a_replica_confirms_their_batch() {
    let primary = RedisServer::start().await;
    let mut replica = RedisServer::builder().replica_of(&primary).start().await;
    let follows = async || primary.cli(&["INFO", "replication"]).await.contains("state=online").then_some(());
    poll_until(SOON, follows).await.unwrap();
    let place = Place::Redis(Box::new(primary));
    let store = Store::default();
    let views = place.increments(&store, options()).await;
    views.add(&key(1), 1).await.unwrap();
    replica.hang().await;
    let error = views.flush(Duration::from_secs(1)).await.unwrap_err();
    assert!(error.reason.unwrap().to_string().starts_with("no replica confirmed"));
    assert!(store.batches.lock().unwrap().is_empty());
    replica.resume();
    views.flush(SOON).await.unwrap();
    assert_eq!(store.total(1), 1);
}

#[tokio::test]
async fn a_batch_of_large_values_is_read_in_steps() {
    let server = RedisServer::start().await;
    let client = durable(&server.url()).await;
    let (sizes, rows) = {
        let sizes = Arc::new(std::sync::Mutex::new(Vec::new()));
        let cached = TieredCache::builder().build().typed::<String>(CLASS);
        let rows = WriteBehind::on_redis(cached, Json::new(), Sizes(sizes.clone()), &client, &keyspace(), options());
        (sizes, rows.unwrap())
    };
    for index in 0..6 {
        rows.write(&key(index), "x".repeat(100_000)).await.unwrap();
    }
    rows.write(&key(9), "x".repeat(400_000)).await.unwrap();
    rows.flush(SOON).await.unwrap();
    assert_eq!(*sizes.lock().unwrap(), [2, 2, 2, 1]);
    assert_eq!(rows.status().await.waiting, Some(0));
}

/// Records how large the batches were.
struct Sizes(Arc<std::sync::Mutex<Vec<usize>>>);

impl tidegate_cache::ValueSink<String> for Sizes {
    type Error = Infallible;

    async fn write(&self, writes: &[tidegate_cache::ValueWrite<String>]) -> Result<(), Infallible> {
        self.0.lock().unwrap().push(writes.len());
        Ok(())
    }
}

#[tokio::test]
async fn increments_under_an_invalid_key_are_set_aside_and_delay_no_others() {
    let place = Place::Redis(Box::new(RedisServer::start().await));
    let store = Store::default();
    let views = place.increments(&store, options()).await;
    let Place::Redis(server) = &place else { unreachable!("as it was made") };
    server.cli(&["HSET", "tg:{wi:test}:sums", "no*key", "7"]).await;
    server.cli(&["ZADD", "tg:{wi:test}:order", "1", "no*key"]).await;
    views.add(&key(1), 1).await.unwrap();
    let failed = views.flush(Duration::ZERO).await;
    assert!(failed.is_err() || store.total(1) == 1);
    views.add(&key(1), 1).await.unwrap();
    views.flush(SOON).await.unwrap();
    assert_eq!((store.total(1), views.status().await.waiting), (2, Some(0)));
    assert!(server.cli(&["HVALS", "tg:{wi:test}:aside"]).await.contains('7'));
}

#[tokio::test]
async fn each_key_is_named_on_the_page() {
    let place = Place::Redis(Box::new(RedisServer::start().await));
    let store = Store::default();
    store.failing.store(usize::MAX, Ordering::SeqCst);
    let rows = place.values(&store, options()).await;
    let views = place.increments(&store, tidegate_cache::WriteBehindOptions::new("a}:{b")).await;
    rows.write(&key(1), 1).await.unwrap();
    views.add(&key(1), 1).await.unwrap();
    let _ = views.flush(Duration::from_millis(50)).await.unwrap_err();
    views.add(&Key::builder("x").build().unwrap(), 1).await.unwrap();
    let Place::Redis(server) = &place else { unreachable!("as it was made") };
    let client = durable(&server.url()).await;
    let names = client.execute(Command::new("KEYS").arg("*")).await.unwrap().into_array().unwrap();
    let names: Vec<String> = names.into_iter().map(|name| name.into_text().unwrap()).collect();
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/keyspace.md");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(names.len() >= 6, "{names:?}");
    for name in names {
        let (group, kind) = name.strip_prefix("tg:{").unwrap().split_once("}:").unwrap();
        let known = ["wv:test", "wi:a%7D%3A%7Bb", "l:wv%3Atest", "l:wi%3Aa%7D%3A%7Bb"];
        assert!(known.contains(&group), "{name}");
        // A program may put a part of its own before the group, as the application does with its
        // database.
        let listed = match group.split_once(':').unwrap().0 {
            "l" => format!(":{{l:<lock>}}:{kind}`"),
            area => format!(":{{{area}:<name>}}:{kind}`"),
        };
        assert!(page.contains(&listed), "{name}");
    }
}
