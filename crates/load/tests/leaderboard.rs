//! A board that Redis has lost, also while a process completes it, and players whom a process has
//! committed and not shown.
#![allow(clippy::unwrap_used, reason = "a test ends where it is surprised")]

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_load::Api;
use tidegate_testkit::redis::RedisServer;
use tidegate_testkit::{PostgresServer, Process, binary, poll_until};

const LONG: Duration = Duration::from_secs(30);
/// More than one page, and all with the same points.
const PLAYERS: usize = 130;
/// Enough that a rebuild of the board takes longer than many requests.
const MANY: usize = 5_000;

struct Game {
    api: Api,
    _process: Process,
}

fn start(redis: &RedisServer, postgres: &PostgresServer) -> Process {
    let process = Process::builder(binary("examples/leaderboard")).env("PORT", "0");
    process.env("REDIS_URL", redis.url()).env("DATABASE_URL", postgres.url()).start().unwrap()
}

impl Game {
    async fn start(redis: &RedisServer, postgres: &PostgresServer) -> Self {
        let mut process = start(redis, postgres);
        Self { api: Api::of(&mut process).await.unwrap(), _process: process }
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let answer = self.api.get(path).await.unwrap();
        (answer.status.as_u16(), answer.body)
    }

    async fn award(&self, player: &str, points: i64) -> u16 {
        let (path, body) = (format!("/players/{player}/awards"), json!({ "points": points }));
        self.api.post(&path, Some("k"), &body).await.unwrap().status.as_u16()
    }

    /// All pages. Answers of 503 are repeated; no other page may have a gap.
    async fn board(&self) -> Vec<String> {
        let (mut players, mut path) = (Vec::new(), "/board".to_owned());
        loop {
            let page = async || {
                let (status, page) = self.get(&path).await;
                assert!(status == 200 || status == 503, "{status} {page}");
                (status == 200).then_some(page)
            };
            let page = poll_until(LONG, page).await.unwrap();
            players
                .extend(page["players"].as_array().unwrap().iter().map(|it| it["player"].as_str().unwrap().to_owned()));
            match page["next"].as_str() {
                Some(next) => path = format!("/board?after={next}"),
                None => return players,
            }
        }
    }
}

#[tokio::test]
async fn a_board_that_was_lost_is_made_anew_in_the_same_order() {
    let (redis, postgres) = (RedisServer::start().await, PostgresServer::start_tcp(&[]).await);
    let games = [Game::start(&redis, &postgres).await, Game::start(&redis, &postgres).await];
    let names: Vec<_> = (0..PLAYERS).map(|nth| format!("player-{}", nth * 7 % PLAYERS)).collect();
    for (nth, name) in names.iter().enumerate() {
        assert_eq!(games[nth % 2].award(name, 5).await, 201);
    }
    assert_eq!(games[0].board().await, names);

    redis.cli(&["FLUSHALL"]).await;
    // The first that comes to an empty board is not the first of all.
    assert_eq!(games[0].award("late", 5).await, 201);
    let mut all = names.clone();
    all.push("late".to_owned());
    for game in &games {
        assert_eq!(game.board().await, all);
    }
}

#[tokio::test]
async fn a_repeat_that_comes_with_the_first_request_is_answered_as_a_repeat() {
    let (redis, postgres) = (RedisServer::start().await, PostgresServer::start_tcp(&[]).await);
    let games = [Game::start(&redis, &postgres).await, Game::start(&redis, &postgres).await];
    postgres.psql("CREATE TABLE gate (is_open BOOLEAN)").await;
    // The maximum that a player can have: a second award of it would be refused.
    let award = async |game: &Game| game.award("ada", (1 << 19) - 1).await;
    let lock = "BEGIN; SELECT FROM last_award FOR UPDATE; DO $$ BEGIN
        WHILE NOT EXISTS (SELECT FROM gate) LOOP PERFORM pg_sleep(0.01); END LOOP; END $$; COMMIT";
    let locked = "SELECT COUNT(*) FROM pg_stat_activity WHERE query LIKE 'DO%' AND wait_event = 'PgSleep'";
    let waiting = "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE last%'";
    let until = async |query: &str, count: &str| {
        poll_until(LONG, async || (postgres.psql(query).await == count).then_some(())).await.unwrap();
    };
    let side_by_side = async {
        until(locked, "1").await;
        let open = async {
            // Neither has found the other's award.
            until(waiting, "2").await;
            postgres.psql("INSERT INTO gate VALUES (true)").await;
        };
        let (first, second, ()) = tokio::join!(award(&games[0]), award(&games[1]), open);
        assert_eq!((first, second), (201, 201));
    };
    tokio::join!(postgres.psql(lock), side_by_side);
    let ada = games[0].get("/players/ada").await;
    assert_eq!((ada.0, &ada.1["points"]), (200, &json!((1 << 19) - 1)), "{}", ada.1);
    assert_eq!(postgres.psql("SELECT number FROM last_award").await, "1");
}

#[tokio::test]
async fn a_player_who_was_committed_and_not_shown_comes_to_the_board() {
    let (redis, postgres) = (RedisServer::start().await, PostgresServer::start_tcp(&[]).await);
    let game = Game::start(&redis, &postgres).await;
    assert_eq!(game.award("ada", 5).await, 201);
    // State that a process leaves if it dies between the two.
    postgres.psql("UPDATE last_award SET number = 2; INSERT INTO players VALUES ('bob', 7, 2)").await;
    let is_there = async || (game.get("/players/bob").await.0 == 200).then_some(());
    poll_until(LONG, is_there).await.unwrap();
    assert_eq!(game.board().await, ["bob", "ada"]);
}

#[tokio::test]
async fn a_board_that_another_process_rebuilds_is_not_shown_before_it_is_whole() {
    let (redis, postgres) = (RedisServer::start().await, PostgresServer::start_tcp(&[]).await);
    // Makes the tables.
    drop(Game::start(&redis, &postgres).await);
    // The first player of the board is inserted last.
    let players = format!("INSERT INTO players SELECT 'p-' || n, n, n FROM generate_series(1, {MANY}) n");
    let number = format!("UPDATE last_award SET number = {MANY}");
    postgres.psql(&format!("{players}; {number}; CREATE TABLE gate (is_open BOOLEAN)")).await;
    let game = Game::start(&redis, &postgres).await;

    let lock = "BEGIN; LOCK TABLE players; DO $$ BEGIN
        WHILE NOT EXISTS (SELECT FROM gate) LOOP PERFORM pg_sleep(0.01); END LOOP; END $$; COMMIT";
    let waiting = "SELECT COUNT(*) FROM pg_locks
        WHERE relation = 'players'::regclass AND mode = 'AccessShareLock' AND NOT granted";
    let readers_wait = async |count: &str| {
        poll_until(LONG, async || (postgres.psql(waiting).await == count).then_some(())).await.unwrap();
    };
    let lose_the_board = async {
        // The process has read how far the board is.
        readers_wait("1").await;
        redis.cli(&["FLUSHALL"]).await;
        // Another one has begun to rebuild it.
        let other = start(&redis, &postgres);
        readers_wait("2").await;
        postgres.psql("INSERT INTO gate VALUES (true)").await;
        other
    };
    let (_, _other) = tokio::join!(postgres.psql(lock), lose_the_board);
    let shown = async || Some(game.get("/board").await).filter(|(status, _)| *status == 200);
    let (_, page) = poll_until(LONG, shown).await.unwrap();
    assert_eq!(page["players"][0]["player"], format!("p-{MANY}"));
}
