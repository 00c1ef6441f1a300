//! Awards to players with many ties, and readers who page through the board meanwhile.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use anyhow::{Context, ensure};
use async_trait::async_trait;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde_json::{Value, json};

use super::definition::{Measured, Scenario, Target};
use super::helpers::{counted, unique};
use crate::driver::{Mode, Turn};
use crate::lock::lock;
use crate::{Api, Check};

/// Players that get awards, and players that get one before the first turn and none after it.
const PLAYERS: u64 = 150;
const RESTING: u64 = 150;
/// Points of a resting player at most: few, so that there are ties, also with others.
const FEW: u64 = 40;
const PAGE: usize = 100;
const EACH_SIDE: usize = 5;
const WALK_EVERY: u64 = 16;
const REPEAT_EVERY: u64 = 8;
/// The run of a test; measured runs have numbers from 0.
const MIXED: usize = usize::MAX;

/// Known state of a player. Moments are counts of the sent and acknowledged awards.
#[derive(Clone, Copy, Default)]
struct Known {
    sum: i64,
    /// Points after the last award, when it was sent, and when it was acknowledged.
    points: i64,
    sent_at: u64,
    acknowledged_at: u64,
}

pub(super) struct Leaderboard {
    prefix: String,
    run: AtomicUsize,
    moment: AtomicU64,
    players: Mutex<BTreeMap<String, Known>>,
    walks: AtomicU64,
}

impl Default for Leaderboard {
    fn default() -> Self {
        let (run, moment, walks) = (AtomicUsize::new(MIXED), AtomicU64::default(), AtomicU64::default());
        Self { prefix: unique(), run, moment, players: Mutex::default(), walks }
    }
}

impl Leaderboard {
    fn players(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        lock(&self.players)
    }

    fn player(&self, kind: &str, number: u64) -> String {
        format!("{}-{kind}-{number}", self.prefix)
    }

    fn now(&self) -> u64 {
        self.moment.fetch_add(1, Ordering::SeqCst)
    }

    fn note(&self, player: &str, award: i64, points: i64, sent_at: u64) {
        let acknowledged_at = self.now();
        let mut players = self.players();
        let known = players.entry(player.to_owned()).or_default();
        known.sum += award;
        if points > known.points {
            *known = Known { points, sent_at, acknowledged_at, ..*known };
        }
    }

    /// An award, and the player as another process shows it.
    async fn award(&self, turn: &mut Turn) -> anyhow::Result<()> {
        let (api, number) = (turn.api.clone(), turn.number);
        let player = self.player("player", (turn.shuffled() >> 32) % PLAYERS);
        let (path, points) = (format!("/players/{player}/awards"), i64::try_from(1 + number % 3)?);
        let (key, body, sent_at) = (number.to_string(), json!({ "points": points }), self.now());
        let answer = turn.call("award", api.post(&path, Some(&key), &body)).await?.expect(201)?;
        let total = answer.number("points")?;
        self.note(&player, points, total, sent_at);

        let shown = turn.call("player", api.get(&format!("/players/{player}"))).await?.expect(200)?;
        ensure!(shown.number("points")? >= total, "{} after {total} was acknowledged", shown.body);
        ensure_neighbours(&player, &shown.body)?;
        if number % REPEAT_EVERY == 0 {
            let again = turn.call("repeat", api.post(&path, Some(&key), &body)).await?.expect(201)?;
            ensure!(again.body == answer.body, "a repeat was answered {} after {}", again.body, answer.body);
            let other = json!({ "points": points + 1 });
            turn.call("repeat", api.post(&path, Some(&key), &other)).await?.expect(422)?;
        }
        Ok(())
    }

    /// The first page.
    async fn top(&self, turn: &mut Turn) -> anyhow::Result<()> {
        let api = turn.api.clone();
        let page = turn.call("page", api.get("/board")).await?.expect(200)?;
        ensure_falling(&entries(&page.body["players"])?)
    }

