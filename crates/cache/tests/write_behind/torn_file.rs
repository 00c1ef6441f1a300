//! State after a crash that tears the append-only file within a script, and the behaviour on a full
//! server.
//!
//! The server forgets the script that a crash has torn, but keeps its first effects in the file.
//! They run at the next restart, before all that was acknowledged since.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tidegate_cache::{IncrementBatch, IncrementSink, Increments, Json, WriteBehind, WriteBehindError};
use tidegate_redis::Client;
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::{Effect, RedisServer};

use crate::ground::{Away, SOON, Store, cached, key, options};
use crate::redis::{durable, keyspace};

/// Never dropped, because a drop would flush the pending writes.
fn views(client: &Client, store: &Store) -> &'static Increments {
    Box::leak(Box::new(Increments::on_redis(store.clone(), client, &keyspace(), options()).unwrap()))
}

fn rows(client: &Client, store: &Store) -> &'static WriteBehind<u64> {
    let rows = WriteBehind::on_redis(cached(), Json::new(), store.clone(), client, &keyspace(), options());
    Box::leak(Box::new(rows.unwrap()))
}

/// Replays each prefix of the effects of `torn`, alone and before those of `next`, which does not
/// know of it. Then everything is flushed, and `holds` checks the store; its argument is whether
/// `next` was acknowledged.
async fn tear(
    before: impl AsyncFn(&Client, &Store),
    torn: impl AsyncFn(&Client, &Store),
    next: impl AsyncFn(&Client, &Store),
    holds: impl AsyncFn(&Store, bool),
) {
    let server = RedisServer::start().await;
    let client = durable(&server.url()).await;
    let flushed = Store::default();
    before(&client, &flushed).await;
    let written = server.append_only_file().effects();
    let (base, written) = (without_turns(&written), written.len());
    torn(&client, &flushed.copy()).await;
    let lost = without_turns(&server.effects_since(written));
    assert!(!lost.is_empty(), "the scripts have effects");
    server.replay(&base).await;
    let written = server.append_only_file().effects().len();
    let after_next = flushed.copy();
    next(&client, &after_next).await;
    let kept = without_turns(&server.effects_since(written));
    for prefix in 0..=lost.len() {
        for is_next_done in [false, true] {
            let later = if is_next_done { &*kept } else { &[] };
            server.replay(&[&base, &lost[..prefix], later].concat()).await;
            let store = if is_next_done { after_next.copy() } else { flushed.copy() };
            views(&client, &store).flush(SOON).await.unwrap();
            rows(&client, &store).flush(SOON).await.unwrap();
            holds(&store, is_next_done).await;
            assert_eq!(server.cli(&["ZCARD", "tg:{wi:test}:order"]).await, "0", "after {:?}", &lost[..prefix]);
        }
    }
}

/// The turn to flush is kept for the length of a lease, and no test waits for that.
fn without_turns(effects: &[Effect]) -> Vec<Effect> {
    let is_turn = |key: &Vec<u8>| key.starts_with(b"tg:{l:");
    effects.iter().filter(|effect| !effect.args().get(1).is_some_and(is_turn)).cloned().collect()
}

/// Adds each batch, and never says so.
struct Silent(Store);

impl IncrementSink for Silent {
    type Error = Away;

    async fn add(&self, batch: &IncrementBatch) -> Result<(), Away> {
        self.0.add(batch).await?;
        Err(Away)
    }
}

/// Takes a batch that the store never gets.
async fn take(client: &Client, store: &Store) {
    let store = store.copy();
    store.failing.store(usize::MAX, Ordering::SeqCst);
    take_by(client, store).await;
}

/// Takes a batch that stays in progress, whatever the sink does with it.
async fn take_by(client: &Client, sink: impl IncrementSink) {
    let views = Increments::on_redis(sink, client, &keyspace(), options()).unwrap();
    poll_until(SOON, async || {
        let _ = views.flush(Duration::from_millis(50)).await;
        views.pending(&key(1)).await.unwrap().under_way.map(drop)
    })
    .await
    .unwrap();
    let _ = views.shut_down(Duration::from_millis(50)).await;
}

async fn nothing(_: &Client, _: &Store) {}

async fn add(client: &Client, store: &Store, by: i64) {
    views(client, store).add(&key(1), by).await.unwrap();
}

async fn write(client: &Client, store: &Store, value: u64) {
    rows(client, store).write(&key(1), value).await.unwrap();
}

#[tokio::test]
async fn an_acknowledged_value_is_flushed_after_a_torn_write() {
    let torn = async |client: &Client, store: &Store| write(client, store, 1).await;
    let next = async |client: &Client, store: &Store| write(client, store, 2).await;
    tear(nothing, torn, next, async |store, is_next_done| {
        let row = store.row(1);
        assert!(if is_next_done { row == Some(2) } else { row.is_none() || row == Some(1) }, "{row:?}");
    })
    .await;
}

#[tokio::test]
async fn an_acknowledged_value_is_flushed_after_a_torn_settling() {
    let before = async |client: &Client, store: &Store| write(client, store, 1).await;
    let torn = async |client: &Client, store: &Store| rows(client, store).flush(SOON).await.unwrap();
    let next = async |client: &Client, store: &Store| write(client, store, 2).await;
    tear(before, torn, next, async |store, is_next_done| {
        if is_next_done {
            assert_eq!(store.row(1), Some(2));
        }
    })
    .await;
}

