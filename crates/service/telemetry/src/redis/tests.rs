//! Tests of the watch on Redis.

use tidegate_redis::{Config, Keyspace};
use tidegate_settings::{RedisServers, RedisSettings};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::RedisServer as Server;

use super::*;

const LONG: Duration = Duration::from_secs(60);

async fn watch(server: &Server, rewrites_append_only_file: bool) -> Arc<RedisWatch> {
    let config = Config::parse(&server.url()).unwrap().command_timeout(LONG);
    let servers = RedisServers { queue: config.clone(), limits: config, cache: None };
    let keyspace = Keyspace::new("test").unwrap();
    let settings = RedisSettings { servers, keyspace, replica_lag: None, rewrites_append_only_file };
    RedisWatch::new(Redis::connect(&settings).await.unwrap())
}

async fn rewrites(server: &Server) -> Option<String> {
    let stats = server.cli(&["INFO", "commandstats"]).await;
    let line = stats.lines().find(|line| line.starts_with("cmdstat_bgrewriteaof:"))?;
    line.split(['=', ',']).nth(1).map(str::to_owned)
}

#[tokio::test]
async fn each_run_of_a_server_is_checked_once_for_a_torn_file() {
    let mut server = Server::start().await;
    let first = watch(&server, true).await;
    if first.redis.queue().info().await.iter().all(|server| server.keeps_torn_scripts.is_none()) {
        return;
    }
    for _ in 0..2 {
        first.rewrites.request(&first.redis).await;
        assert_eq!(rewrites(&server).await.as_deref(), Some("1"));
    }
    // Another process.
    let another = watch(&server, true).await;
    another.rewrites.request(&another.redis).await;
    assert_eq!(rewrites(&server).await.as_deref(), Some("1"));
    let unwilling = watch(&server, false).await;
    server.kill9();
    server.restart().await;
    let is_back = async |watch: &RedisWatch| {
        let client = watch.redis.queue();
        poll_until(LONG, async || client.info().await.pop()).await.unwrap();
    };
    is_back(&unwilling).await;
    unwilling.rewrites.request(&unwilling.redis).await;
    assert_eq!(rewrites(&server).await, None, "the setting is off");
    is_back(&first).await;
    first.rewrites.request(&first.redis).await;
    assert_eq!(rewrites(&server).await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_server_that_refuses_the_mark_is_queried_at_a_later_reading() {
    let server = Server::start().await;
    let watch = watch(&server, true).await;
    if watch.redis.queue().info().await.iter().all(|server| server.keeps_torn_scripts.is_none()) {
        return;
    }
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]).await;
    watch.rewrites.request(&watch.redis).await;
    assert_eq!(rewrites(&server).await, None, "the server is full");
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]).await;
    watch.rewrites.request(&watch.redis).await;
    assert_eq!(rewrites(&server).await.as_deref(), Some("1"));
    let info = watch.redis.queue().info().await.remove(0);
    let key = watch.redis.keyspace().group("rewritten", &[&info.address]);
    assert_eq!(Some(server.cli(&["GET", key.as_str()]).await), info.run_id);
    assert_eq!(server.cli(&["PTTL", key.as_str()]).await, "-1");
}

#[tokio::test]
async fn a_server_at_its_memory_limit_is_full_until_it_has_room() {
    let server = Server::start().await;
    let watch = watch(&server, false).await;
    for (limit, policy, is_full) in [
        ("0", "noeviction", false),
        ("1", "noeviction", true),
        ("1", "allkeys-lru", false),
        ("1gb", "noeviction", false),
    ] {
        server.cli(&["CONFIG", "SET", "maxmemory-policy", policy, "maxmemory", limit]).await;
        assert_eq!(watch.is_queue_full().await, is_full, "{limit} {policy}");
    }
}

#[test]
fn a_figure_that_moves_is_the_same_warning() {
    let at = |used: u64| warnings_of(&[NodeInfo::parse("here:1", &format!("used_memory:{used}\nmaxmemory:100"))]);
    assert!(at(90).is_empty());
    assert_eq!(at(91), at(99));
    assert_eq!(at(95).into_iter().collect::<Vec<_>>(), ["here:1: more than 90 % of its memory limit is in use"]);
}
