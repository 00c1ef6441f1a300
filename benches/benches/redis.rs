//! Cost of the narrow client compared with the bare one, and of the primitives in round trips and
//! compared with a bare script of the same commands: on one server, in turns.
//!
//! Both speak RESP3 over one connection. A ratio is of rates in one pair of turns. The table shows
//! the median of the pairs and their range, because no machine is completely idle.

#![expect(clippy::print_stdout, reason = "the table is what it is run for")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fred::clients::Client as BareClient;
use fred::interfaces::{ClientLike, KeysInterface, LuaInterface};
use fred::types::{Builder, RespVersion};
use tidegate_benches::Stopwatch;
use tidegate_redis::{Client, Command, Config, Keyspace, Role, Script};
use tidegate_sync::{Lock, RedisStore, Reserve, Stock};
use tidegate_testkit::redis::RedisServer;
use tokio::runtime::Runtime;

const PAIRS: usize = 9;
const TURN: Duration = Duration::from_millis(700);
const KEY: &str = "bench:{one}:key";
const ADD: &str = "return redis.call('INCRBY', KEYS[1], ARGV[1])";
/// The commands of a reservation that succeeds, and nothing else.
const RESERVE: &str = "local time = redis.call('TIME')
redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', time[1], 'LIMIT', 0, 10)
redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', time[1], 'LIMIT', 0, 10)
redis.call('HGET', KEYS[3], ARGV[1])
redis.call('HGET', KEYS[1], 'available')
redis.call('HINCRBY', KEYS[1], 'available', '-1')
redis.call('HINCRBY', KEYS[1], 'reserved', '1')
redis.call('HSET', KEYS[3], ARGV[1], 'o,1')
redis.call('ZADD', KEYS[2], time[1] + 3600, ARGV[1])
return 1";

fn main() {
    Runtime::new().expect("a runtime").block_on(async {
        let server = RedisServer::builder().set("appendonly", "no").start().await;
        let config = Config::parse(&server.url()).expect("a URL").command_timeout(Duration::from_secs(10));
        let ours = Client::connect(&config, Role::Durable).await.expect("connected");
        let bare = bare(&server.url()).await;
        compare(&ours, &bare).await;
        reserve(&ours, &bare).await;
        round_trips(&ours).await;
    });
}

async fn compare(ours: &Client, bare: &BareClient) {
    ours.execute(Command::new("SET").key(KEY).arg("x".repeat(256))).await.expect("stored");
    let script = Arc::new(Script::new("add", ADD));
    let digest: String = bare.script_load(ADD).await.expect("loaded");

    println!("| command | tasks | bare /s | ours /s | ours : bare | range |");
    println!("|---|---|---|---|---|---|");
    for tasks in [1, 64, 256] {
        let mut table = Pairs::default();
        for _ in 0..PAIRS {
            let client = bare.clone();
            let first = rate(tasks, move || {
                let client = client.clone();
                async move { client.get::<Option<fred::bytes::Bytes>, _>(KEY).await.expect("read").is_some() }
            });
            let first = first.await;
            let client = ours.clone();
            let second = rate(tasks, move || {
                let client = client.clone();
                async move { client.get(KEY).await.expect("read").is_some() }
            });
            table.add(first, second.await);
        }
        table.print("GET, 256 B", tasks);

        let mut table = Pairs::default();
        for _ in 0..PAIRS {
            let (client, digest) = (bare.clone(), digest.clone());
            let first = rate(tasks, move || {
                let (client, digest) = (client.clone(), digest.clone());
                async move { client.evalsha::<i64, _, _, _>(digest, "bench:{one}:sum", 1).await.expect("run") > 0 }
            });
            let first = first.await;
            let (client, script) = (ours.clone(), Arc::clone(&script));
            let second = rate(tasks, move || {
                let (client, script) = (client.clone(), Arc::clone(&script));
                async move {
                    let sum = client.run(&script, &["bench:{one}:sum"], vec![1_i64.into()]).await.expect("run");
                    sum.as_int().expect("a number") > 0
                }
            });
            table.add(first, second.await);
        }
        table.print("script INCRBY", tasks);
    }
}

