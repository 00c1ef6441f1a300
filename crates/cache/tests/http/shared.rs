//! Responses in the tier that processes share.

use tidegate_cache::{ManualClock, RedisTier, TieredCache};
use tidegate_redis::{Client, Command, Config, Keyspace, Role};
use tidegate_testkit::redis::RedisServer;

use crate::ground::{Ground, answer, start};

async fn node(url: &str, name: &'static str) -> (Ground, Client) {
    let url = format!("{url}?timeout=5s");
    let client = Client::connect(&Config::parse(&url).unwrap(), Role::Cache).await.unwrap();
    let clock = ManualClock::at(start());
    let l2 = RedisTier::new(client.clone(), &Keyspace::new("tg").unwrap());
    let cache = TieredCache::builder().clock(clock.clone()).l2(l2).build();
    let ground = Ground::over(
        cache,
        clock,
        |layer| layer,
        move |_, call| {
            answer(
                format!("{name} {call}"),
                &[
                    ("cache-control", "public, max-age=600"),
                    ("vary", "authorization"),
                    ("link", "</a>"),
                    ("link", "</b>"),
                    ("etag", "\"1\""),
                ],
            )
        },
    );
    (ground, client)
}

#[tokio::test]
async fn a_response_fetched_by_one_process_is_served_by_another_with_all_its_headers() {
    let server = RedisServer::start().await;
    let ((a, _), (b, client)) = (node(&server.url(), "a").await, node(&server.url(), "b").await);
    let secret = [("authorization", "Bearer s3cr3t-of-ann")];
    assert_eq!(a.get(&secret).await.body, "a 0");
    b.pass(30);
    let got = b.get(&secret).await;
    assert_eq!((got.body.as_str(), got.did(), got.header("age")), ("a 0", "hit; ttl=570", Some("30")));
    assert_eq!(got.headers.get_all("link").iter().collect::<Vec<_>>(), ["</a>", "</b>"]);
    assert_eq!(b.get(&[("authorization", "Bearer s3cr3t-of-bob")]).await.body, "b 0", "its own variant");
    assert_eq!(a.get(&[("authorization", "Bearer s3cr3t-of-bob")]).await.body, "b 0");

    let keys = client.execute(Command::new("KEYS").arg("*")).await.unwrap().into_array().unwrap();
    for key in keys {
        let key = key.into_text().unwrap();
        assert!(!key.contains("s3cr3t"), "{key}");
        if let Ok(value) = client.execute(Command::new("GET").key(key.as_str())).await
            && let Ok(bytes) = value.into_bytes()
        {
            assert!(!String::from_utf8_lossy(&bytes).contains("s3cr3t"), "{key}");
        }
    }
}

/// Over one Redis: a response with the header `says`, and a service that fails from its second call
/// on if `fails`.
async fn told(url: &str, says: &'static str, fails: bool) -> Ground {
    let client = Client::connect(&Config::parse(&format!("{url}?timeout=5s")).unwrap(), Role::Cache).await.unwrap();
    let clock = ManualClock::at(start());
    let l2 = RedisTier::new(client, &Keyspace::new("tg").unwrap());
    let cache = TieredCache::builder().clock(clock.clone()).l2(l2).build();
    Ground::over(
        cache,
        clock,
        |layer| layer,
        move |_, call| match fails {
            true => crate::ground::with_status(503, &[]),
            false => answer(format!("new {call}"), &[("cache-control", says)]),
        },
    )
}

#[tokio::test]
async fn a_stale_response_in_redis_is_served_only_by_the_rules_of_http() {
    for (says, fails) in [("max-age=1, must-revalidate", false), ("max-age=1", false), ("max-age=1", true)] {
        let server = RedisServer::start().await;
        let (a, b) = (told(&server.url(), says, false).await, told(&server.url(), says, fails).await);
        assert_eq!(a.get(&[]).await.body, "new 0");
        // Redis counts real time; by the clock of responses a minute has passed.
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
        b.pass(60);
        let got = b.get(&[]).await;
        assert_eq!((b.calls(), got.status.as_u16()), (1, if fails { 503 } else { 200 }), "{says}: {got:?}");
        assert_eq!(got.header("age").unwrap_or("0"), "0", "{says}: {got:?}");
    }
}

#[tokio::test]
async fn a_private_response_is_not_stored_in_redis() {
    let server = RedisServer::start().await;
    let ground = told(&server.url(), "no-store", false).await;
    let client = Client::connect(&Config::parse(&server.url()).unwrap(), Role::Cache).await.unwrap();
    for index in 0..20 {
        ground.get_at(&format!("http://example.com/?x={index}")).await;
    }
    // The fences of their loads are given back behind the answers.
    let gone = tidegate_testkit::poll_until(std::time::Duration::from_secs(20), async || {
        let keys = client.execute(Command::new("KEYS").arg("tg:c*example.com*")).await.unwrap().into_array().unwrap();
        keys.is_empty().then_some(())
    });
    gone.await.unwrap();
}
