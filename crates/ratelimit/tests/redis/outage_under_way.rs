//! Requests that are running when an outage begins: a reply may arrive while other checks are
//! decided without Redis.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tidegate_ratelimit::{
    BlockPolicy, CheckError, FallbackLimiter, FallbackTenantLimiter, FixedWindow, Limiter, OutagePolicy, Quota,
    RedisLimiter, TenantLimiter, TenantPlan, TierLimits,
};
use tidegate_redis::{Client, Config, Role};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::Proxy;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::outage::BAN;
use crate::support::{LONG, World, keyspace, tenants};

const LIMIT: u64 = 100;
const PATIENCE: Duration = Duration::from_secs(1);

fn yearly(limit: u64) -> FixedWindow {
    FixedWindow::new(Quota::new(limit, Quota::MAX_PERIOD).unwrap())
}

fn plan() -> TenantPlan {
    TierLimits::new(LIMIT, LIMIT, LIMIT, None).unwrap().into()
}

/// A connection to a server on which replies can be held back.
struct Way {
    world: World,
    proxy: Proxy,
    client: Client,
}

impl Way {
    /// With a client that waits as long as necessary.
    async fn start() -> Self {
        let world = World::start().await;
        let proxy = Proxy::start(&world.server).await;
        let config = Config::parse(&proxy.url()).unwrap().command_timeout(LONG);
        let client = Client::connect(&config, Role::Cache).await.unwrap();
        Self { world, proxy, client }
    }

    fn limiter(&self, limit: u64, policy: OutagePolicy) -> Arc<FallbackLimiter<FixedWindow>> {
        let shared = RedisLimiter::builder("api", yearly(limit), self.client.clone(), keyspace());
        let shared = shared.block(BlockPolicy::fixed(BAN)).build().unwrap();
        Arc::new(FallbackLimiter::builder(shared).policy(policy).patience(PATIENCE).build())
    }

    fn tenants(&self) -> Arc<FallbackTenantLimiter> {
        Arc::new(FallbackTenantLimiter::builder(tenants(&self.client)).patience(PATIENCE).build())
    }

    /// Waits until `count` commands were sent whose replies are held back.
    async fn until_held(&self, count: usize) {
        // Based on the sockets only, because time may be stopped.
        while self.proxy.held() < count {
            tokio::task::yield_now().await;
        }
    }

    /// Sends the first request, and the second after half of the patience. Then the patience of the
    /// first ends, the second is still running, and everything else is decided here.
    async fn one_in_vain_and_one_under_way<T: Send + 'static>(
        &self,
        first: impl Future<Output = ()> + Send + 'static,
        second: impl Future<Output = T> + Send + 'static,
    ) -> (StoppedTime, JoinHandle<T>) {
        let time = StoppedTime::stop();
        self.proxy.hold();
        let first = tokio::spawn(first);
        self.until_held(1).await;
        tokio::time::advance(PATIENCE / 2).await;
        let second = tokio::spawn(second);
        self.until_held(2).await;
        tokio::time::advance(PATIENCE / 2 + Duration::from_millis(2)).await;
        first.await.unwrap();
        // Ensures that the next replies are those of the two.
        self.until_held(3).await;
        assert!(!second.is_finished());
        (time, second)
    }
}

/// Time that a test controls. Unlike paused time, it does not jump to the next timer while a thread
/// runs.
struct StoppedTime {
    _works: oneshot::Sender<()>,
}

impl StoppedTime {
    fn stop() -> Self {
        let (works, ended) = oneshot::channel();
        tokio::task::spawn_blocking(move || ended.blocking_recv());
        tokio::time::pause();
        Self { _works: works }
    }
}

impl Drop for StoppedTime {
    fn drop(&mut self) {
        tokio::time::resume();
    }
}

async fn admitted<F: Future<Output = bool>>(check: impl Fn() -> F) -> u64 {
    let mut admitted = 0;
    while check().await {
        admitted += 1;
        assert!(admitted <= LIMIT);
    }
    admitted
}

/// A check times out, and the rest is admitted here. Then the reply to a running check arrives.
async fn no_more_after_an_answer<F: Future<Output = bool> + Send + 'static>(
    way: &Way,
    left: u64,
    check: impl Fn() -> F,
) {
    let (_time, second) = {
        let first = check();
        way.one_in_vain_and_one_under_way(async { assert!(first.await) }, check()).await
    };
    assert_eq!(admitted(&check).await, left - 1);
    way.proxy.release(2);
    assert!(second.await.unwrap());
    assert_eq!(admitted(&check).await, 0, "the share is given out once");
}

#[tokio::test]
async fn an_answer_that_was_under_way_gives_no_share_out_again() {
    for (key, used) in [("known", 5), ("new", 0)] {
        let way = Way::start().await;
        let limiter = way.limiter(LIMIT, OutagePolicy::ALONE);
        assert!(limiter.check("other", 1).await.unwrap().is_allowed());
        if used > 0 {
            assert!(limiter.check(key, used).await.unwrap().is_allowed());
        }
        no_more_after_an_answer(&way, LIMIT - used, || {
            let limiter = limiter.clone();
            async move { limiter.check(key, 1).await.unwrap().is_allowed() }
        })
        .await;
        let blocked = limiter.check(key, 1).await.unwrap().blocked_for();
        assert!(blocked.is_some_and(|left| left > BAN / 2), "{blocked:?}: it ends no block that began here");
    }
}

