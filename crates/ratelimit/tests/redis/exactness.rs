//! Processes that share a limit admit exactly the limit. The children are this same test binary.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tidegate_ratelimit::{
    BlockPolicy, FixedWindow, LeakyBucket, LeasedLimiter, Limiter, RedisAlgorithm, RedisLimiter, SlidingLog,
    SlidingWindow, TenantLimiter, TenantPlan, TierLimits, TokenBucket,
};
use tidegate_redis::{Client, Command as Redis, Config, Role};
use tidegate_testkit::{poll_until, scale};

use crate::support::{LONG, World, keyspace, limiter, tenants, yearly};

const URL: &str = "TIDEGATE_RATELIMIT_TEST_URL";
const PROCESSES: usize = 4;
const LIMIT: u64 = 1_234;
/// A log stores a time for each charge, so its limit is bounded.
const LOG_LIMIT: u64 = 987;
/// Number of calls that each task makes to a leased limiter.
const REPEATS: u64 = 2;
const GO: &str = "go";
const ADMITTED: &str = "admitted";
const READY: &str = "ready";

fn tasks() -> usize {
    scale(320, 10_000)
}

/// Three quarters of the total demand of all processes.
fn leased_limit() -> u64 {
    3 * (tasks() * PROCESSES) as u64 * REPEATS / 4
}

fn tenant_limits() -> TenantPlan {
    TierLimits::new(LIMIT + 5, LIMIT, LIMIT + 9, None).unwrap().into()
}

async fn add(client: &Client, key: &str, count: u64) -> u64 {
    client.execute(Redis::new("INCRBY").key(key).arg(count)).await.unwrap().as_count().unwrap()
}

async fn count(client: &Client, key: &str) -> u64 {
    add(client, key, 0).await
}

/// Runs checks in many tasks at once, and counts the admissions.
async fn storm<F>(check: impl Fn() -> F) -> u64
where
    F: Future<Output = u64> + Send + 'static,
{
    let tasks: Vec<_> = (0..tasks()).map(|_| tokio::spawn(check())).collect();
    let mut admitted = 0;
    for task in tasks {
        admitted += task.await.unwrap();
    }
    admitted
}

/// One limiter of each algorithm that admits exactly its limit per year: none refills during a
/// test.
fn exact_limiters(client: &Client) -> Vec<Arc<dyn Limiter>> {
    let quota = yearly(LIMIT);
    vec![
        Arc::new(limiter(client, "fixed", FixedWindow::new(quota))),
        Arc::new(limiter(client, "log", SlidingLog::new(yearly(LOG_LIMIT)).unwrap())),
        Arc::new(limiter(client, "sliding", SlidingWindow::new(quota))),
        Arc::new(limiter(client, "bucket", TokenBucket::new(quota))),
        Arc::new(limiter(client, "meter", LeakyBucket::meter(quota))),
        Arc::new(blocked_limiter(client)),
    ]
}

/// The same with leases, which may admit less but never more. The limit is higher, so that there is
/// something to lease.
fn leased_limiters(client: &Client) -> Vec<Arc<dyn Limiter>> {
    fn leased<A: RedisAlgorithm>(client: &Client, name: &str, algorithm: A) -> Arc<dyn Limiter> {
        Arc::new(LeasedLimiter::builder(limiter(client, name, algorithm)).build())
    }
    let quota = yearly(leased_limit());
    vec![
        leased(client, "leased-fixed", FixedWindow::new(quota)),
        leased(client, "leased-sliding", SlidingWindow::new(quota)),
        leased(client, "leased-bucket", TokenBucket::new(quota)),
        leased(client, "leased-meter", LeakyBucket::meter(quota)),
    ]
}

fn blocked_limiter(client: &Client) -> RedisLimiter<SlidingWindow> {
    let policy = BlockPolicy::fixed(Duration::from_mins(10)).escalate(Duration::from_hours(1), Duration::from_hours(1));
    let algorithm = SlidingWindow::new(yearly(LIMIT));
    RedisLimiter::builder("blocked", algorithm, client.clone(), keyspace()).block(policy).build().unwrap()
}

async fn child(url: &str) {
    // A thousand concurrent requests wait for each other, on a busy machine longer than the
    // timeout.
    let client = Client::connect(&Config::parse(url).unwrap().command_timeout(LONG), Role::Cache).await.unwrap();
    add(&client, READY, 1).await;
    poll_until(LONG, async || (count(&client, GO).await == 1).then_some(())).await.unwrap();
    let once = exact_limiters(&client).into_iter().map(|limiter| (limiter, 1));
    let repeated = leased_limiters(&client).into_iter().map(|limiter| (limiter, REPEATS));
    for (limiter, times) in once.chain(repeated) {
        let admitted = storm(|| {
            let limiter = limiter.clone();
            async move {
                let mut admitted = 0;
                for _ in 0..times {
                    admitted += u64::from(limiter.check("key", 1).await.unwrap().is_allowed());
                }
                admitted
            }
        });
        add(&client, &format!("{ADMITTED}:{}", limiter.name()), admitted.await).await;
    }
    let tenants = Arc::new(tenants(&client));
    let admitted = storm(|| {
        let tenants = tenants.clone();
        async move { u64::from(tenants.check("t1", &tenant_limits(), 1).await.unwrap().allowed) }
    });
    add(&client, &format!("{ADMITTED}:tenant"), admitted.await).await;
}

/// A process that is killed at the end of the test at the latest.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_admit_exactly_the_limit() {
    if let Ok(url) = std::env::var(URL) {
        return child(&url).await;
    }
    let world = World::start().await;
    let start = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "exactness::processes_admit_exactly_the_limit"]).env(URL, world.server.url());
        Process(command.stdout(Stdio::null()).spawn().unwrap())
    };
    let mut processes: Vec<Process> = (0..PROCESSES).map(|_| start()).collect();
    poll_until(LONG, async || (count(&world.client, READY).await == PROCESSES as u64).then_some(())).await.unwrap();
    add(&world.client, GO, 1).await;
    let ended = poll_until(4 * LONG, async || {
        processes.iter_mut().all(|process| process.0.try_wait().unwrap().is_some()).then_some(())
    });
    ended.await.unwrap();
    assert!(processes.iter_mut().all(|process| process.0.wait().unwrap().success()));

    for limiter in exact_limiters(&world.client) {
        let admitted = count(&world.client, &format!("{ADMITTED}:{}", limiter.name())).await;
        assert_eq!(admitted, limiter.quota().limit(), "{}", limiter.name());
    }
    for limiter in leased_limiters(&world.client) {
        let admitted = count(&world.client, &format!("{ADMITTED}:{}", limiter.name())).await;
        assert!(admitted <= leased_limit() && admitted > leased_limit() / 2, "{}: {admitted}", limiter.name());
    }
    assert_eq!(count(&world.client, &format!("{ADMITTED}:tenant")).await, LIMIT);
    // However many tasks exceeded the limit together, that is one strike.
    let blocked = blocked_limiter(&world.client).peek("key", 1).await.unwrap().blocked_for().unwrap();
    assert!(blocked <= Duration::from_mins(10), "{blocked:?}");
    let used = tenants(&world.client).usage("t1", &tenant_limits()).await.unwrap();
    assert!(used.windows.iter().all(|window| window.used == LIMIT), "{used:?}");
}
