//! A process dies while it takes posts, and no client repeats its request; and a feed is lost while
//! it is read and written.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test ends where it is surprised")]

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use reqwest::Method;
use serde_json::{Value, json};
use tidegate_load::Api;
use tidegate_testkit::redis::RedisServer;
use tidegate_testkit::{PostgresServer, Process, binary, poll_until, scale};

const LONG: Duration = Duration::from_secs(30);
const POSTS: usize = 200;
/// Posts that are acknowledged when the process is killed.
const SOME: usize = 20;

struct Feeds(Api);

impl Feeds {
    async fn of(process: &mut Process) -> Self {
        Self(Api::of(process).await.unwrap())
    }

    /// `None` without an answer.
    async fn send(&self, method: Method, path: &str, key: &str, body: Value) -> Option<(u16, Value)> {
        let answer = self.0.send(method, path, Some(key), Some(&body)).await.ok()?;
        Some((answer.status.as_u16(), answer.body))
    }

    async fn expect(&self, method: Method, path: &str, status: u16) -> Value {
        let answer = self.send(method, path, "", Value::Null).await.unwrap();
        assert_eq!(answer.0, status, "{path}: {}", answer.1);
        answer.1
    }

    async fn write(&self, key: &str) -> Option<i64> {
        let (status, body) = self.send(Method::POST, "/users/ada/posts", key, json!({ "text": key })).await?;
        (status == 201).then(|| body["post"].as_i64().unwrap())
    }

    /// Ids of the newest posts in a feed.
    async fn feed(&self, user: &str) -> Vec<i64> {
        let path = format!("/users/{user}/feed?limit=1000");
        let (mut status, mut page) = (503, Value::Null);
        // The feed was lost too often while it was read.
        while status == 503 {
            (status, page) = self.send(Method::GET, &path, "", Value::Null).await.unwrap();
        }
        assert_eq!(status, 200, "{page}");
        page["posts"].as_array().unwrap().iter().map(|post| post["id"].as_i64().unwrap()).collect()
    }

    async fn settled(&self) {
        let nothing = json!({ "unannounced": 0, "jobs": 0, "dead": 0 });
        let is_settled = async || (self.expect(Method::GET, "/queue", 200).await == nothing).then_some(());
        poll_until(LONG, is_settled).await.unwrap();
    }
}

#[tokio::test]
async fn a_post_of_a_killed_process_reaches_the_feeds_or_was_never_written() {
    let (redis, postgres) = (RedisServer::start().await, PostgresServer::start_tcp(&[]).await);
    let process = Process::builder(binary("examples/feed")).env("PORT", "0").env("FOLLOWERS", "0");
    let process = process.env("REDIS_URL", redis.url()).env("DATABASE_URL", postgres.url());
    let mut process = process.start().unwrap();
    let mut feeds = Feeds::of(&mut process).await;
    for path in ["/users/ada", "/users/bob", "/users/bob/following/ada"] {
        feeds.expect(Method::PUT, path, 201).await;
    }
    for round in 0..scale(3, 20) {
        // The feed is whole, so that from here on only jobs add to it.
        let before = feeds.feed("bob").await.len();
        let keys: Vec<_> = (0..POSTS).map(|nth| format!("{round}-{nth}")).collect();
        let mut posts: FuturesUnordered<_> = keys.iter().map(|key| feeds.write(key)).collect();
        let mut acknowledged = Vec::new();
        while let Some(post) = posts.next().await {
            acknowledged.extend(post);
            if acknowledged.len() == SOME {
                process.kill9().unwrap();
                break;
            }
        }
        drop(posts);
        process.restart().unwrap();
        feeds = Feeds::of(&mut process).await;
        println!("left behind: {}", feeds.expect(Method::GET, "/queue", 200).await);
        feeds.settled().await;
        let fanned_out = feeds.feed("bob").await;
        println!("{SOME} posts were acknowledged, {} more are in the feed", fanned_out.len() - before);
        assert!(acknowledged.iter().all(|post| fanned_out.contains(post)), "{acknowledged:?} and {fanned_out:?}");
        // The posts of SQL are those that were fanned out.
        feeds.expect(Method::DELETE, "/users/bob/feed", 200).await;
        assert_eq!(feeds.feed("bob").await, fanned_out);
    }
}

#[tokio::test]
async fn a_feed_that_is_lost_while_posts_arrive_has_them_all() {
    let mut process = Process::builder(binary("examples/feed")).env("PORT", "0").env("KEPT", "20").start().unwrap();
    let feeds = Feeds::of(&mut process).await;
    for path in ["/users/ada", "/users/bob", "/users/bob/following/ada"] {
        feeds.expect(Method::PUT, path, 201).await;
    }
    let lose = async || {
        for _ in 0..scale(25, 500) {
            feeds.expect(Method::DELETE, "/users/bob/feed", 200).await;
        }
    };
    let read = async || {
        for _ in 0..scale(25, 500) {
            assert!(feeds.feed("bob").await.is_sorted_by(|newer, older| newer > older));
        }
    };
    let write = async || {
        let mut posts = Vec::new();
        for nth in 0..scale(25, 500) {
            posts.push(feeds.write(&nth.to_string()).await.unwrap());
            // Also if the job has not run yet.
            feeds.expect(Method::DELETE, "/users/bob/feed", 200).await;
            assert_eq!(feeds.feed("bob").await.first(), posts.last());
        }
        posts
    };
    let ((), (), (), mut posts) = tokio::join!(lose(), read(), read(), write());
    feeds.settled().await;
    posts.reverse();
    assert_eq!(feeds.feed("bob").await, posts[..20]);
}
