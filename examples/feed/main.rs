//! A feed: each post goes to the feeds of all followers, of which a celebrity has 100,000.
//!
//! - Posts and followers are rows in SQL. A feed is a sorted set in the cache with the newest 1,000
//!   (`KEPT`) posts, and a feed that the cache has lost is made again from SQL (`feeds.rs`).
//! - A post is written, its fan-out is enqueued, then it is answered. One job adds it to the feeds
//!   of 1,000 followers. If the process dies before it has enqueued the job, another one does so.
//!   Without `appendonly yes` and `appendfsync always`, a crash of Redis may lose jobs.
//! - A page goes on where the last one ended (`?before=`), whatever has arrived since: no post is
//!   repeated, and none that was there is left out.
//!
//! ```text
//! CELEBRITY=star FOLLOWERS=100000 cargo run --release --example feed     # in memory, one process
//! REDIS_URL=redis://127.0.0.1:6379 DATABASE_URL=postgres://postgres@127.0.0.1/postgres \
//!     cargo run --release --example feed                  # for many processes
//!
//! curl -i localhost:8080/users/star/posts -H 'Idempotency-Key: 1' --json '{"text":"Hello"}'
//! curl localhost:8080/users/star-fan-7/feed
//! curl -i -X PUT localhost:8080/users/ada
//! curl -i -X PUT localhost:8080/users/ada/following/star
//! curl 'localhost:8080/users/ada/feed?limit=20'           # and then &before=
//! curl -i -X DELETE localhost:8080/users/ada/feed         # as if the cache had lost it
//! curl localhost:8080/queue
//! ```
#![allow(clippy::print_stdout, reason = "a program that reports its address")]

mod feeds;

use std::sync::Arc;
use std::{env, error::Error, time::Duration};

