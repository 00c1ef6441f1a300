//! Points in SQL, and the board that is made of them.

use std::time::Duration;

use axum::http::StatusCode;
use sqlx::AnyPool;
use tidegate_cache::{Key, ShapeError, Shapes, SortedSetShape, TtlClass};

use crate::Refused;

/// How long the board is kept after the last award. Then it is made anew.
const BOARDS: TtlClass = TtlClass::new("boards", Duration::from_secs(365 * 24 * 3600));
const MAX_PLAYERS: usize = 1_000_000;

/// Players that are read from SQL at a time.
const AT_ONCE: i64 = 1_000;

/// Bits of a score for the number of the award. The points have 19 of the other 20: of 53 in all.
const NUMBER_BITS: u32 = 33;
const MAX_NUMBER: i64 = (1 << NUMBER_BITS) - 1;
pub(crate) const MAX_POINTS: i64 = (1 << 19) - 1;
/// Scores of players are below, the score of the mark is from here on.
pub(crate) const FIRST_MARK: i64 = 1 << 52;
/// No name of a player. Its score is the number up to which all awards are on the board, plus one.
/// It stands above all players, so a full board drops one of them and not the mark.
const MARK: &str = "*";

const TABLES: [&str; 4] = [
    "CREATE TABLE IF NOT EXISTS players (player TEXT PRIMARY KEY, points BIGINT NOT NULL,
         number BIGINT NOT NULL UNIQUE)",
    "CREATE TABLE IF NOT EXISTS awards (id TEXT PRIMARY KEY, points BIGINT NOT NULL, total BIGINT NOT NULL,
         number BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS last_award (id BIGINT PRIMARY KEY, number BIGINT NOT NULL)",
    // With ON CONFLICT it would wait for each award that is being committed.
    "INSERT INTO last_award SELECT 1, 0 WHERE NOT EXISTS (SELECT 1 FROM last_award)",
];

#[derive(Clone)]
pub(crate) struct Game {
    sql: AnyPool,
    pub(crate) board: SortedSetShape,
    pub(crate) key: Key,
}

/// The points of a score on the board.
pub(crate) fn points_of(score: i64) -> i64 {
    score >> NUMBER_BITS
}

impl Game {
    pub(crate) async fn new(sql: AnyPool, shapes: &Shapes) -> anyhow::Result<Self> {
        for statement in TABLES {
            sqlx::query(statement).execute(&sql).await?;
        }
        let board = shapes.sorted_set(BOARDS).limit(MAX_PLAYERS + 1).renewing();
        Ok(Self { sql, board, key: Key::builder("board").part("all").build()? })
    }

    /// Adds the points in SQL, once for each key. Returns the player's points, and the number of
    /// the award with which they were reached.
    pub(crate) async fn commit(&self, player: &str, key: &str, points: i64) -> Result<(i64, i64), Refused> {
        // A name has no line break, so no two pairs make the same id.
        let id = format!("{player}\n{key}");
        let known = sqlx::query_as("SELECT points, total, number FROM awards WHERE id = $1");
        let known: Option<(i64, i64, i64)> = known.bind(&id).fetch_optional(&self.sql).await?;
        match known {
            Some((of, total, number)) if of == points => return Ok((total, number)),
            Some(_) => {
                return Err(Refused(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "the Idempotency-Key was used for another award".into(),
                ));
            }
            None => {}
        }
        let mut sql = self.sql.begin().await?;
        // Held until the commit: numbers have the order of commits, and show in that order.
        let number = sqlx::query_scalar("UPDATE last_award SET number = number + 1 RETURNING number");
        let number: i64 = number.fetch_one(&mut *sql).await?;
        let total = "INSERT INTO players VALUES ($1, $2, $3) ON CONFLICT (player)
                DO UPDATE SET points = players.points + excluded.points, number = excluded.number RETURNING points";
        let total = sqlx::query_scalar(total).bind(player).bind(points).bind(number);
        let total: i64 = total.fetch_one(&mut *sql).await?;
        if total > MAX_POINTS || number > MAX_NUMBER {
            let reason = format!("`{player}` would have {total} points, and can have {MAX_POINTS}");
            return Err(Refused(StatusCode::CONFLICT, reason));
        }
        // Fails if another process has had the same request meanwhile. Then nothing changes here.
        let note = sqlx::query("INSERT INTO awards VALUES ($1, $2, $3, $4)");
        note.bind(&id).bind(points).bind(total).bind(number).execute(&mut *sql).await?;
        sql.commit().await?;
        Ok((total, number))
    }

    /// Puts a player on the board, unless more points of the player are there.
    pub(crate) async fn show(&self, player: &str, points: i64, number: i64) -> Result<(), ShapeError> {
        let score = (points << NUMBER_BITS) + (MAX_NUMBER - number);
        self.board.add_if_better(&self.key, player, score).await.map(drop)
    }

    /// The number up to which all awards are on the board: below zero while it is being made, and
    /// `None` if it was lost.
    async fn mark(&self) -> Result<Option<i64>, ShapeError> {
        let mark = self.board.score(&self.key, MARK).await?;
        Ok(mark.map(|mark| mark - FIRST_MARK - 1))
    }

    pub(crate) async fn ensure_complete(&self) -> Result<(), Refused> {
        let is_complete = self.mark().await?.is_some_and(|number| number >= 0);
        if is_complete {
            Ok(())
        } else {
            Err(Refused(StatusCode::SERVICE_UNAVAILABLE, "the board is being made".into()))
        }
    }

    /// Puts on the board what is not there yet. Each process does so, and may do so at any time.
    pub(crate) async fn complete(&self) -> Result<(), Refused> {
        let set_mark = async |number| self.board.add_if_better(&self.key, MARK, FIRST_MARK + number + 1).await;
        let mut number = self.mark().await?.unwrap_or(-1);
        if number < 0 {
            set_mark(number).await?;
        }
        let select = "SELECT player, points, number FROM players WHERE number > $1 ORDER BY number LIMIT $2";
        loop {
            let select = sqlx::query_as(select).bind(number).bind(AT_ONCE).fetch_all(&self.sql);
            let players: Vec<(String, i64, i64)> = select.await?;
            for (player, points, of) in &players {
                self.show(player, *points, *of).await?;
                number = *of;
            }
            if i64::try_from(players.len()).is_ok_and(|count| count < AT_ONCE) {
                // A mark that has gone was lost with the board: the next turn makes that anew.
                if self.mark().await?.is_some_and(|mark| mark < number.max(0)) {
                    set_mark(number.max(0)).await?;
                }
                return Ok(());
            }
        }
    }

    pub(crate) async fn complete_regularly(self) {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        loop {
            tick.tick().await;
            // While a server is away this fails; the next tick tries again.
            let _ = self.complete().await;
        }
    }
}
