//! Hits in L2 compared with the bare client's `GET` of as many bytes, on one server, in turns.
//!
//! A hit in L2 is a `fetch` without a value in L1. Values in L1 are too old after a millisecond,
//! and every task has its own keys, enough of them to come back later than that. The call enters a
//! flight, queries Redis for the value, compares epoch and class with the recent replies of Redis,
//! decodes, and fills L1. The bare client, fred, does nothing but `GET`. Both have one connection.
//! A ratio is of rates in one pair of turns: below 1 we are slower.

#![expect(clippy::print_stdout, reason = "the table is what it is run for")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fred::interfaces::{ClientLike, KeysInterface};
use fred::types::{Builder, RespVersion};
use serde::{Deserialize, Serialize};
use tidegate_benches::{Stopwatch, quartiles};
use tidegate_cache::{Fill, Json, Key, RawBytes, RedisTier, Source, TieredCache, TtlClass, TypedCache};
use tidegate_redis::{Client, Config, Keyspace, Role};
use tidegate_testkit::redis::RedisServer;
use tokio::runtime::Runtime;

const PAIRS: usize = 9;
const TURN: Duration = Duration::from_millis(700);
/// The shortest time in L1 that there is.
const BYTES: TtlClass = TtlClass::new("bytes", Duration::from_secs(3600)).l1_ttl(Duration::from_millis(1));
const JSON: TtlClass = TtlClass::new("json", Duration::from_secs(3600)).l1_ttl(Duration::from_millis(1));
/// Keys of all tasks. There are enough that no task comes back to one before L1 has dropped it,
/// even after the others have ended.
const KEYS: usize = 65_536;
/// Stored at once before the first turn.
const BATCH: usize = 1024;

/// Value of a typical service: about 256 bytes of JSON.
#[derive(Clone, Serialize, Deserialize)]
struct Schedule {
    id: u64,
    tenant: String,
    title: String,
    starts: String,
    seats: Vec<u32>,
    note: String,
}

impl Schedule {
    fn new() -> Self {
        Self {
            id: 4_711,
            tenant: "riverside-clinic".into(),
            title: "Weekly consultation, second floor".into(),
            starts: "2026-03-01T09:30:00+01:00".into(),
            seats: (1..=12).collect(),
            note: "Bring the results of the last examination, please; parking is behind the house.".into(),
        }
    }
}

fn main() {
    Runtime::new().expect("a runtime").block_on(async {
        let server = RedisServer::builder().set("appendonly", "no").start().await;
        let config = Config::parse(&server.url()).expect("a URL").command_timeout(Duration::from_secs(10));
        let client = Client::connect(&config, Role::Cache).await.expect("connected");
        let tier = RedisTier::new(client.clone(), &Keyspace::new("bench").expect("a prefix"));
        let cache = TieredCache::builder().l2(tier).build();
        let bytes = cache.typed_with_codec::<Vec<u8>>(BYTES, RawBytes::new());
        let json = cache.typed_with_codec::<Schedule>(JSON, Json::new());
        let mut theirs = fred::types::config::Config::from_url(&server.url()).expect("a URL");
        theirs.version = RespVersion::RESP3;
        let bare = Builder::from_config(theirs).build().expect("a client");
        bare.init().await.expect("connected");

        println!("| hits in L2 | tasks | bare GET /s | ours /s | ours : bare | quartiles |");
        println!("|---|---|---|---|---|---|");
        for tasks in [1, 64, 256] {
            compare("256 bytes", tasks, &bare, &bytes, vec![7; 256]).await;
            compare("JSON", tasks, &bare, &json, Schedule::new()).await;
        }
    });
}

async fn compare<V: Clone + Send + Sync + 'static>(
    name: &str,
    tasks: usize,
    bare: &fred::clients::Client,
    ours: &TypedCache<V>,
    value: V,
) {
    let keys: Arc<[Key]> = (0..KEYS).map(|index| key(name, index)).collect();
    for keys in keys.chunks(BATCH) {
        ours.put_many(keys.iter().map(|key| (key, Fill::new(value.clone())))).await;
    }
    for key in keys.iter() {
        bare.set::<(), _, _>(key.as_str(), vec![7_u8; 256].as_slice(), None, None, false).await.expect("stored");
    }
    let (mut theirs, mut mine) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        let (client, texts) = (bare.clone(), Arc::clone(&keys));
        let get = move |index: usize| {
            let (client, texts) = (client.clone(), Arc::clone(&texts));
            async move {
                let found = client.get::<Option<fred::bytes::Bytes>, _>(texts[index].as_str()).await;
                assert!(found.expect("read").is_some());
            }
        };
        theirs.push(rate(tasks, get).await);
        let (cache, keys) = (ours.clone(), Arc::clone(&keys));
        let get = move |index: usize| {
            let (cache, keys) = (cache.clone(), Arc::clone(&keys));
            async move {
                let read = cache.fetch(&keys[index], async || Err::<Fill<V>, _>("L2 has nothing")).await;
                assert_eq!(read.expect("a value").source, Source::Shared, "L1 keeps nothing");
            }
        };
        mine.push(rate(tasks, get).await);
    }
    let [low, middle, high] = quartiles(theirs.iter().zip(&mine).map(|(theirs, mine)| mine / theirs));
    let ([_, theirs, _], [_, mine, _]) = (quartiles(theirs), quartiles(mine));
    println!("| {name} | {tasks} | {theirs:.0} | {mine:.0} | {middle:.2} | {low:.2} to {high:.2} |");
}

fn key(name: &str, index: usize) -> Key {
    Key::builder("bench").part(name).part(index).build().expect("a good key")
}

/// Returns calls per second with this number of tasks. Each goes through keys of its own, one call
/// after the other.
async fn rate<F, Fut>(tasks: usize, call: F) -> f64
where
    F: Fn(usize) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let calls = Arc::new(AtomicUsize::new(0));
    let stopwatch = Stopwatch::start();
    let running: Vec<_> = (0..tasks)
        .map(|task| {
            let (call, calls) = (call.clone(), Arc::clone(&calls));
            tokio::spawn(async move {
                let own = Stopwatch::start();
                let mut done = 0;
                while own.elapsed() < TURN {
                    call(task + done * tasks % KEYS).await;
                    done += 1;
                }
                calls.fetch_add(done, Ordering::Relaxed);
            })
        })
        .collect();
    for task in running {
        task.await.expect("a task");
    }
    calls.load(Ordering::Relaxed) as f64 / stopwatch.elapsed().as_secs_f64()
}
