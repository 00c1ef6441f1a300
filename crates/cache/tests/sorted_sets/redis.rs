//! Features that only Redis has: keys and their expiry, a full server, processes and clusters.

use std::collections::HashSet;
use std::time::Duration;

use tidegate_cache::{Direction, Key, ShapeError, Shapes};
use tidegate_redis::{Client, Config, Keyspace, Role};
use tidegate_testkit::redis::{Cluster, RedisServer};

use crate::ground::{DAY, Place, all, key, names, on_redis};

#[tokio::test]
async fn every_key_is_named_on_the_page_and_expires() {
    let place = Place::redis().await;
    place.sets().add(&key(1), "a", 1).await.unwrap();
    place.sets().lowest_first().add(&key(1), "a", 1).await.unwrap();
    let server = place.server.as_ref().unwrap();
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/keyspace.md");
    let page = std::fs::read_to_string(page).unwrap();
    let found = server.cli(&["KEYS", "*"]).await;
    assert_eq!(found.lines().count(), 4, "{found}");
    for name in found.lines() {
        let kind = name.strip_prefix("tg:").and_then(|rest| rest.strip_suffix(&format!(":{{{}}}", key(1)))).unwrap();
        assert!(page.contains(&format!("`tidegate:{kind}:{{<cache-key>}}`")), "{name}");
        assert!(server.cli(&["PTTL", name]).await.parse::<i64>().unwrap() > 0, "{name}");
    }
    place.sets().delete(&key(1)).await.unwrap();
    place.sets().lowest_first().remove(&key(1), "a").await.unwrap();
    assert_eq!(server.cli(&["DBSIZE"]).await, "0");
}

#[tokio::test]
async fn an_account_without_permission_for_restore_can_write() {
    let server = RedisServer::builder().set("rename-command", "RESTORE \"\"").start().await;
    let sets = on_redis(&server.url()).await.sorted_set(DAY);
    sets.add_many(&key(1), &[("a", 1), ("b", 2)]).await.unwrap();
    assert_eq!(all(&sets, &key(1)).await, [("b".to_owned(), 2), ("a".to_owned(), 1)]);
    for name in server.cli(&["KEYS", "*"]).await.lines() {
        assert!(server.cli(&["PTTL", name]).await.parse::<i64>().unwrap() > 0, "{name}");
    }
}