use anyhow::{Context, ensure};
use axum::extract::rejection::{JsonRejection, QueryRejection, RawPathParamsRejection};
use axum::extract::{Path, Query, RawPathParams, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::AnyPool;
use sqlx::any::AnyPoolOptions;
use tidegate_cache::{Shapes, TtlClass};
use tidegate_queue::{
    Backoff, Broker, Job, MemoryBroker, QueueOptions, RedisBroker, RedisOptions, RetryPolicy, Worker,
};
use tidegate_redis::{BlockingPool, Client, Config, Keyspace, Role};
use tidegate_sync::{Lock, MemoryStore, PermitStore, RedisStore};
use tokio_util::sync::CancellationToken;

use feeds::{END, FanOut, Feeds, fan_out};

/// A feed expires this long after its last post. The next read rebuilds it.
const FEEDS: TtlClass = TtlClass::new("feeds", Duration::from_secs(7 * 24 * 3600));
/// Most feeds in the memory of one process.
const IN_MEMORY: usize = 1_000_000;
/// Most characters of a post.
const MAX_TEXT: usize = 280;
/// Most posts of a page.
const MAX_LIMIT: usize = 1_000;
const NO_KEY: &str = "Idempotency-Key is missing, or too long, or not ASCII: 1 to 100 visible characters";

/// `is_announced` is set when the fan-out of a post is enqueued.
const POSTS: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS posts (id INTEGER PRIMARY KEY, author TEXT NOT NULL, text TEXT NOT NULL,
         idempotency_key TEXT NOT NULL, is_announced BIGINT NOT NULL DEFAULT 0, UNIQUE (author, idempotency_key))",
    "CREATE TABLE IF NOT EXISTS posts (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, author TEXT NOT NULL,
         text TEXT NOT NULL, idempotency_key TEXT NOT NULL, is_announced BIGINT NOT NULL DEFAULT 0,
         UNIQUE (author, idempotency_key))",
];
const TABLES: [&str; 5] = [
    "CREATE TABLE IF NOT EXISTS users (id TEXT PRIMARY KEY)",
    "CREATE TABLE IF NOT EXISTS follows (author TEXT, follower TEXT, PRIMARY KEY (author, follower))",
    "CREATE INDEX IF NOT EXISTS authors_of_follower ON follows (follower, author)",
    "CREATE INDEX IF NOT EXISTS posts_of_author ON posts (author, id)",
    "CREATE INDEX IF NOT EXISTS unannounced_posts ON posts (id) WHERE is_announced = 0",
];
/// The celebrity `$1` with `$2` fans, unless there is one.
const CELEBRITY: [&str; 3] = [
    "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < CAST($2 AS BIGINT) - 1)
     INSERT INTO users SELECT CAST($1 AS TEXT) || '-fan-' || i FROM n
     WHERE NOT EXISTS (SELECT 1 FROM users WHERE id = $1) ON CONFLICT DO NOTHING",
    "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < CAST($2 AS BIGINT) - 1)
     INSERT INTO follows SELECT CAST($1 AS TEXT), CAST($1 AS TEXT) || '-fan-' || i FROM n
     WHERE NOT EXISTS (SELECT 1 FROM users WHERE id = $1) ON CONFLICT DO NOTHING",
    "INSERT INTO users SELECT CAST($1 AS TEXT) WHERE CAST($2 AS BIGINT) > 0 ON CONFLICT DO NOTHING",
];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (redis, database) = (env::var("REDIS_URL"), env::var("DATABASE_URL"));
    let alone = if redis.is_ok() { "REDIS_URL" } else { "DATABASE_URL" };
    ensure!(redis.is_ok() == database.is_ok(), "set both REDIS_URL and DATABASE_URL, or neither: {alone} is set alone");
    let (locks, shapes, broker): (Arc<dyn PermitStore>, _, Arc<dyn Broker>) = match redis {
        Ok(url) => {
            let (config, keyspace) = (Config::parse(&url)?, Keyspace::new("feed")?);
            let client = Client::connect(&config, Role::Durable).await?;
            let shapes = Shapes::on_redis(Client::connect(&config, Role::Cache).await?, &keyspace);
            let pool = BlockingPool::new(&config, Role::Durable, 1);
            let broker = RedisBroker::connect(client.clone(), pool, keyspace.clone(), RedisOptions::new());
            (Arc::new(RedisStore::new(client, keyspace)), shapes, Arc::new(broker))
        }
        Err(_) => (Arc::new(MemoryStore::new()), Shapes::in_memory(IN_MEMORY), Arc::new(MemoryBroker::new())),
    };
    let number = |name: &str, default| {
        let number = env::var(name).map_or(Ok(default), |text| text.parse::<u32>());
        number.with_context(|| format!("{name} must be a whole number"))
    };
    // Without a server the tables live in one connection, for as long as it does.
    let sql = open(database.as_deref().unwrap_or("sqlite::memory:"), locks, number("FOLLOWERS", 1_000)?).await?;
    let kept = number("KEPT", 1_000)?;
    ensure!(kept > 0, "KEPT must be above 0");
    let feeds = Feeds::new(sql, broker.clone(), shapes.sorted_set(FEEDS), kept);

    tokio::spawn(feeds.clone().announce_regularly());
    // A job runs until it has succeeded. Its lease expires 2 s after its process died.
    let retry = RetryPolicy::new(u32::MAX, Backoff::Fixed(Duration::from_secs(1)))?;
    let options = QueueOptions::new().retry(retry).max_lost_leases(u32::MAX).concurrency(4);
    let worker = Worker::builder(broker).queue(FanOut::QUEUE, options).data(feeds.clone()).handler(fan_out);
    tokio::spawn(worker.lease(Duration::from_secs(2)).build()?.run(CancellationToken::new()));

    let router = Router::new()
        .route("/users/{user}", put(sign_up))
        .route("/users/{user}/following/{author}", put(follow))
        .route("/users/{user}/posts", post(write))
        .route("/users/{user}/feed", get(page).delete(forget))
        .route("/queue", get(queue))
        .route_layer(middleware::from_fn(check_names))
        .with_state(feeds);
    let port = env::var("PORT").unwrap_or_else(|_| "8080".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, router).await?)
}

/// Opens the database, and makes the tables and the celebrity.
async fn open(url: &str, locks: Arc<dyn PermitStore>, followers: u32) -> anyhow::Result<AnyPool> {
    sqlx::any::install_default_drivers();
    let is_sqlite = url.starts_with("sqlite");
    let pool = AnyPoolOptions::new().max_connections(if is_sqlite { 1 } else { 16 }).test_before_acquire(!is_sqlite);
    let sql = pool.acquire_timeout(Duration::from_secs(5)).idle_timeout(None).max_lifetime(None).connect(url).await?;
    let celebrity = env::var("CELEBRITY").unwrap_or_else(|_| "star".to_owned());
    // One process at a time creates the tables: PostgreSQL fails if two create one table.
    let guard = Lock::new(locks, "tables").acquire(Duration::from_secs(60)).await.context("making the tables")?;
    sqlx::query(POSTS[usize::from(!is_sqlite)]).execute(&sql).await?;
    for statement in TABLES {
        sqlx::query(statement).execute(&sql).await?;
    }
    for statement in CELEBRITY {
        sqlx::query(statement).bind(&celebrity).bind(i64::from(followers)).execute(&sql).await?;
    }
    guard.release().await?;
    Ok(sql)
}

