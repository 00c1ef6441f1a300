//! Typed shapes: one suite, run in memory and on Redis.

#![cfg(feature = "shapes")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

use std::sync::Arc;
use std::time::Duration;

use tidegate_cache::{Key, ManualClock, ShapeError, Shapes, TtlClass};
use tokio::task::JoinSet;

const DAY: TtlClass = TtlClass::new("day", Duration::from_secs(24 * 60 * 60));

fn key(index: u32) -> Key {
    Key::builder("shape").part("t{1}").part(index).build().unwrap()
}

/// Store of the shapes; on Redis, a server of the test's own.
struct Place {
    shapes: Shapes,
    #[cfg(feature = "json")]
    server: Option<tidegate_testkit::redis::RedisServer>,
}

impl Place {
    async fn all() -> Vec<Self> {
        vec![
            Self {
                shapes: Shapes::in_memory(1_000),
                #[cfg(feature = "json")]
                server: None,
            },
            #[cfg(feature = "json")]
            Self::redis().await,
        ]
    }

    #[cfg(feature = "json")]
    async fn redis() -> Self {
        use tidegate_redis::{Client, Config, Keyspace, Role};
        let server = tidegate_testkit::redis::RedisServer::start().await;
        let config = Config::parse(&server.url()).unwrap().command_timeout(Duration::from_secs(5));
        let client = Client::connect(&config, Role::Cache).await.unwrap();
        Self { shapes: Shapes::on_redis(client, &Keyspace::new("tg").unwrap()), server: Some(server) }
    }
}