#[tokio::test]
async fn a_set_with_one_evicted_key_starts_empty() {
    let place = Place::redis().await;
    let server = place.server.as_ref().unwrap();
    for area in ["csz", "cszx"] {
        let (sets, lost) = (place.sets(), format!("tg:{area}:{{{}}}", key(1)));
        for is_read_first in [true, false] {
            sets.add_many(&key(1), &[("a", 1), ("b", 2)]).await.unwrap();
            server.cli(&["DEL", &lost]).await;
            if is_read_first {
                assert_eq!((sets.count(&key(1)).await.unwrap(), sets.score(&key(1), "a").await.unwrap()), (0, None));
            }
            assert!(sets.add(&key(1), "b", 3).await.unwrap());
            assert_eq!(all(&sets, &key(1)).await, [("b".to_owned(), 3)]);
            assert!(sets.ttl(&key(1)).await.unwrap().is_some());
            sets.delete(&key(1)).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_full_server_adds_nothing_and_lets_members_be_read_and_removed() {
    let place = Place::redis().await;
    let (sets, server) = (place.sets(), place.server.as_ref().unwrap());
    sets.add_many(&key(1), &[("a", 1), ("b", 2)]).await.unwrap();
    server.cli(&["CONFIG", "SET", "maxmemory", "1mb"]).await;
    let before = server.append_only_file().effects().len();
    let is_full = |error: ShapeError| matches!(&error, ShapeError::Redis(error) if error.is_full());
    assert!(is_full(sets.add(&key(1), "c", 3).await.unwrap_err()));
    assert!(is_full(sets.add_if_better(&key(1), "a", 3).await.unwrap_err()));
    assert!(is_full(sets.increment(&key(2), "a", 3).await.unwrap_err()));
    for refused in sets.add_to_many(&[key(1), key(2)], "c", 3).await.unwrap() {
        assert!(is_full(refused.unwrap_err()));
    }
    assert_eq!(server.effects_since(before), []);
    assert_eq!(names(&sets.range(&key(1), Direction::Forward, 0, 9).await.unwrap()), ["b", "a"]);
    assert!(sets.remove(&key(1), "b").await.unwrap());
    assert!(sets.remove_from_many(&[key(1)], "a").await.remove(0).unwrap());
    assert_eq!(server.cli(&["DBSIZE"]).await, "0");
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]).await;
    assert!(sets.add(&key(1), "c", 3).await.unwrap());
}

#[tokio::test]
async fn a_post_to_many_feeds_is_one_script_for_64_of_them() {
    let place = Place::redis().await;
    let (feeds, server) = (place.sets(), place.server.as_ref().unwrap());
    // The server learns the script.
    feeds.add(&key(0), "post 0", 0).await.unwrap();
    let calls = async || {
        let stats = server.cli(&["INFO", "commandstats"]).await;
        let line = stats.lines().find(|line| line.starts_with("cmdstat_evalsha:")).unwrap().to_owned();
        line.split(['=', ',']).nth(1).unwrap().parse::<u32>().unwrap()
    };
    let before = calls().await;
    let followers: Vec<Key> = (0..640).map(key).collect();
    let added = feeds.add_to_many(&followers, "post 1", 1).await.unwrap();
    assert!(added.into_iter().all(|added| added.unwrap()));
    assert_eq!(calls().await - before, 10);
}

#[tokio::test]
async fn two_processes_see_one_set() {
    let place = Place::redis().await;
    let (one, two) = (place.sets(), on_redis(&place.server.as_ref().unwrap().url()).await.sorted_set(DAY));
    one.add(&key(1), "a", 1).await.unwrap();
    two.add(&key(1), "b", 1).await.unwrap();
    one.increment(&key(1), "b", 1).await.unwrap();
    assert_eq!(all(&one, &key(1)).await, all(&two, &key(1)).await);
    assert_eq!(two.rank(&key(1), "a").await.unwrap(), Some(1));
}

#[tokio::test]
async fn in_a_cluster_each_feed_has_its_own_answer_while_one_primary_hangs() {
    let mut cluster = Cluster::start().await;
    let config = Config::parse(&cluster.url()).unwrap().command_timeout(Duration::from_secs(2));
    let client = Client::connect(&config, Role::Cache).await.unwrap();
    let feeds = Shapes::on_redis(client, &Keyspace::new("tg").unwrap()).sorted_set(DAY).limit(2);
    let spread: Vec<Key> = (0..300).map(|nth: u32| Key::builder("feed").part(nth).build().unwrap()).collect();
    for post in 0..3_i64 {
        for added in feeds.add_to_many(&spread, &post.to_string(), post).await.unwrap() {
            assert!(added.unwrap());
        }
    }
    for feed in &spread {
        assert_eq!(names(&feeds.range(feed, Direction::Forward, 0, 9).await.unwrap()), ["2", "1"]);
    }
    let slot = |feed: &Key| Client::slot_of(&format!("{{{feed}}}"));
    let hung = cluster.primary_of(slot(&spread[0])).await;
    let mut its_own = HashSet::new();
    for feed in &spread {
        if cluster.primary_of(slot(feed)).await == hung {
            its_own.insert(feed.clone());
        }
    }
    assert!((1..300).contains(&its_own.len()));
    cluster.nodes()[hung].hang().await;
    let added = feeds.add_to_many(&spread, "3", 3).await.unwrap();
    cluster.nodes()[hung].resume();
    for (feed, added) in spread.iter().zip(added) {
        match added {
            Ok(is_new) => assert!(is_new && !its_own.contains(feed)),
            Err(error) => assert!(matches!(error, ShapeError::Redis(_)) && its_own.contains(feed), "{error}"),
        }
    }
}
