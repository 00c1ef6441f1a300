//! A leaderboard: pages of 100, the rank of a player, and the neighbours on either side.
//!
//! - SQL has the points, durably: one row a player. The board is a sorted set in Redis, made of
//!   these rows. An award is committed, then put on the board, then answered.
//! - Equal points are ordered by who had them first. Each award has a number, in the order of the
//!   commits, and a score on the board has the points in its upper bits and the number below.
//! - So a score only rises, and `add_if_better` may put it on the board twice, late, or in any
//!   order: what a dead process has committed, another one puts there within a second.
//! - Marks above the first player say which rebuild has made the board whole, and up to which
//!   award. A lost board is rebuilt from SQL. Until it is whole, and if it is lost during a read,
//!   the answer is 503 and never a part of the board.
//!
//! ```text
//! cargo run --release --example leaderboard           # everything in memory, for one process
//! REDIS_URL=redis://127.0.0.1:6379 DATABASE_URL=postgres://postgres@127.0.0.1/postgres \
//!     cargo run --release --example leaderboard       # for many processes
//!
//! curl -i localhost:8080/players/ada/awards -H 'Idempotency-Key: 1' --json '{"points":30}'
//! curl localhost:8080/players/ada            # points, rank, and five players on either side
//! curl localhost:8080/board                  # and ?after=... with `next` of the last page
//! ```
#![allow(clippy::print_stdout, reason = "a program that reports its address")]

mod game;

use std::collections::HashMap;
use std::env;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::any::AnyPoolOptions;
use tidegate_cache::{Direction, ScoreCursor, ShapeError, Shapes};
use tidegate_redis::{Client, Config, Keyspace, Role};
use tidegate_sync::{Lock, MemoryStore, PermitStore, RedisStore};

use crate::game::{FIRST_MARK, Game, MARKS, MAX_POINTS, points_of};

const PAGE: usize = 100;
const EACH_SIDE: u32 = 5;
const NO_KEY: &str = "Idempotency-Key is missing, or too long, or not ASCII: 1 to 100 visible characters";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (redis, database) = (env::var("REDIS_URL"), env::var("DATABASE_URL"));
    let alone = if redis.is_ok() { "REDIS_URL" } else { "DATABASE_URL" };
    ensure!(redis.is_ok() == database.is_ok(), "set both REDIS_URL and DATABASE_URL, or neither: {alone} is set alone");
    let (shapes, locks): (_, Arc<dyn PermitStore>) = match redis {
        Ok(url) => {
            let client = Client::connect(&Config::parse(&url)?, Role::Durable).await?;
            let keyspace = Keyspace::new("leaderboard")?;
            (Shapes::on_redis(client.clone(), &keyspace), Arc::new(RedisStore::new(client, keyspace)))
        }
        Err(_) => (Shapes::in_memory(1), Arc::new(MemoryStore::new())),
    };
    sqlx::any::install_default_drivers();
    // Without a server the tables live in one connection. A look at it that breaks off closes it.
    let url = database.unwrap_or_else(|_| "sqlite::memory:".to_owned());
    let (most, looks) = if url.starts_with("sqlite") { (1, false) } else { (16, true) };
    let pool = AnyPoolOptions::new().max_connections(most).test_before_acquire(looks);
    let sql = pool.acquire_timeout(Duration::from_secs(5)).idle_timeout(None).max_lifetime(None).connect(&url).await?;
    // One process at a time creates the tables: PostgreSQL fails if two create one table.
    let guard = Lock::new(locks, "tables").acquire(Duration::from_secs(20)).await?;
    let game = Game::new(sql, &shapes).await?;
    guard.release().await?;
    // While a server is away this fails; the loop tries again each second.
    let _ = game.complete().await;
    tokio::spawn(game.clone().complete_regularly());
    let router = Router::new()
        .route("/players/{player}/awards", post(award))
        .route("/players/{player}", get(player))
        .route("/board", get(page))
        .with_state(game);
    let port = env::var("PORT").unwrap_or_else(|_| "8080".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, router).await?)
}

