//! Users that earn and use points and read their balance, alone and several for one account.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use anyhow::{bail, ensure};
use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::Method;
use serde_json::json;

use super::definition::{Measured, Ratio, Scenario, Target};
use super::helpers::{counted, unique};
use crate::driver::{Mode, Turn};
use crate::lock::lock;
use crate::{Answer, Api, Check};

/// Users that exist before the first turn.
const USERS: u64 = 1_000;
/// Points of each at first.
const OPENING: i64 = 1_000;
/// Users whose points several requests use at once, and whose earnings come from all turns.
const SHARED: u64 = 4;
const AT_ONCE: u64 = 4;
/// Interval, in turns, between uses of shared points in a steady run.
const SHARED_EVERY: u64 = 10;

/// The run in progress.
const STEADY: usize = 0;
const BATCHED: usize = 1;
const ONE_BY_ONE: usize = 2;
/// Like the steady run, with as many requests as possible, and no user that two turns share.
const CLOSED: usize = 3;
const MIXED: usize = 4;

/// Operations of these two runs, whose throughput is compared.
const BATCHED_EARN: &str = "earn batched";
const SINGLE_EARN: &str = "earn one by one";

pub(super) struct Points {
    prefix: String,
    run: AtomicUsize,
    /// Sum of all acknowledged entries of each user.
    entries: Mutex<BTreeMap<String, i64>>,
    uses: AtomicU64,
    retries: AtomicU64,
    /// Reads that the cache should have answered, and those that it has.
    reads: AtomicU64,
    hits: AtomicU64,
    /// Balances that were negative, or older than an acknowledged write.
    wrong: AtomicU64,
}

impl Default for Points {
    fn default() -> Self {
        Self {
            prefix: unique(),
            run: AtomicUsize::new(MIXED),
            entries: Mutex::default(),
            uses: AtomicU64::default(),
            retries: AtomicU64::default(),
            reads: AtomicU64::default(),
            hits: AtomicU64::default(),
            wrong: AtomicU64::default(),
        }
    }
}

impl Points {
    fn user(&self, kind: &str, number: u64) -> String {
        format!("{}-{kind}-{number}", self.prefix)
    }

    async fn sign_up(&self, api: &Api, user: &str) -> anyhow::Result<Answer> {
        let answer = api.send(Method::PUT, &format!("/users/{user}"), None, None).await?.expect(201)?;
        lock(&self.entries).entry(user.to_owned()).or_default();
        Ok(answer)
    }

    /// Counts a wrong balance, and fails with these words.
    fn ensure(&self, is_right: bool, says: impl FnOnce() -> String) -> anyhow::Result<()> {
        if !is_right {
            self.wrong.fetch_add(1, Ordering::Relaxed);
            bail!("{}", says());
        }
        Ok(())
    }

    /// Notes an acknowledged entry, and returns the balance after it.
    fn note(&self, user: &str, points: i64, answer: Answer) -> anyhow::Result<i64> {
        let balance = answer.expect(201)?.number("balance")?;
        *lock(&self.entries).entry(user.to_owned()).or_default() += points;
        self.ensure(balance >= 0, || format!("`{user}` has {balance} points"))?;
        Ok(balance)
    }

    fn note_use(&self, user: &str, points: i64, answer: Answer) -> anyhow::Result<i64> {
        self.uses.fetch_add(1, Ordering::Relaxed);
        self.retries.fetch_add(u64::try_from(answer.number("tries")? - 1).unwrap_or(0), Ordering::Relaxed);
        self.note(user, -points, answer)
    }

    async fn earn(&self, turn: &mut Turn, user: &str, key: &str, points: i64) -> anyhow::Result<i64> {
        let (api, body) = (turn.api.clone(), json!({ "points": points }));
        let answer = turn.call("earn", api.post(&format!("/users/{user}/earnings"), Some(key), &body)).await?;
        self.note(user, points, answer)
    }

    async fn use_points(&self, turn: &mut Turn, user: &str, key: &str, points: i64) -> anyhow::Result<i64> {
        let (api, body) = (turn.api.clone(), json!({ "points": points }));
        let answer = turn.call("use", api.post(&format!("/users/{user}/uses"), Some(key), &body)).await?;
        self.note_use(user, points, answer)
    }

    /// A use that must be refused with this status.
    async fn refusal(&self, turn: &mut Turn, user: &str, key: &str, use_of: (i64, u16)) -> anyhow::Result<()> {
        let (api, body) = (turn.api.clone(), json!({ "points": use_of.0 }));
        let path = format!("/users/{user}/uses");
        turn.call("refusal", api.post(&path, Some(key), &body)).await?.expect(use_of.1).map(drop)
    }