#[tokio::test]
async fn acknowledged_increments_count_once_after_a_torn_batch() {
    let before = async |client: &Client, store: &Store| {
        add(client, store, 5).await;
        views(client, store).add(&key(2), 1).await.unwrap();
    };
    for flushes in [false, true] {
        let next = async |client: &Client, store: &Store| {
            add(client, store, 2).await;
            if flushes {
                views(client, store).flush(SOON).await.unwrap();
            }
        };
        tear(before, take, next, async |store, is_next_done| {
            assert_eq!((store.total(1), store.total(2)), (if is_next_done { 7 } else { 5 }, 1));
        })
        .await;
    }
}

#[tokio::test]
async fn acknowledged_increments_count_once_after_a_torn_addition() {
    let before = async |client: &Client, store: &Store| add(client, store, 5).await;
    let torn = async |client: &Client, store: &Store| {
        views(client, store).add(&key(2), 3).await.unwrap();
    };
    let next = async |client: &Client, store: &Store| add(client, store, -2).await;
    tear(before, torn, next, async |store, is_next_done| {
        assert_eq!(store.total(1), if is_next_done { 3 } else { 5 });
        assert!([0, 3].contains(&store.total(2)), "{}", store.total(2));
    })
    .await;
}

/// The store has the batch, and Redis is notified.
#[tokio::test]
async fn acknowledged_increments_count_once_after_a_torn_settling_of_a_batch() {
    let before = async |client: &Client, store: &Store| {
        add(client, store, 5).await;
        views(client, store).add(&key(2), 1).await.unwrap();
        take_by(client, Silent(store.clone())).await;
        assert_eq!((store.total(1), store.total(2)), (5, 1));
    };
    let torn = async |client: &Client, store: &Store| views(client, store).flush(SOON).await.unwrap();
    for flushes in [false, true] {
        let next = async |client: &Client, store: &Store| {
            add(client, store, 2).await;
            if flushes {
                views(client, store).flush(SOON).await.unwrap();
            }
        };
        tear(before, torn, next, async |store, is_next_done| {
            assert_eq!((store.total(1), store.total(2)), (if is_next_done { 7 } else { 5 }, 1));
        })
        .await;
    }
}

/// Flushes as a process of another build, which cannot read the pending values and puts them behind
/// all others.
async fn put_behind(client: &Client, store: &Store) {
    let other = WriteBehind::<u64>::on_redis(cached(), Json::version(1), store.copy(), client, &keyspace(), options());
    let other: &'static WriteBehind<u64> = Box::leak(Box::new(other.unwrap()));
    let flushed = async || other.flush(Duration::from_millis(50)).await.unwrap_err().reason;
    let told = poll_until(SOON, flushed).await.unwrap().to_string();
    assert!(told.contains("can't be read by this process"), "{told}");
}

#[tokio::test]
async fn acknowledged_values_are_flushed_though_a_process_that_cannot_read_them_is_torn() {
    let before = async |client: &Client, store: &Store| {
        write(client, store, 1).await;
        rows(client, store).write(&key(2), 7).await.unwrap();
    };
    let next = async |client: &Client, store: &Store| write(client, store, 2).await;
    tear(before, put_behind, next, async |store, is_next_done| {
        assert_eq!((store.row(1), store.row(2)), (Some(if is_next_done { 2 } else { 1 }), Some(7)));
    })
    .await;
}

#[tokio::test]
async fn sums_of_64_bits_are_settled_exactly() {
    let server = RedisServer::start().await;
    let client = durable(&server.url()).await;
    for (first, second) in [
        (i64::MAX, i64::MIN + 1),
        (i64::MIN, i64::MAX),
        (9_007_199_254_740_993, 1),
        (-1_000_000_000, 999_999_999),
        (1, -1_000_000_001),
    ] {
        let store = Store::default();
        server.cli(&["FLUSHALL"]).await;
        add(&client, &store, first).await;
        take(&client, &store).await;
        add(&client, &store, second).await;
        views(&client, &store).flush(SOON).await.unwrap();
        assert_eq!(store.total(1), first + second);
    }
}

#[tokio::test]
async fn a_full_server_takes_no_writes_and_lets_them_be_flushed() {
    let server = RedisServer::start().await;
    let (client, store) = (durable(&server.url()).await, Store::default());
    add(&client, &store, 5).await;
    write(&client, &store, 1).await;
    server.cli(&["CONFIG", "SET", "maxmemory", "1mb"]).await;
    let before = server.append_only_file().effects().len();
    let is_full = |error: WriteBehindError| matches!(&error, WriteBehindError::Redis(error) if error.is_full());
    assert!(is_full(views(&client, &store).add(&key(1), 1).await.unwrap_err()));
    assert!(is_full(rows(&client, &store).write(&key(1), 2).await.unwrap_err()));
    assert_eq!(server.effects_since(before), []);
    put_behind(&client, &store).await;
    views(&client, &store).flush(SOON).await.unwrap();
    rows(&client, &store).flush(SOON).await.unwrap();
    assert_eq!((store.total(1), store.row(1)), (5, Some(1)));
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]).await;
    add(&client, &store, 1).await;
    write(&client, &store, 2).await;
}