    /// All pages, while awards go on: each resting player is there once.
    async fn walk(&self, turn: &mut Turn) -> anyhow::Result<()> {
        let board = walk(&turn.api.clone(), Some(turn)).await?;
        let mut seen: HashMap<&str, u64> = HashMap::new();
        for (player, _) in &board {
            *seen.entry(player).or_default() += 1;
        }
        for number in 0..RESTING {
            let player = self.player("resting", number);
            let times = seen.get(player.as_str()).copied().unwrap_or_default();
            ensure!(times == 1, "`{player}` was {times} times on {} pages", board.len() / PAGE + 1);
        }
        self.walks.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// All pages of the board, from the first to the last.
async fn walk(api: &Api, mut turn: Option<&mut Turn>) -> anyhow::Result<Vec<(String, i64)>> {
    let (mut board, mut path) = (Vec::new(), "/board".to_owned());
    loop {
        let page = match &mut turn {
            Some(turn) => turn.call("page", api.get(&path)).await?,
            None => api.get(&path).await?,
        };
        let page = page.expect(200)?.body;
        board.extend(entries(&page["players"])?);
        match page["next"].as_str() {
            Some(next) => path = format!("/board?after={next}"),
            None => break,
        }
    }
    ensure_falling(&board)?;
    Ok(board)
}

fn entries(players: &Value) -> anyhow::Result<Vec<(String, i64)>> {
    let entry = |entry: &Value| Some((entry["player"].as_str()?.to_owned(), entry["points"].as_i64()?));
    let players = players.as_array().context("`players` is no list")?;
    players.iter().map(|player| entry(player).with_context(|| format!("{player} is no player"))).collect()
}

fn ensure_falling(players: &[(String, i64)]) -> anyhow::Result<()> {
    let rising = players.windows(2).find(|pair| pair[0].1 < pair[1].1);
    ensure!(rising.is_none(), "{rising:?} are in the wrong order");
    Ok(())
}

/// Five on either side, of consecutive ranks, in the order of their points.
fn ensure_neighbours(player: &str, shown: &Value) -> anyhow::Result<Vec<(String, i64)>> {
    let neighbours = entries(&shown["neighbours"])?;
    ensure_falling(&neighbours)?;
    let ranks = shown["neighbours"].as_array().into_iter().flatten().map(|it| it["rank"].as_i64().unwrap_or(0));
    let own = shown["rank"].as_i64().unwrap_or(0);
    let first = (own - i64::try_from(EACH_SIDE)?).max(1);
    ensure!(ranks.eq((first..).take(neighbours.len())), "ranks of {shown}");
    let at = usize::try_from(own - first)?;
    ensure!(neighbours.get(at).is_some_and(|(name, _)| name == player), "`{player}` is not in the middle of {shown}");
    Ok(neighbours)
}

#[async_trait]
impl Scenario for Leaderboard {
    fn name(&self) -> &'static str {
        "leaderboard"
    }

    fn runs(&self) -> Vec<Measured> {
        let target = |operation| Target { operation, reference: "none", mean_ms: Some(5.0), ..Target::default() };
        let targets = vec![target("award"), target("player"), target("page")];
        vec![Measured { mode: Mode::Open { rate: 200.0 }, seconds: 10, targets }]
    }

    async fn begin_run(&self, _api: &Api, number: usize) -> anyhow::Result<()> {
        self.run.store(number, Ordering::Relaxed);
        Ok(())
    }

    async fn prepare(&self, api: &Api) -> anyhow::Result<()> {
        let open = async |number: u64| {
            let (player, points) = (self.player("resting", number), i64::try_from(1 + number * 7 % FEW)?);
            let (path, body, sent_at) = (format!("/players/{player}/awards"), json!({ "points": points }), self.now());
            let answer = api.post(&path, Some("opening"), &body).await?.expect(201)?;
            self.note(&player, points, answer.number("points")?, sent_at);
            anyhow::Ok(())
        };
        stream::iter(0..RESTING).map(open).buffer_unordered(8).try_collect().await
    }

    async fn turn(&self, turn: &mut Turn) -> anyhow::Result<()> {
        match (self.run.load(Ordering::Relaxed), turn.number) {
            (MIXED, number) if number % WALK_EVERY == 0 => self.walk(turn).await,
            (_, number) if number % 4 == 1 => self.top(turn).await,
            _ => self.award(turn).await,
        }
    }

    async fn check(&self, api: &Api) -> anyhow::Result<Vec<Check>> {
        let players = self.players().clone();
        let board = walk(api, None).await?;
        let shown: BTreeMap<_, _> = board.iter().map(|(player, points)| (player.as_str(), *points)).collect();
        let differs = |(player, known): (&String, &Known)| match shown.get(player.as_str()) {
            Some(points) if *points == known.sum => None,
            Some(points) => Some(format!("`{player}` with {points} points, not {}", known.sum)),
            None => Some(format!("`{player}`, which is missing")),
        };
        let wrong_points: Vec<String> = players.iter().filter_map(differs).collect();

        // A player who had the points before another one's award was sent ranks before that one.
        let (mut ties, mut wrong) = (0, Vec::new());
        let known = board.iter().filter_map(|(player, points)| Some((player, points, players.get(player)?)));
        let known: Vec<_> = known.collect();
        for group in known.chunk_by(|one, other| one.1 == other.1) {
            ties += group.len() - 1;
            let mut latest_sent = 0;
            for (player, _, it) in group {
                if it.acknowledged_at < latest_sent {
                    wrong.push(*player);
                }
                latest_sent = latest_sent.max(it.sent_at);
            }
        }
        let compare = async |nth: usize| {
            let (player, _) = &board[nth];
            let shown = api.get(&format!("/players/{player}")).await?.expect(200)?.body;
            let expected = &board[nth.saturating_sub(EACH_SIDE)..board.len().min(nth + EACH_SIDE + 1)];
            let is_right = shown["rank"] == json!(nth + 1) && ensure_neighbours(player, &shown)? == expected;
            anyhow::Ok((!is_right).then(|| shown.to_string()))
        };
        let apart = stream::iter(0..board.len()).map(compare).buffer_unordered(16);
        let apart: Vec<Option<String>> = apart.try_collect().await?;
        let apart: Vec<String> = apart.into_iter().flatten().collect();
        let walks = self.walks.load(Ordering::Relaxed);
        let mut invariants = vec![
            Check::count(
                format!(
                    "the board has the acknowledged points of {} players; {}",
                    players.len(),
                    counted(&wrong_points, "differ")
                ),
                wrong_points.is_empty(),
            ),
            Check::count(
                format!("{ties} ties are in the order of their awards; {}", counted(&wrong, "are not")),
                wrong.is_empty() && ties > 0,
            ),
            Check::count(
                format!("ranks and neighbours are those of the pages; {}", counted(&apart, "are not")),
                apart.is_empty() && shown.len() == board.len(),
            ),
        ];
        if self.run.load(Ordering::Relaxed) == MIXED {
            invariants.push(Check::count(
                format!("{walks} times all pages were read between awards, without gaps or repeats"),
                walks > 0,
            ));
        }
        Ok(invariants)
    }
}