#[tokio::test]
async fn a_counter_adds_up_and_refuses_to_overflow() {
    for Place { shapes, .. } in &Place::all().await {
        let likes = shapes.counter(DAY);
        assert_eq!(likes.get(&key(1)).await.unwrap(), None);
        assert_eq!(likes.add(&key(1), 5).await.unwrap(), 5);
        assert_eq!(likes.add(&key(1), -7).await.unwrap(), -2);
        assert_eq!((likes.get(&key(1)).await.unwrap(), likes.get(&key(2)).await.unwrap()), (Some(-2), None));
        likes.add(&key(3), i64::MAX).await.unwrap();
        assert!(matches!(likes.add(&key(3), 1).await, Err(ShapeError::Overflow)));
        assert_eq!(likes.get(&key(3)).await.unwrap(), Some(i64::MAX));
        assert!(likes.delete(&key(3)).await.unwrap() && !likes.delete(&key(3)).await.unwrap());
        assert_eq!(likes.add(&key(3), 1).await.unwrap(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_write_of_concurrent_writers_is_lost() {
    for Place { shapes, .. } in &Place::all().await {
        let (likes, members, bits) = (shapes.counter(DAY), shapes.set(DAY), shapes.bitmap(DAY));
        let mut tasks = JoinSet::new();
        for task in 0..8_u32 {
            let (likes, members, bits) = (likes.clone(), members.clone(), bits.clone());
            tasks.spawn(async move {
                for nth in 0..50 {
                    likes.add(&key(1), 1).await.unwrap();
                    members.add(&key(1), &format!("{task} {nth}")).await.unwrap();
                    bits.set(&key(1), nth * 8 + task, true).await.unwrap();
                }
            });
        }
        tasks.join_all().await;
        assert_eq!(likes.get(&key(1)).await.unwrap(), Some(400));
        assert_eq!((members.count(&key(1)).await.unwrap(), bits.count(&key(1)).await.unwrap()), (400, 400));
    }
}

#[tokio::test]
async fn a_set_holds_members_up_to_its_limit() {
    for Place { shapes, .. } in &Place::all().await {
        let tags = shapes.set(DAY).limit(3);
        assert!(tags.add(&key(1), "a").await.unwrap() && !tags.add(&key(1), "a").await.unwrap());
        assert!(tags.add(&key(1), "").await.unwrap() && tags.add(&key(1), "ü\n\0").await.unwrap());
        assert!(matches!(tags.add(&key(1), "d").await, Err(ShapeError::Full { limit: 3 })));
        assert!(!tags.add(&key(1), "a").await.unwrap(), "one that is there is no more");
        let mut members = tags.members(&key(1)).await.unwrap();
        members.sort();
        assert_eq!(members, ["", "a", "ü\n\0"]);
        assert!(tags.contains(&key(1), "").await.unwrap() && !tags.contains(&key(1), "d").await.unwrap());
        assert!(tags.remove(&key(1), "").await.unwrap() && !tags.remove(&key(1), "").await.unwrap());
        assert!(tags.remove(&key(1), "a").await.unwrap() && tags.remove(&key(1), "ü\n\0").await.unwrap());
        assert_eq!((tags.count(&key(1)).await.unwrap(), tags.ttl(&key(1)).await.unwrap()), (0, None));
        let long = "x".repeat(513);
        assert!(matches!(tags.add(&key(1), &long).await, Err(ShapeError::TooLong { length: 513, limit: 512 })));
    }
}

#[tokio::test]
async fn a_bitmap_holds_bits_up_to_its_highest() {
    for Place { shapes, .. } in &Place::all().await {
        let present = shapes.bitmap(DAY);
        assert!(!present.set(&key(1), 0, true).await.unwrap());
        assert!(present.set(&key(1), 0, true).await.unwrap());
        present.set(&key(1), 1_048_575, true).await.unwrap();
        present.set(&key(1), 9, true).await.unwrap();
        assert!(present.set(&key(1), 9, false).await.unwrap());
        assert_eq!(present.count(&key(1)).await.unwrap(), 2);
        assert!(present.get(&key(1), 1_048_575).await.unwrap() && !present.get(&key(1), 9).await.unwrap());
        assert!(!present.get(&key(1), u32::MAX).await.unwrap() && !present.get(&key(2), 0).await.unwrap());
        let refused = present.set(&key(1), 1_048_576, true).await;
        assert!(matches!(refused, Err(ShapeError::TooHigh { bit: 1_048_576, highest: 1_048_575 })));
        assert!(!shapes.bitmap(DAY).highest(u32::MAX).set(&key(3), 134_217_727, true).await.unwrap());
    }
}

#[tokio::test]
async fn different_members_are_counted_within_three_in_a_hundred() {
    for Place { shapes, .. } in &Place::all().await {
        let visitors = shapes.unique(DAY);
        assert_eq!(visitors.count(&key(1)).await.unwrap(), 0);
        for nth in 0..200 {
            visitors.add(&key(1), &format!("visitor {nth}")).await.unwrap();
            visitors.add(&key(1), "visitor 0").await.unwrap();
        }
        let few = visitors.count(&key(1)).await.unwrap();
        assert!((198..=202).contains(&few), "{few}");
        for nth in 0..10_000 {
            visitors.add(&key(1), &format!("visitor {nth}")).await.unwrap();
        }
        let many = visitors.count(&key(1)).await.unwrap();
        assert!((9_700..=10_300).contains(&many), "{many}");
    }
}

#[tokio::test]
async fn shapes_of_different_kinds_may_have_the_same_key() {
    for Place { shapes, .. } in &Place::all().await {
        shapes.counter(DAY).add(&key(1), 7).await.unwrap();
        shapes.set(DAY).add(&key(1), "a").await.unwrap();
        shapes.bitmap(DAY).set(&key(1), 3, true).await.unwrap();
        shapes.unique(DAY).add(&key(1), "b").await.unwrap();
        assert_eq!(shapes.counter(DAY).get(&key(1)).await.unwrap(), Some(7));
        assert!(shapes.set(DAY).delete(&key(1)).await.unwrap());
        assert_eq!(shapes.bitmap(DAY).count(&key(1)).await.unwrap(), 1);
        assert_eq!(shapes.unique(DAY).count(&key(1)).await.unwrap(), 1);
    }
}

#[tokio::test]
async fn every_key_has_an_expiry_that_only_a_renewing_write_prolongs() {
    for Place { shapes, .. } in &Place::all().await {
        let class = |seconds| TtlClass::new("short", Duration::from_secs(seconds));
        let (first, later) = (shapes.counter(class(1_000)), shapes.counter(class(5_000)));
        assert_eq!(first.ttl(&key(1)).await.unwrap(), None);
        first.add(&key(1), 1).await.unwrap();
        later.add(&key(1), 1).await.unwrap();
        let left = later.ttl(&key(1)).await.unwrap().unwrap();
        assert!(left <= Duration::from_secs(1_000) && left > Duration::from_secs(900), "{left:?}");
        later.renewing().add(&key(1), 1).await.unwrap();
        let left = first.ttl(&key(1)).await.unwrap().unwrap();
        assert!(left > Duration::from_secs(4_900), "{left:?}");
        for left in [
            {
                shapes.set(DAY).add(&key(2), "a").await.unwrap();
                shapes.set(DAY).ttl(&key(2)).await
            },
            {
                shapes.bitmap(DAY).set(&key(2), 1, true).await.unwrap();
                shapes.bitmap(DAY).ttl(&key(2)).await
            },
            {
                shapes.unique(DAY).add(&key(2), "a").await.unwrap();
                shapes.unique(DAY).ttl(&key(2)).await
            },
        ] {
            assert!(left.unwrap().unwrap() > Duration::from_secs(23 * 60 * 60));
        }
    }
}

#[tokio::test]
async fn an_expired_key_in_memory_starts_empty() {
    let clock = ManualClock::new();
    let shapes = Shapes::in_memory_by(100, clock.clone());
    let (likes, tags) = (shapes.counter(DAY), shapes.set(DAY));
    likes.add(&key(1), 5).await.unwrap();
    tags.add(&key(1), "a").await.unwrap();
    clock.advance(Duration::from_secs(24 * 60 * 60));
    assert_eq!((likes.get(&key(1)).await.unwrap(), tags.count(&key(1)).await.unwrap()), (None, 0));
    assert_eq!((likes.add(&key(1), 1).await.unwrap(), tags.add(&key(1), "a").await.unwrap()), (1, true));
}

#[tokio::test]
async fn memory_holds_no_more_keys_than_its_capacity() {
    let shapes = Shapes::in_memory(100);
    let likes = shapes.counter(DAY);
    for index in 0..10_000 {
        likes.add(&key(index), 1).await.unwrap();
    }
    let mut held = 0;
    for index in 0..10_000 {
        held += usize::from(likes.get(&key(index)).await.unwrap().is_some());
    }
    assert!((1..=100).contains(&held), "{held}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_increment_beside_a_deletion_is_deleted_or_counted_from_zero() {
    let shapes = Shapes::in_memory(100);
    let likes = Arc::new(shapes.counter(DAY));
    for round in 0..2_000 {
        likes.add(&key(round), 1).await.unwrap();
        let deleted = tokio::spawn({
            let likes = Arc::clone(&likes);
            async move { likes.delete(&key(round)).await.unwrap() }
        });
        let added = likes.add(&key(round), 1).await.unwrap();
        assert!(deleted.await.unwrap());
        let left = likes.get(&key(round)).await.unwrap();
        // Either it came first, and both are gone, or the key began anew.
        assert_eq!(left, if added == 2 { None } else { Some(1) }, "round {round}");
    }
}

#[cfg(feature = "json")]
mod coded {
    use tidegate_cache::{CodecError, Json};
    use tidegate_redis::{Client, Command, Config, Role};

    use super::*;

    #[tokio::test]
    async fn a_hash_holds_single_fields_up_to_its_limit() {
        for Place { shapes, .. } in &Place::all().await {
            let carts = shapes.hash::<u32>(DAY, Json::new()).limit(2);
            assert_eq!(carts.get(&key(1), "a").await.unwrap(), None);
            assert!(carts.set(&key(1), "a", &1).await.unwrap() && !carts.set(&key(1), "a", &2).await.unwrap());
            assert!(carts.set(&key(1), "b:{}", &3).await.unwrap());
            assert!(matches!(carts.set(&key(1), "c", &4).await, Err(ShapeError::Full { limit: 2 })));
            assert!(!carts.set(&key(1), "b:{}", &5).await.unwrap());
            assert_eq!(carts.get(&key(1), "b:{}").await.unwrap(), Some(5));
            let all = carts.all(&key(1)).await.unwrap();
            assert_eq!((all.len(), all["a"], all["b:{}"], carts.count(&key(1)).await.unwrap()), (2, 2, 5, 2));
            assert!(carts.remove(&key(1), "a").await.unwrap() && !carts.remove(&key(1), "a").await.unwrap());
            assert!(carts.remove(&key(1), "b:{}").await.unwrap());
            assert_eq!((carts.ttl(&key(1)).await.unwrap(), carts.all(&key(1)).await.unwrap().len()), (None, 0));
        }
    }

    #[tokio::test]
    async fn a_field_of_another_build_is_an_error_and_no_wrong_value() {
        for Place { shapes, .. } in &Place::all().await {
            shapes.hash::<u32>(DAY, Json::new()).set(&key(1), "a", &1).await.unwrap();
            let newer = shapes.hash::<u32>(DAY, Json::version(1)).get(&key(1), "a").await;
            assert!(matches!(newer, Err(ShapeError::Codec(CodecError::Version { found: 0, expected: 1 }))));
        }
    }

    #[tokio::test]
    async fn every_key_is_named_on_the_page_and_expires() {
        let place = Place::redis().await;
        let shapes = &place.shapes;
        shapes.hash::<u32>(DAY, Json::new()).set(&key(1), "a", &1).await.unwrap();
        shapes.counter(DAY).add(&key(1), 1).await.unwrap();
        shapes.set(DAY).add(&key(1), "a").await.unwrap();
        shapes.bitmap(DAY).set(&key(1), 1, true).await.unwrap();
        shapes.unique(DAY).add(&key(1), "a").await.unwrap();
        let url = place.server.as_ref().unwrap().url();
        let client = Client::connect(&Config::parse(&url).unwrap(), Role::Cache).await.unwrap();
        let names = client.execute(Command::new("KEYS").arg("*")).await.unwrap().into_array().unwrap();
        let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/keyspace.md");
        let page = std::fs::read_to_string(page).unwrap();
        assert_eq!(names.len(), 5, "{names:?}");
        for name in names {
            let name = name.into_text().unwrap();
            let kind =
                name.strip_prefix("tg:").and_then(|rest| rest.strip_suffix(&format!(":{{{}}}", key(1)))).unwrap();
            assert!(page.contains(&format!("`tidegate:{kind}:{{<cache-key>}}`")), "{name}");
            let left = client.execute(Command::new("PTTL").key(name.as_str())).await.unwrap().as_int().unwrap();
            assert!(left > 0, "{name}");
        }
    }
}

/// Keys in many slots: each step is one script of one slot, wherever that is.
#[cfg(feature = "json")]
#[tokio::test]
async fn on_a_cluster_and_over_a_failover_of_one_primary() {
    use tidegate_redis::{Client, Config, Keyspace, Role};
    use tidegate_testkit::{poll_until, redis::Cluster};

    const KEYS: u32 = 30;
    const LONG: Duration = Duration::from_secs(60);
    let cluster = Cluster::start().await;
    let config = Config::parse(&cluster.url()).unwrap().command_timeout(Duration::from_secs(5));
    let shapes = Shapes::on_redis(Client::connect(&config, Role::Cache).await.unwrap(), &Keyspace::new("tg").unwrap());
    let spread = |index: u32| Key::builder("shape").part(index).build().unwrap();
    let (likes, members, bits, visitors) =
        (shapes.counter(DAY), shapes.set(DAY), shapes.bitmap(DAY), shapes.unique(DAY));
    for round in 1..=2_u32 {
        for index in 0..KEYS {
            let key = spread(index);
            // Repeated if the primary was being replaced. A repeated write still results in one
            // member, bit and visitor.
            let write = async || {
                members.add(&key, &round.to_string()).await.ok()?;
                bits.set(&key, round, true).await.ok()?;
                visitors.add(&key, &round.to_string()).await.ok()
            };
            poll_until(LONG, write).await.unwrap();
            likes.add(&key, 1).await.unwrap();
        }
        for index in 0..KEYS {
            let key = spread(index);
            let seen = (members.count(&key).await.unwrap(), bits.count(&key).await.unwrap());
            assert_eq!(seen, (round.into(), round.into()), "{index}");
            assert_eq!(visitors.count(&key).await.unwrap(), u64::from(round));
            assert_eq!(likes.get(&key).await.unwrap(), Some(i64::from(round)));
        }
        if round == 1 {
            cluster.failover(3).await;
        }
    }
}
