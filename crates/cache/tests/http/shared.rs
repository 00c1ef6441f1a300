//! Responses in the tier that processes share.

use tidegate_cache::{ManualClock, RedisTier, TieredCache};
use tidegate_redis::{Client, Command, Config, Keyspace, Role};
use tidegate_testkit::redis::RedisServer;

use crate::ground::{Ground, answer};

async fn node(url: &str, name: &'static str) -> (Ground, Client) {
    let url = format!("{url}?timeout=5s");
    let client = Client::connect(&Config::parse(&url).unwrap(), Role::Cache).await.unwrap();
    let clock = ManualClock::new();
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
async fn what_one_process_fetched_another_gives_with_all_its_headers() {
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