#[tokio::test]
async fn an_answer_that_was_under_way_gives_no_share_of_a_tenant_out_again() {
    for (tenant, used) in [("known", 5), ("new", 0)] {
        let way = Way::start().await;
        let limiter = way.tenants();
        assert!(limiter.check("other", &plan(), 1).await.unwrap().allowed);
        if used > 0 {
            assert!(limiter.check(tenant, &plan(), used).await.unwrap().allowed);
        }
        no_more_after_an_answer(&way, LIMIT - used, || {
            let limiter = limiter.clone();
            async move { limiter.check(tenant, &plan(), 1).await.unwrap().allowed }
        })
        .await;
    }
}

/// A block that another client set meanwhile.
#[tokio::test]
async fn an_answer_that_was_under_way_still_tells_of_a_block() {
    let way = Way::start().await;
    let (limiter, others) = (way.limiter(LIMIT, OutagePolicy::ALONE), way.tenants());
    assert!(limiter.check("key", 1).await.unwrap().is_allowed());
    assert!(others.check("t1", &plan(), 1).await.unwrap().allowed);
    let direct = RedisLimiter::builder("api", yearly(LIMIT), way.world.client.clone(), keyspace()).build().unwrap();
    direct.block("key", BAN).await.unwrap();
    tenants(&way.world.client).block("t1", BAN).await.unwrap();

    let (first, second) = (limiter.clone(), limiter.clone());
    let in_vain = async move { assert!(first.check("key", 1).await.unwrap().is_allowed()) };
    let under_way = async move { second.check("key", 1).await.unwrap().blocked_for() };
    let (time, second) = way.one_in_vain_and_one_under_way(in_vain, under_way).await;
    assert!(limiter.check("key", 1).await.unwrap().is_allowed());
    way.proxy.release(2);
    assert!(second.await.unwrap().is_some());
    assert!(limiter.check("key", 1).await.unwrap().blocked_for().is_some_and(|left| left > BAN / 2));
    way.proxy.restore();
    drop(time);
    poll_until(LONG, async || others.peek("t2", &plan(), 0).await.ok().map(drop)).await.unwrap();

    let (first, second) = (others.clone(), others.clone());
    let in_vain = async move { assert!(first.check("t1", &plan(), 1).await.unwrap().allowed) };
    let under_way = async move { second.check("t1", &plan(), 1).await.unwrap().blocked_for };
    let (_time, second) = way.one_in_vain_and_one_under_way(in_vain, under_way).await;
    assert!(others.check("t1", &plan(), 1).await.unwrap().allowed);
    way.proxy.release(2);
    assert!(second.await.unwrap().is_some());
    assert!(others.check("t1", &plan(), 1).await.unwrap().blocked_for.is_some_and(|left| left > BAN / 2));
}

#[tokio::test]
async fn a_reward_of_a_tenant_whose_answer_is_lost_is_given_back_once() {
    let way = Way::start().await;
    let limiter = way.tenants();
    let check = async |times| {
        for _ in 0..times {
            assert!(limiter.check("t1", &plan(), 1).await.unwrap().allowed);
        }
    };
    let used = async || tenants(&way.world.client).usage("t1", &plan()).await.unwrap().windows[0].used;
    check(20).await;
    // Loads the script, so that a request runs.
    limiter.reward("other", &plan(), 1).await.unwrap();
    let (first, second) = (limiter.clone(), limiter.clone());
    let in_vain = async move { drop(first.check("other", &plan(), 1).await) };
    let under_way = async move { second.reward("t1", &plan(), 5).await.map(|usage| usage.windows[0].used) };
    let (time, reward) = way.one_in_vain_and_one_under_way(in_vain, under_way).await;
    poll_until(LONG, async || (used().await == 15).then_some(())).await.unwrap();
    // Some are sent, others not yet.
    let held = way.proxy.held();
    check(10).await;
    way.until_held(held + 1).await;
    check(10).await;
    tokio::time::advance(PATIENCE).await;
    assert_eq!(reward.await.unwrap(), Ok(35));
    way.proxy.restore();
    drop(time);
    poll_until(LONG, async || (used().await == 35).then_some(())).await.unwrap();
}

#[tokio::test]
async fn a_cost_that_never_fits_is_refused_while_the_server_hangs() {
    let way = Way::start().await;
    for policy in [OutagePolicy::Open, OutagePolicy::Closed, OutagePolicy::ALONE] {
        let shared = RedisLimiter::builder("api", yearly(LIMIT), way.client.clone(), keyspace()).build().unwrap();
        let limiter = FallbackLimiter::builder(shared).policy(policy).patience(Duration::from_millis(1)).build();
        way.proxy.hold();
        let _ = limiter.check("key", 1).await;
        let never = Err(CheckError::CostExceedsLimit { cost: LIMIT + 1, limit: LIMIT });
        assert_eq!(limiter.check("key", LIMIT + 1).await, never, "{policy:?}");
        assert_eq!(limiter.peek("key", LIMIT + 1).await, never, "{policy:?}");
    }
}

/// A block whose caller is cancelled before Redis replies still applies everywhere.
#[tokio::test]
async fn a_block_that_nobody_waits_for_is_taken_to_redis() {
    let way = Way::start().await;
    let limiter = way.limiter(LIMIT, OutagePolicy::ALONE);
    let direct = RedisLimiter::builder("api", yearly(LIMIT), way.world.client.clone(), keyspace()).build().unwrap();
    assert!(limiter.check("key", 1).await.unwrap().is_allowed());
    // The requests are lost.
    way.proxy.hang();
    tokio::select! {
        biased;
        result = limiter.block("key", BAN) => panic!("{result:?}"),
        () = tokio::task::yield_now() => {}
    }
    assert!(limiter.known_denial("key", 1).is_some());
    way.proxy.restore();
    let is_blocked = async || direct.peek("key", 0).await.unwrap().blocked_for();
    assert!(poll_until(LONG, is_blocked).await.unwrap() > BAN / 2);
}
