//! What the narrow client costs beside the bare one: the same command on the same server, in turns.
//!
//! Both speak RESP3 over one connection. A ratio is of rates in one pair of turns; the table shows the median of the
//! pairs and their range, since a machine is never as quiet as one would like.

use std::sync::Arc;
use std::time::Duration;

use fred::clients::Client as BareClient;
use fred::interfaces::{ClientLike, KeysInterface, LuaInterface};
use fred::types::{Builder, RespVersion};
use tidegate_benches::Stopwatch;
use tidegate_redis::{Client, Command, Config, Role, Script};
use tidegate_testkit::redis::RedisServer;
use tokio::runtime::Runtime;

const PAIRS: usize = 9;
const TURN: Duration = Duration::from_millis(700);
const KEY: &str = "bench:{one}:key";
const ADD: &str = "return redis.call('INCRBY', KEYS[1], ARGV[1])";

fn main() {
    Runtime::new().expect("a runtime").block_on(compare());
}

async fn compare() {
    let server = RedisServer::start().await;
    let ours = Client::connect(&Config::parse(&server.url()).expect("a URL"), Role::Durable).await.expect("connected");
    let bare = bare(&server.url()).await;
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

async fn bare(url: &str) -> BareClient {
    let mut config = fred::types::config::Config::from_url(url).expect("a URL");
    config.version = RespVersion::RESP3;
    let client = Builder::from_config(config).build().expect("a client");
    client.init().await.expect("connected");
    client
}

/// Calls a second with so many tasks that each call one after the other.
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
