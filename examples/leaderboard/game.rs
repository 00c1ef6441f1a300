//! Points in SQL, and the board that is made of them.

use std::time::Duration;

use axum::http::StatusCode;
use sqlx::AnyPool;
use tidegate_cache::{Direction, Key, ShapeError, Shapes, SortedSetShape, TtlClass};

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
/// Scores of players are below, those of the marks from here on: a full board drops no mark.
pub(crate) const FIRST_MARK: i64 = 1 << 52;
const MAX_SCORE: i64 = (1 << 53) - 1;
pub(crate) const MARKS: u8 = 3;
/// No name of a player. A rebuild adds `BEGUN` with a random score, then all players, then `WHOLE`
/// with the score of `BEGUN`. The board is whole if both are equal, so a process that still works
/// on a board that was lost can't declare the rebuild of another process finished.
const BEGUN: &str = "*begun";
const WHOLE: &str = "*whole";
/// Added with `WHOLE`. Its score is `FIRST_MARK` and the number up to which all awards are shown.
const NUMBER: &str = "*number";

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
        let board = shapes.sorted_set(BOARDS).limit(MAX_PLAYERS + usize::from(MARKS)).renewing();
        Ok(Self { sql, board, key: Key::builder("board").part("all").build()? })
    }

    /// Adds the points in SQL, once for each key. Returns the player's points, and the number of
    /// the award with which they were reached.
    pub(crate) async fn commit(&self, player: &str, key: &str, points: i64) -> Result<(i64, i64), Refused> {
        // A name has no line break, so no two pairs make the same id.
        let id = format!("{player}\n{key}");
        loop {
            let known = sqlx::query_as("SELECT points, total, number FROM awards WHERE id = $1");
            let known: Option<(i64, i64, i64)> = known.bind(&id).fetch_optional(&self.sql).await?;
            match known {
                Some((of, total, number)) if of == points => return Ok((total, number)),
                Some(_) => {
                    let reason = "the Idempotency-Key was used for another award";
                    return Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, reason.into()));
                }
                None => {}
            }
            if let Some(committed) = self.try_commit(&id, player, points).await? {
                return Ok(committed);
            }
        }
    }

    /// `None` if the same request has been committed meanwhile. Then nothing changes here.
    async fn try_commit(&self, id: &str, player: &str, points: i64) -> Result<Option<(i64, i64)>, Refused> {
        let mut sql = self.sql.begin().await?;
        // Held until the commit: numbers have the order of commits, and show in that order.
        let number = sqlx::query_scalar("UPDATE last_award SET number = number + 1 RETURNING number");
        let number: i64 = number.fetch_one(&mut *sql).await?;
        let total = "INSERT INTO players VALUES ($1, $2, $3) ON CONFLICT (player)
                DO UPDATE SET points = players.points + excluded.points, number = excluded.number RETURNING points";
        let total = sqlx::query_scalar(total).bind(player).bind(points).bind(number);
        let total: i64 = total.fetch_one(&mut *sql).await?;
        let note = sqlx::query("INSERT INTO awards VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING");
        let note = note.bind(id).bind(points).bind(total).bind(number).execute(&mut *sql).await?;
        if note.rows_affected() == 0 {
            sql.rollback().await?;
            return Ok(None);
        }
        if total > MAX_POINTS || number > MAX_NUMBER {
            let reason = format!("`{player}` would have {total} points, and can have {MAX_POINTS}");
            return Err(Refused(StatusCode::CONFLICT, reason));
        }
        sql.commit().await?;
        Ok(Some((total, number)))
    }

    /// Puts a player on the board, unless more points of the player are there.
    pub(crate) async fn show(&self, player: &str, points: i64, number: i64) -> Result<(), ShapeError> {
        let score = (points << NUMBER_BITS) + (MAX_NUMBER - number);
        self.board.add_if_better(&self.key, player, score).await.map(drop)
    }

    /// The rebuild that has made the board whole, and the number up to which all awards are shown.
    async fn progress(&self) -> Result<Option<(i64, i64)>, ShapeError> {
        let marks = self.board.page(&self.key, Direction::Forward, FIRST_MARK.., None, usize::from(MARKS)).await?;
        let score = |name: &str| marks.iter().find(|mark| mark.member == name).map(|mark| mark.score);
        let rebuild = score(WHOLE).filter(|whole| score(BEGUN) == Some(*whole));
        Ok(rebuild.zip(score(NUMBER).map(|number| number - FIRST_MARK)))
    }

    /// Reads the board. With the same rebuild before and after, the board was whole in between.
    pub(crate) async fn read<T>(&self, read: impl Future<Output = Result<T, ShapeError>>) -> Result<T, Refused> {
        let before = self.progress().await?.map(|(rebuild, _)| rebuild);
        let found = read.await?;
        let after = self.progress().await?.map(|(rebuild, _)| rebuild);
        match before {
            Some(_) if before == after => Ok(found),
            _ => Err(Refused(StatusCode::SERVICE_UNAVAILABLE, "the board is being made".into())),
        }
    }

    /// Puts on the board what is not there yet. Each process does so, and may do so at any time.
    pub(crate) async fn complete(&self) -> Result<(), Refused> {
        let before = self.progress().await?;
        let (rebuild, mut number) = match (before, self.board.score(&self.key, BEGUN).await?) {
            (Some(progress), _) => progress,
            // Another process has begun, and may have died: this one may finish.
            (None, Some(rebuild)) => (rebuild, 0),
            (None, None) => {
                let rebuild = rand::random_range(FIRST_MARK..=MAX_SCORE);
                self.board.add(&self.key, BEGUN, rebuild).await?;
                (rebuild, 0)
            }
        };
        let select = "SELECT player, points, number FROM players WHERE number > $1 ORDER BY number LIMIT $2";
        loop {
            let select = sqlx::query_as(select).bind(number).bind(AT_ONCE).fetch_all(&self.sql);
            let players: Vec<(String, i64, i64)> = select.await?;
            for (player, points, of) in &players {
                self.show(player, *points, *of).await?;
                number = *of;
            }
            if i64::try_from(players.len()).is_ok_and(|count| count < AT_ONCE) {
                // A newer rebuild keeps its marks. These would only make it start again.
                let is_newest = self.board.score(&self.key, BEGUN).await? == Some(rebuild);
                if is_newest && before != Some((rebuild, number)) {
                    self.board.add_many(&self.key, &[(WHOLE, rebuild), (NUMBER, FIRST_MARK + number)]).await?;
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
