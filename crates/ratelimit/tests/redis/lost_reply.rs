//! A charge is sent once: if its reply is lost, the server counted it once, and it is not repeated.

use tidegate_ratelimit::{CheckError, FallbackLimiter, FixedWindow, Limiter, RedisLimiter, TenantLimiter, Tier};
use tidegate_redis::Client;
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::Proxy;

use crate::support::{LONG, World, connect, keyspace, one_of_each, tenants, yearly};

const ROUNDS: u64 = 15;

async fn until_available(client: &Client) {
    poll_until(LONG, async || client.availability().is_available().then_some(())).await.unwrap();
}

fn is_lost<T>(result: Result<T, CheckError>) -> bool {
    matches!(result, Err(CheckError::Store(error)) if error.may_have_charged() && error.is_transient())
}

#[tokio::test]
async fn no_charge_happens_twice() {
    let world = World::start().await;
    let proxy = Proxy::start(&world.server).await;
    let client = connect(&proxy.url()).await;
    let (limiters, lossy) = (one_of_each(&client, 1_000), tenants(&client));
    let limits = Tier::ENTERPRISE.into();
    // Loads the scripts, so that one attempt is one request.
    for limiter in &limiters {
        let _ = limiter.check("other", 0).await.unwrap();
    }
    let _ = lossy.check("other", &limits, 0).await.unwrap();
    proxy.drop_every_reply_once();
    for round in 1..=ROUNDS {
        let key = format!("key-{round}");
        for (limiter, direct) in limiters.iter().zip(one_of_each(&world.client, 1_000)) {
            until_available(&client).await;
            assert!(is_lost(limiter.check(&key, 1).await), "{} {round}", limiter.name());
            assert_eq!(direct.peek(&key, 0).await.unwrap().remaining(), 999, "{}", limiter.name());
        }
        until_available(&client).await;
        assert!(is_lost(lossy.check(&key, &limits, 1).await));
        assert!(
            tenants(&world.client).usage(&key, &limits).await.unwrap().windows.iter().all(|window| window.used == 1)
        );
    }
    // Includes those of the client's own probes.
    assert!(proxy.dropped() as u64 >= 4 * ROUNDS);
    assert_eq!(limiters[0].stats().failed, ROUNDS);
}

#[tokio::test]
async fn the_fallback_answers_in_its_place() {
    let world = World::start().await;
    let proxy = Proxy::start(&world.server).await;
    let client = connect(&proxy.url()).await;
    let algorithm = FixedWindow::new(yearly(1_000));
    let shared = RedisLimiter::builder("fixed", algorithm, client.clone(), keyspace()).build().unwrap();
    let limiter = FallbackLimiter::builder(shared).build();
    let direct = world.limiter("fixed", algorithm);
    assert!(limiter.check("other", 0).await.unwrap().is_allowed());
    for round in 1..=ROUNDS {
        until_available(&client).await;
        proxy.drop_next_reply();
        assert_eq!(limiter.check("key", 1).await.unwrap().remaining(), 1_000 - round, "counted here too");
        assert_eq!(direct.peek("key", 0).await.unwrap().remaining(), 1_000 - round);
    }
    let stats = limiter.stats();
    assert_eq!((stats.allowed, stats.denied, stats.failed), (ROUNDS + 1, 0, 0));
}
