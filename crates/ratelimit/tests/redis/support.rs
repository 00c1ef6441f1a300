//! A server, a client and a clock that a test sets.

use std::time::Duration;

use proptest::test_runner::{Config as Cases, TestRunner};
use tidegate_ratelimit::{
    FixedWindow, Limiter, Quota, RedisAlgorithm, RedisLimiter, RedisTenantLimiter, SlidingWindow, TokenBucket,
};
use tidegate_redis::{Client, ClockPrelude, Command, Config, Keyspace, Role};
use tidegate_testkit::redis::RedisServer;

/// No test takes that long, unless it hangs.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// The key of the test clock.
const CLOCK: &str = "clock";

pub(crate) async fn connect(url: &str) -> Client {
    Client::connect(&Config::parse(url).unwrap(), Role::Cache).await.unwrap()
}

pub(crate) fn keyspace() -> Keyspace {
    Keyspace::new("test").unwrap()
}

pub(crate) fn limiter<A: RedisAlgorithm>(client: &Client, name: &str, algorithm: A) -> RedisLimiter<A> {
    RedisLimiter::builder(name, algorithm, client.clone(), keyspace()).build().unwrap()
}

pub(crate) fn tenants(client: &Client) -> RedisTenantLimiter {
    RedisTenantLimiter::builder("tenant", client.clone(), keyspace()).build()
}

/// A server and its client.
pub(crate) struct World {
    pub(crate) server: RedisServer,
    pub(crate) client: Client,
}

impl World {
    pub(crate) async fn start() -> Self {
        let server = RedisServer::start().await;
        let client = connect(&server.url()).await;
        Self { server, client }
    }

    /// With a client that waits as long as a busy machine may take, for tests that do not depend on
    /// time.
    pub(crate) async fn start_patient() -> Self {
        let server = RedisServer::start().await;
        let config = Config::parse(&server.url()).unwrap().command_timeout(LONG);
        let client = Client::connect(&config, Role::Cache).await.unwrap();
        Self { server, client }
    }

    pub(crate) fn limiter<A: RedisAlgorithm>(&self, name: &str, algorithm: A) -> RedisLimiter<A> {
        limiter(&self.client, name, algorithm)
    }

    pub(crate) async fn set_clock(&self, now: u64) {
        self.client.execute(Command::new("SET").key(CLOCK).arg(now)).await.unwrap();
    }

    /// Remaining lifetime of a key on the server, in milliseconds.
    pub(crate) async fn ttl(&self, key: &str) -> i64 {
        self.client.execute(Command::new("PTTL").key(key)).await.unwrap().as_int().unwrap()
    }

    pub(crate) async fn keys(&self) -> Vec<String> {
        let keys = self.client.execute(Command::new("KEYS").arg("*")).await.unwrap().into_array().unwrap();
        keys.into_iter().map(|key| key.into_text().unwrap()).collect()
    }
}

pub(crate) fn test_clock() -> ClockPrelude {
    ClockPrelude::from_key(CLOCK)
}

/// Runs `case` with `cases` traces.
pub(crate) fn for_all<S: proptest::strategy::Strategy>(
    cases: usize,
    strategy: S,
    case: impl Fn(S::Value) -> Result<(), proptest::test_runner::TestCaseError>,
) where
    S::Value: std::fmt::Debug,
{
    let cases = u32::try_from(tidegate_testkit::scale(cases, 10 * cases)).unwrap();
    TestRunner::new(Cases { cases, failure_persistence: None, ..Cases::default() }).run(&strategy, case).unwrap();
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A quota that does not refill during a test.
pub(crate) fn yearly(limit: u64) -> Quota {
    Quota::new(limit, Quota::MAX_PERIOD).unwrap()
}

/// Checks a cost of one `times` times. Returns how many were admitted.
pub(crate) async fn admit(limiter: &(impl Limiter + ?Sized), key: &str, times: u64) -> u64 {
    let mut admitted = 0;
    for _ in 0..times {
        admitted += u64::from(limiter.check(key, 1).await.unwrap().is_allowed());
    }
    admitted
}

/// One limiter of each algorithm with a limit per year: none refills during a test.
pub(crate) fn one_of_each(client: &Client, limit: u64) -> [Box<dyn Limiter>; 3] {
    let quota = yearly(limit);
    [
        Box::new(limiter(client, "fixed", FixedWindow::new(quota))),
        Box::new(limiter(client, "sliding", SlidingWindow::new(quota))),
        Box::new(limiter(client, "bucket", TokenBucket::new(quota))),
    ]
}