/// Successful reservations, each with its own id, compared with the same commands without the
/// decisions between them.
async fn reserve(ours: &Client, bare: &BareClient) {
    let keys = Keyspace::new("bench").expect("a prefix");
    let store = Arc::new(RedisStore::new(ours.clone(), keys));
    let digest: String = bare.script_load(RESERVE).await.expect("loaded");
    for tasks in [1, 64] {
        let mut table = Pairs::default();
        for pair in 0..PAIRS {
            let names = ["counts", "open", "entries", "closed"].map(|name| format!("bare:{{{tasks}-{pair}}}:{name}"));
            let (client, digest, ids) = (bare.clone(), digest.clone(), Arc::new(AtomicU64::new(0)));
            let first = rate(tasks, move || {
                let (client, digest, names) = (client.clone(), digest.clone(), names.to_vec());
                let id = ids.fetch_add(1, Ordering::Relaxed).to_string();
                async move { client.evalsha::<i64, _, _, _>(digest, names, id).await.expect("run") == 1 }
            });
            let first = first.await;
            let stock = Arc::new(Stock::new(store.clone(), format!("sale-{tasks}-{pair}")));
            stock.add("all", 1_000_000_000).await.expect("added");
            let (sale, ids) = (Arc::clone(&stock), Arc::new(AtomicU64::new(0)));
            let second = rate(tasks, move || {
                let (sale, id) = (Arc::clone(&sale), ids.fetch_add(1, Ordering::Relaxed).to_string());
                async move {
                    let reserved = sale.reserve(&id, 1, Duration::from_secs(3600)).await.expect("an answer");
                    matches!(reserved, Reserve::Reserved { .. })
                }
            });
            table.add(first, second.await);
            stock.remove().await.expect("removed");
        }
        table.print("Stock::reserve (bare: its commands)", tasks);
    }
}

/// Measures how long an uncontended lock takes, in round trips of the same connection.
async fn round_trips(ours: &Client) {
    let store = Arc::new(RedisStore::new(ours.clone(), Keyspace::new("bench").expect("a prefix")));
    let mut ratios = Vec::new();
    for _ in 0..PAIRS {
        let client = ours.clone();
        let trips = rate(1, move || {
            let client = client.clone();
            async move { client.execute(Command::new("PING")).await.is_ok() }
        });
        let trips = trips.await;
        let lock = Arc::new(Lock::new(store.clone(), "quiet").without_renewal());
        let locks = rate(1, move || {
            let lock = Arc::clone(&lock);
            async move {
                let guard = lock.try_acquire().await.expect("an answer").expect("the lock is free");
                guard.release().await.is_ok()
            }
        });
        ratios.push(trips / locks.await);
    }
    let (low, middle, high) = spread(&ratios);
    println!("\nlock and unlock, uncontended: the time of {middle:.2} PINGs ({low:.2}–{high:.2})");
}

async fn bare(url: &str) -> BareClient {
    let mut config = fred::types::config::Config::from_url(url).expect("a URL");
    config.version = RespVersion::RESP3;
    let client = Builder::from_config(config).build().expect("a client");
    client.init().await.expect("connected");
    client
}

/// Returns calls per second with this number of tasks, each of which makes one call after the
/// other.
async fn rate<F, Fut>(tasks: usize, call: F) -> f64
where
    F: Fn() -> Fut + Clone + Send + 'static,
    Fut: Future<Output = bool> + Send,
{
    let stopwatch = Stopwatch::start();
    let running: Vec<_> = (0..tasks)
        .map(|_| {
            let call = call.clone();
            tokio::spawn(async move {
                let own = Stopwatch::start();
                let mut calls = 0_u32;
                while own.elapsed() < TURN {
                    assert!(call().await);
                    calls += 1;
                }
                calls
            })
        })
        .collect();
    let mut calls = 0.0;
    for task in running {
        calls += f64::from(task.await.expect("a task"));
    }
    calls / stopwatch.elapsed().as_secs_f64()
}

/// Rates of pairs of turns.
#[derive(Default)]
struct Pairs {
    bare: Vec<f64>,
    ours: Vec<f64>,
}

impl Pairs {
    fn add(&mut self, bare: f64, ours: f64) {
        self.bare.push(bare);
        self.ours.push(ours);
    }

    fn print(&self, command: &str, tasks: usize) {
        let ratios: Vec<f64> = self.bare.iter().zip(&self.ours).map(|(bare, ours)| ours / bare).collect();
        let (low, middle, high) = spread(&ratios);
        let (_, bare, _) = spread(&self.bare);
        let (_, ours, _) = spread(&self.ours);
        println!("| {command} | {tasks} | {bare:.0} | {ours:.0} | {middle:.2} | {low:.2}–{high:.2} |");
    }
}

/// Least, median and greatest.
fn spread(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    (sorted[0], sorted[sorted.len() / 2], sorted[sorted.len() - 1])
}