    /// Each queried process must know of the last write of this user.
    async fn read(&self, turn: &mut Turn, user: &str, expected: i64) -> anyhow::Result<()> {
        let (api, path) = (turn.api.clone(), format!("/users/{user}/balance"));
        let uncached = format!("{path}?cache=off");
        for (operation, path) in [("balance", &path), ("balance cached", &path), ("balance uncached", &uncached)] {
            let answer = turn.call(operation, api.get(path)).await?.expect(200)?;
            let balance = answer.number("balance")?;
            self.ensure(balance == expected, || {
                format!("{operation} of `{user}` is {balance} after {expected} was acknowledged")
            })?;
            if operation == "balance cached" {
                self.reads.fetch_add(1, Ordering::Relaxed);
                self.hits.fetch_add(u64::from(answer.body["cached"] == true), Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// A user that no other turn has at this time.
    async fn steady(&self, turn: &mut Turn) -> anyhow::Result<()> {
        let (user, key) = (self.user("user", turn.number % USERS), turn.number.to_string());
        self.earn(turn, &user, &format!("{key}-e"), 30).await?;
        let balance = self.use_points(turn, &user, &format!("{key}-u"), 20).await?;
        self.read(turn, &user, balance).await
    }

    /// A new user, whose balance is known at every moment. Each request goes to another process.
    async fn alone(&self, turn: &mut Turn) -> anyhow::Result<()> {
        let user = self.user("new", turn.number);
        let api = turn.api.clone();
        turn.call("sign up", self.sign_up(&api, &user)).await?;
        ensure!(self.earn(turn, &user, "1", 90).await? == 90, "90 were earned");
        self.read(turn, &user, 90).await?;
        self.refusal(turn, &user, "2", (10, 409)).await?;
        ensure!(self.earn(turn, &user, "3", 250).await? == 340, "90 + 250 were earned");
        self.read(turn, &user, 340).await?;
        ensure!(self.use_points(turn, &user, "4", 40).await? == 300, "40 of 340 were used");
        self.read(turn, &user, 300).await?;
        self.refusal(turn, &user, "5", (301, 409)).await?;
        // The earlier answers, and none for another body.
        let body = json!({ "points": 250 });
        let again = turn.call("repeat", api.post(&format!("/users/{user}/earnings"), Some("3"), &body)).await?;
        ensure!(again.expect(201)?.number("balance")? == 340, "a repeat has the balance of the first time");
        let body = json!({ "points": 40 });
        let again = turn.call("repeat", api.post(&format!("/users/{user}/uses"), Some("4"), &body)).await?;
        ensure!(again.expect(201)?.number("balance")? == 300, "a repeat has the balance of the first time");
        self.refusal(turn, &user, "4", (41, 422)).await?;
        self.refusal(turn, &user, "3", (250, 422)).await?;
        ensure!(self.use_points(turn, &user, "6", 300).await? == 0, "all of 300 were used");
        self.read(turn, &user, 0).await
    }

    /// Several requests use points of one user at once. A user that all turns know earns them
    /// again.
    async fn together(&self, turn: &mut Turn) -> anyhow::Result<()> {
        let (api, number) = (turn.api.clone(), turn.number);
        let user = self.user("shared", number % SHARED);
        let (path, body) = (format!("/users/{user}/uses"), json!({ "points": 1 }));
        let keys: Vec<_> = (0..AT_ONCE).map(|nth| format!("{number}-{nth}")).collect();
        let posts = keys.iter().map(|key| api.post(&path, Some(key), &body));
        for answer in turn.call_at_once("use contended", posts).await? {
            self.note_use(&user, 1, answer)?;
        }
        let points = i64::try_from(AT_ONCE)?;
        self.earn(turn, &user, &number.to_string(), points).await?;
        // This one only earns, so it never has less than it was known to have.
        let user = self.user("saver", number % SHARED);
        let known = self.earn(turn, &user, &number.to_string(), 1).await?;
        let answer = turn.call("balance", api.get(&format!("/users/{user}/balance"))).await?.expect(200)?;
        let balance = answer.number("balance")?;
        self.ensure(balance >= known, || format!("`{user}` has {balance} after {known} was acknowledged"))
    }

    /// One earning, to compare.
    async fn compare(&self, turn: &mut Turn, is_batched: bool) -> anyhow::Result<()> {
        let (api, user) = (turn.api.clone(), self.user("user", turn.number % USERS));
        let (operation, query) = if is_batched { (BATCHED_EARN, "") } else { (SINGLE_EARN, "?batch=off") };
        let (path, key) = (format!("/users/{user}/earnings{query}"), format!("{}-c", turn.number));
        let answer = turn.call(operation, api.post(&path, Some(&key), &json!({ "points": 1 }))).await?;
        self.note(&user, 1, answer).map(drop)
    }
}

#[async_trait]
impl Scenario for Points {
    fn name(&self) -> &'static str {
        "points"
    }

    fn runs(&self) -> Vec<Measured> {
        let target = |operation, reference, mean_ms, p95_ms| Target {
            operation,
            reference,
            mean_ms: Some(mean_ms),
            p95_ms,
            ..Target::default()
        };
        let steady = vec![
            target("earn", "mean 75, P95 90 ms at 50/s", 8.0, Some(10.0)),
            target("use", "mean 85, P95 100 ms at 50/s, 1.2 retries, 99 % succeed", 9.0, Some(10.0)),
            target("balance cached", "mean 8, P95 15 ms", 0.8, Some(1.5)),
            target("balance uncached", "mean 50 ms", 5.0, None),
        ];
        let often = |operation| Target { operation, reference: "50/s", per_second: Some(500.0), ..Target::default() };
        let closed = |targets| Measured { mode: Mode::Closed { users: 64 }, seconds: 5, targets };
        vec![
            Measured { mode: Mode::Open { rate: 50.0 }, seconds: 10, targets: steady },
            closed(Vec::new()),
            closed(Vec::new()),
            closed(vec![often("earn"), often("use")]),
        ]
    }

    fn ratios(&self) -> Vec<Ratio> {
        vec![Ratio { operation: BATCHED_EARN, to: SINGLE_EARN, at_least: 1.3 }]
    }

    async fn begin_run(&self, _api: &Api, number: usize) -> anyhow::Result<()> {
        self.run.store(number, Ordering::Relaxed);
        Ok(())
    }

    async fn prepare(&self, api: &Api) -> anyhow::Result<()> {
        let shared = (0..SHARED).flat_map(|number| [self.user("shared", number), self.user("saver", number)]);
        let users = (0..USERS).map(|number| self.user("user", number)).chain(shared);
        let open = async |user: String| {
            self.sign_up(api, &user).await?;
            let body = json!({ "points": OPENING });
            let answer = api.post(&format!("/users/{user}/earnings"), Some("opening"), &body).await?;
            self.note(&user, OPENING, answer).map(drop)
        };
        stream::iter(users).map(open).buffer_unordered(16).try_collect().await
    }

    async fn turn(&self, turn: &mut Turn) -> anyhow::Result<()> {
        match (self.run.load(Ordering::Relaxed), turn.number) {
            (STEADY, number) if number % SHARED_EVERY == 0 => self.together(turn).await,
            (STEADY | CLOSED, _) => self.steady(turn).await,
            (BATCHED, _) => self.compare(turn, true).await,
            (ONE_BY_ONE, _) => self.compare(turn, false).await,
            (_, number) if number % 4 == 0 => self.alone(turn).await,
            (_, number) if number % 4 == 1 => self.together(turn).await,
            (_, number) => self.compare(turn, number % 4 == 2).await,
        }
    }

    async fn check(&self, api: &Api) -> anyhow::Result<Vec<Check>> {
        let entries = lock(&self.entries).clone();
        let read = async |(user, sum): (&String, &i64)| {
            let mut balances = Vec::new();
            for query in ["", "?cache=off"] {
                let answer = api.get(&format!("/users/{user}/balance{query}")).await?.expect(200)?;
                balances.push(answer.number("balance")?);
            }
            anyhow::Ok(
                (balances.iter().any(|balance| balance != sum)).then(|| format!("{user}: {balances:?} for {sum}")),
            )
        };
        let wrong: Vec<_> = stream::iter(&entries).map(read).buffer_unordered(16).try_collect().await?;
        let wrong: Vec<_> = wrong.into_iter().flatten().collect();
        let wrong_balances = self.wrong.load(Ordering::Relaxed);
        let (uses, retries) = (self.uses.load(Ordering::Relaxed), self.retries.load(Ordering::Relaxed));
        let mut invariants = vec![
            Check::count(
                format!(
                    "the sum of acknowledged entries is the balance, cached or not; of {} users {}",
                    entries.len(),
                    counted(&wrong, "differ")
                ),
                wrong.is_empty(),
            ),
            Check::count(
                format!(
                    "{wrong_balances} balances were negative, or older than an acknowledged write; {uses} uses took \
                     {retries} retries"
                ),
                wrong_balances == 0 && entries.values().all(|sum| *sum >= 0),
            ),
        ];
        if self.run.load(Ordering::Relaxed) != MIXED {
            let (reads, hits) = (self.reads.load(Ordering::Relaxed), self.hits.load(Ordering::Relaxed));
            let says = format!("the cache had {hits} of {reads} balances that were read again");
            invariants.push(Check::count(says, hits * 100 >= reads * 99));
        }
        Ok(invariants)
    }
}
