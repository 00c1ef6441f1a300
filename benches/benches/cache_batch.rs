//! Batches compared with single calls over L2: 1,000 keys on one Redis server, raw values of 256
//! bytes.
//!
//! One by one means one after the other, as a loop in a request would. Before every round, the
//! cache's own clock makes L1 too old, so that every read goes to L2. The target is 20 times. Each
//! line shows the median of the rounds' ratios and their quartiles.

#![expect(clippy::print_stdout, reason = "the table is what it is run for")]

use std::convert::Infallible;
use std::time::Duration;

use tidegate_benches::{Stopwatch, quartiles};
use tidegate_cache::{Fill, Key, ManualClock, RawBytes, RedisTier, Tag, TieredCache, TtlClass, TypedCache};
use tidegate_redis::{Client, Config, Keyspace, Role};
use tidegate_testkit::redis::RedisServer;

const KEYS: usize = 1000;
const ROUNDS: usize = 15;
const CLASS: TtlClass = TtlClass::new("batch", Duration::from_secs(3600));

struct Bench {
    values: TypedCache<Vec<u8>>,
    clock: ManualClock,
    keys: Vec<Key>,
}

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let server = RedisServer::builder().set("appendonly", "no").start().await;
        let config = Config::parse(&server.url()).expect("a URL").command_timeout(Duration::from_secs(10));
        let client = Client::connect(&config, Role::Cache).await.expect("connected");
        let clock = ManualClock::new();
        let tier = RedisTier::new(client, &Keyspace::new("bench").expect("a prefix"));
        let cache = TieredCache::builder().clock(clock.clone()).l2(tier).build();
        let keys = (0..KEYS).map(|index| Key::builder("batch").part(index).build().expect("a key")).collect();
        let bench = Bench { values: cache.typed_with_codec(CLASS, RawBytes::new()), clock, keys };
        println!("| {KEYS} keys | one by one | in a batch | ratio | quartiles |");
        println!("|---|---|---|---|---|");
        for tags in [0, 2] {
            bench.compare(&format!("set, {tags} tags"), || bench.set_each(tags), || bench.put_many(tags)).await;
            bench.compare(&format!("get, {tags} tags"), || bench.get_each(), || bench.get_many()).await;
            bench.compare(&format!("get or load, {tags} tags"), || bench.get_each(), || bench.load_many()).await;
        }
        let forget = async || drop(bench.values.cache().remove_many(&bench.keys).await);
        bench.compare("invalidate", || bench.invalidate_each(), forget).await;
    });
}

impl Bench {
    async fn compare(&self, name: &str, each: impl AsyncFn(), many: impl AsyncFn()) {
        let mut times = Vec::with_capacity(ROUNDS);
        for round in 0..=ROUNDS {
            self.clock.advance(Duration::from_secs(61));
            let watch = Stopwatch::start();
            each().await;
            let one_by_one = watch.elapsed();
            self.clock.advance(Duration::from_secs(61));
            let watch = Stopwatch::start();
            many().await;
            // The first round warms up.
            if round > 0 {
                times.push((one_by_one, watch.elapsed()));
            }
        }
        let [_, one, _] = quartiles(times.iter().map(|times| times.0.as_secs_f64() * 1e3));
        let [_, many, _] = quartiles(times.iter().map(|times| times.1.as_secs_f64() * 1e3));
        let [low, ratio, high] = quartiles(times.iter().map(|(one, many)| one.as_secs_f64() / many.as_secs_f64()));
        println!("| {name} | {one:.1} ms | {many:.2} ms | {ratio:.1} | {low:.1} to {high:.1} |");
    }

    fn fill(tags: usize) -> Fill<Vec<u8>> {
        Fill::new(vec![7; 256]).tags((0..tags).map(|tag| Tag::of(["tenant", &tag.to_string()])))
    }

    async fn set_each(&self, tags: usize) {
        for key in &self.keys {
            self.values.put(key, Self::fill(tags)).await;
        }
    }

    async fn put_many(&self, tags: usize) {
        self.values.put_many(self.keys.iter().map(|key| (key, Self::fill(tags)))).await;
    }

    async fn get_each(&self) {
        for key in &self.keys {
            let load = async || Ok::<_, Infallible>(Self::fill(0));
            self.values.fetch(key, load).await.expect("a value");
        }
    }

    async fn get_many(&self) {
        let found = self.values.get_many(&self.keys).await;
        assert!(found.into_iter().all(|found| found.into_value().is_some()), "L2 has all of them");
    }

    async fn load_many(&self) {
        let load = async |_| Ok::<_, Infallible>(Vec::<(Key, Fill<Vec<u8>>)>::new());
        let reads = self.values.fetch_many(&self.keys, load).await;
        assert!(reads.into_iter().all(|read| matches!(read, Ok(Some(_)))), "L2 has all of them");
    }

    async fn invalidate_each(&self) {
        for key in &self.keys {
            self.values.cache().remove(key).await.expect("told");
        }
    }
}