/// PostgreSQL has no NUL in a text, and no long text in an index.
async fn check_names(names: Result<RawPathParams, RawPathParamsRejection>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let reason = match names {
        Ok(_) if !path.contains("%00") && path.len() <= 1_000 => return next.run(request).await,
        Ok(_) => "a name has no character NUL, and a path at most 1000 bytes".into(),
        Err(error) => error.body_text(),
    };
    Refused(StatusCode::BAD_REQUEST, reason).into_response()
}

async fn sign_up(State(feeds): State<Feeds>, Path(user): Path<String>) -> Answer {
    sqlx::query("INSERT INTO users VALUES ($1) ON CONFLICT DO NOTHING").bind(&user).execute(&feeds.sql).await?;
    Ok((StatusCode::CREATED, Json(json!({ "user": user }))))
}

async fn follow(State(feeds): State<Feeds>, Path((user, author)): Path<(String, String)>) -> Answer {
    if user == author {
        return Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, format!("`{user}` can't follow itself")));
    }
    feeds.follow(&user, &author).await?;
    Ok((StatusCode::CREATED, Json(json!({ "user": user, "follows": author }))))
}

#[derive(Deserialize)]
struct Draft {
    text: String,
}

async fn write(State(feeds): State<Feeds>, Path(author): Path<String>, headers: HeaderMap, body: Body) -> Answer {
    let is_key = |it: &&str| (1..=100).contains(&it.len()) && it.bytes().all(|byte| byte.is_ascii_graphic());
    let key = headers.get("Idempotency-Key").and_then(|it| it.to_str().ok()).filter(is_key);
    let key = key.ok_or_else(|| Refused(StatusCode::BAD_REQUEST, NO_KEY.into()))?;
    let Json(Draft { text }) = body.map_err(|error| Refused(error.status(), error.body_text()))?;
    if text.trim().is_empty() || text.contains('\0') || text.chars().count() > MAX_TEXT {
        let reason = format!("a text has from 1 to {MAX_TEXT} characters, and is not blank");
        return Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, reason));
    }
    Ok((StatusCode::CREATED, Json(json!({ "post": feeds.post(&author, key, &text).await? }))))
}

#[derive(Deserialize)]
struct Cursor {
    before: Option<i64>,
    limit: Option<usize>,
}

async fn page(State(feeds): State<Feeds>, Path(user): Path<String>, query: Cursors) -> Answer {
    let Query(Cursor { before, limit }) = query.map_err(|error| Refused(StatusCode::BAD_REQUEST, error.body_text()))?;
    let (before, limit) = (before.unwrap_or(END), limit.unwrap_or(50));
    if !(1..=END).contains(&before) || !(1..=MAX_LIMIT).contains(&limit) {
        let reason = format!("before is from 1 to {END}, limit from 1 to {MAX_LIMIT}");
        return Err(Refused(StatusCode::BAD_REQUEST, reason));
    }
    let posts = feeds.page(&user, before, limit).await?;
    let next = posts.last().filter(|_| posts.len() == limit).map(|last| last.id);
    Ok((StatusCode::OK, Json(json!({ "posts": posts, "next": next }))))
}

async fn forget(State(feeds): State<Feeds>, Path(user): Path<String>) -> Answer {
    feeds.check_user(&user).await?;
    feeds.forget(&user).await?;
    Ok((StatusCode::OK, Json(json!({ "forgotten": user }))))
}

/// How much is still to do until every feed has every post.
async fn queue(State(feeds): State<Feeds>) -> Answer {
    let unannounced = sqlx::query_scalar("SELECT COUNT(*) FROM posts WHERE is_announced = 0");
    let unannounced: i64 = unannounced.fetch_one(&feeds.sql).await?;
    let jobs = feeds.broker.counts(FanOut::QUEUE).await?;
    let left = jobs.ready + jobs.delayed + jobs.leased;
    Ok((StatusCode::OK, Json(json!({ "unannounced": unannounced, "jobs": left, "dead": jobs.dead }))))
}

type Body = Result<Json<Draft>, JsonRejection>;
type Cursors = Result<Query<Cursor>, QueryRejection>;
type Answer = Result<(StatusCode, Json<Value>), Refused>;

/// An answer of 4xx or 503, with the reason.
struct Refused(StatusCode, String);

/// A server is away, or took too long: the same request may succeed later.
impl<E: Error> From<E> for Refused {
    fn from(error: E) -> Self {
        Refused(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}
