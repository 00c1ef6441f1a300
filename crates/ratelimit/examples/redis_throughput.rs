//! Decisions per second with Redis, compared with a plain script that sends the same commands.
//!
//! ```text
//! cargo run --release -p tidegate-ratelimit --features redis --example redis_throughput -- \
//!     redis://127.0.0.1:6379
//! ```
//!
//! Adds keys under `throughput` to that server. All of them expire.

#![allow(clippy::print_stdout, reason = "it prints what it measured")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tidegate_ratelimit::{
    FixedWindow, Limiter, Quota, RedisLimiter, RedisTenantLimiter, SlidingWindow, TenantLimiter, TenantPlan,
    TierLimits, TokenBucket,
};
use tidegate_redis::{Client, Config, Keyspace, Role, Script};
use tokio::time::Instant;

const TASKS: u64 = 64;
const EACH: u64 = 1_000;
const ROUNDS: usize = 3;
/// Number of keys.
const KEYS: u64 = 1_000;
/// A limit that is never reached.
const PLENTY: u64 = 1_000_000_000;

/// Only the commands that a limiter's script sends to the server.
const BARE: &str = "redis.call('TIME'); redis.call('GET', KEYS[1]); \
                    redis.call('SET', KEYS[1], ARGV[1], 'PX', 60000); return {1, 0, 1, 0}";

/// The best of a few rounds.
async fn rate<F, W>(work: W) -> f64
where
    F: Future<Output = ()> + Send + 'static,
    W: Fn(u64) -> F + Clone + Send + Sync + 'static,
{
    let mut best = 0.0_f64;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let work = work.clone();
                tokio::spawn(async move {
                    for nth in 0..EACH {
                        work((task * EACH + nth) % KEYS).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no check fails");
        }
        let decisions = u32::try_from(TASKS * EACH).map_or(0.0, f64::from);
        best = best.max(decisions / started.elapsed().as_secs_f64());
    }
    best
}

async fn of_script(client: &Client, source: &str) -> f64 {
    let (client, script) = (client.clone(), Arc::new(Script::new("bare", source)));
    rate(move |key| {
        let (client, script) = (client.clone(), script.clone());
        async move {
            let key = format!("throughput:bare:{key}");
            client.run(&script, &[key], vec!["thirty-four bytes, as a state has.".into()]).await.expect("it runs");
        }
    })
    .await
}

async fn of_limiter(limiter: impl Limiter + 'static) -> f64 {
    let limiter = Arc::new(limiter);
    rate(move |key| {
        let limiter = limiter.clone();
        async move {
            assert!(limiter.check(&format!("key-{key}"), 1).await.expect("Redis answers").is_allowed());
        }
    })
    .await
}

async fn of_tenants(tenants: RedisTenantLimiter, limits: TenantPlan) -> f64 {
    let tenants = Arc::new(tenants);
    rate(move |key| {
        let tenants = tenants.clone();
        async move {
            assert!(tenants.check(&format!("t{key}"), &limits, 1).await.expect("Redis answers").allowed);
        }
    })
    .await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("the URL of a Redis server is wanted")?;
    let client = Client::connect(&Config::parse(&url)?.command_timeout(Duration::from_secs(10)), Role::Cache).await?;
    let keys = Keyspace::new("throughput")?;
    let quota = Quota::per_minute(PLENTY)?;
    let incr = of_script(&client, "return redis.call('INCR', KEYS[1] .. ':count')").await;
    let bare = of_script(&client, BARE).await;
    println!("{:<28} {incr:>9.0}/s", "bare INCR");
    println!("{:<28} {bare:>9.0}/s", "bare TIME, GET, SET");
    let fixed = RedisLimiter::builder("fixed", FixedWindow::new(quota), client.clone(), keys.clone()).build()?;
    let sliding = RedisLimiter::builder("sliding", SlidingWindow::new(quota), client.clone(), keys.clone()).build()?;
    let bucket = RedisLimiter::builder("bucket", TokenBucket::new(quota), client.clone(), keys.clone()).build()?;
    let tenants = RedisTenantLimiter::builder("tenant", client.clone(), keys).build();
    let limits = TierLimits::new(PLENTY, PLENTY, PLENTY, None)?.into();
    for (name, rate) in [
        ("fixed window", of_limiter(fixed).await),
        ("sliding window", of_limiter(sliding).await),
        ("token bucket", of_limiter(bucket).await),
        ("tenant, three windows", of_tenants(tenants, limits).await),
    ] {
        println!("{name:<28} {rate:>9.0}/s  {:.2} of bare TIME, GET, SET", rate / bare);
    }
    Ok(())
}