#[derive(Deserialize)]
struct Award {
    points: i64,
}

async fn award(
    State(game): State<Game>,
    player: Name,
    headers: HeaderMap,
    body: Result<Json<Award>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Refused> {
    let is_key = |it: &&str| (1..=100).contains(&it.len()) && it.bytes().all(|byte| byte.is_ascii_graphic());
    let key = headers.get("Idempotency-Key").and_then(|it| it.to_str().ok()).filter(is_key);
    let key = key.ok_or_else(|| Refused(StatusCode::BAD_REQUEST, NO_KEY.into()))?;
    let Path(player) = player.map_err(|error| Refused(error.status(), error.body_text()))?;
    let Json(Award { points }) = body.map_err(|error| Refused(error.status(), error.body_text()))?;
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    if !(1..=40).contains(&player.len()) || !player.chars().all(is_name) {
        let reason = format!("`{player}` is no name: 1 to 40 letters, digits and hyphens");
        return Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, reason));
    }
    if !(1..=MAX_POINTS).contains(&points) {
        let reason = format!("points is {points}, and must be from 1 to {MAX_POINTS}");
        return Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, reason));
    }
    // It goes on if the player leaves.
    let (committing, awarded, key) = (game.clone(), player.clone(), key.to_owned());
    let committed = tokio::spawn(async move { committing.commit(&awarded, &key, points).await });
    let (total, number) = committed.await??;
    // Until this has succeeded the award is not acknowledged: the client repeats it.
    game.show(&player, total, number).await?;
    Ok((StatusCode::CREATED, Json(json!({ "player": player, "points": total, "number": number }))))
}

async fn player(State(game): State<Game>, player: Name) -> Answer {
    let Path(player) = player.map_err(|error| Refused(error.status(), error.body_text()))?;
    let found = game.read(game.board.neighbours(&game.key, &player, EACH_SIDE)).await?;
    let ranked = found.into_iter().filter(|(_, member)| member.score < FIRST_MARK).map(|(rank, it)| {
        // The marks have the first ranks, counted from 0; ranks of players are counted from 1.
        let rank = rank + 1 - u64::from(MARKS);
        json!({ "rank": rank, "player": it.member, "points": points_of(it.score) })
    });
    let ranked: Vec<Value> = ranked.collect();
    let own = ranked.iter().find(|it| it["player"] == player.as_str());
    let mut answer =
        own.ok_or_else(|| Refused(StatusCode::NOT_FOUND, format!("there is no player `{player}`")))?.clone();
    answer["neighbours"] = Value::from(ranked);
    Ok(Json(answer))
}

async fn page(State(game): State<Game>, query: Query<HashMap<String, String>>) -> Answer {
    let after = query.get("after").map(|cursor| cursor.parse::<ScoreCursor>()).transpose()?;
    // Behind a cursor, no player is left out or shown twice, whatever has changed meanwhile.
    let found = game.read(game.board.page(&game.key, Direction::Forward, ..FIRST_MARK, after, PAGE)).await?;
    let next = found.last().filter(|_| found.len() == PAGE).map(|last| last.cursor.to_string());
    let players = found.iter().map(|it| json!({ "player": it.member, "points": points_of(it.score) }));
    Ok(Json(json!({ "players": players.collect::<Vec<_>>(), "next": next })))
}

type Name = Result<Path<String>, PathRejection>;
type Answer = Result<Json<Value>, Refused>;

/// An answer of 4xx or 503, with the reason.
struct Refused(StatusCode, String);

/// A malformed cursor is 400. Any other error is a server that is away: the same request may
/// succeed later.
impl<E: Error + 'static> From<E> for Refused {
    fn from(error: E) -> Self {
        let is_cursor = matches!((&error as &(dyn Error + 'static)).downcast_ref(), Some(ShapeError::Cursor));
        let status = if is_cursor { StatusCode::BAD_REQUEST } else { StatusCode::SERVICE_UNAVAILABLE };
        Self(status, error.to_string())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}
