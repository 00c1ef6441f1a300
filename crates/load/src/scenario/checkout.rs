//! Users that take a coupon, earn points, read their balance and order, also while one service is
//! slow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{bail, ensure};
use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::definition::{Measured, Scenario, Target};
use super::helpers::{counted, settled, unique};
use crate::driver::{Mode, Turn};
use crate::lock::lock;
use crate::{Answer, Api, Check};

const COUPONS: u64 = 5_000;
const PIECES: u64 = 30_000;
/// Points for one piece, and points that each user earns.
const PRICE: i64 = 100;
const EARNED: i64 = 150;

/// Time that a call of the slow service takes longer.
const SLOW: Duration = Duration::from_millis(600);
/// Concurrent calls of the slow service: more than all processes have permits for.
const FLOOD: u64 = 300;
/// Calls of each other service that are measured meanwhile.
const SAMPLES: usize = 20;
/// Tolerance above three times the median of the others, which wait for more if they share anything
/// with the slow one.
const NOISE: Duration = Duration::from_millis(100);

/// Processes at most.
const PROCESSES: u64 = 6;
/// Time after which everything is settled: a reservation expires after four seconds.
const SETTLED: Duration = Duration::from_secs(20);

/// The run in progress.
const SLOWED: usize = 3;
const MIXED: usize = 4;

pub(super) struct Checkout {
    prefix: String,
    run: AtomicUsize,
    opening: Mutex<Value>,
    known: Mutex<Known>,
    probes: AtomicU64,
}

/// Answers that the users received.
#[derive(Default)]
struct Known {
    balances: BTreeMap<String, i64>,
    coupons: BTreeSet<String>,
    pieces: i64,
}

impl Default for Checkout {
    fn default() -> Self {
        Self {
            prefix: unique(),
            run: AtomicUsize::new(MIXED),
            opening: Mutex::default(),
            known: Mutex::default(),
            probes: AtomicU64::default(),
        }
    }
}

impl Checkout {
    async fn sign_up(&self, api: &Api, user: &str) -> anyhow::Result<Answer> {
        let answer = api.send(Method::PUT, &format!("/users/{user}"), None, None).await?.expect(201)?;
        lock(&self.known).balances.entry(user.to_owned()).or_default();
        Ok(answer)
    }

    /// Records the answer to a request for a coupon.
    fn note_coupon(&self, user: &str, answer: &Answer) -> anyhow::Result<()> {
        match answer.status.as_u16() {
            201 => {
                lock(&self.known).coupons.insert(user.to_owned());
            }
            // None is left.
            409 => ensure!(!lock(&self.known).coupons.contains(user), "`{user}` has lost a coupon"),
            // Shed, since the service is slow.
            503 if self.run.load(Ordering::Relaxed) == SLOWED => {}
            status => bail!("a wish for a coupon was answered {status}: {}", answer.body),
        }
        Ok(())
    }

    /// Notes an acknowledged change of a balance.
    fn note(&self, user: &str, points: i64, answer: Answer) -> anyhow::Result<()> {
        let balance = answer.expect(201)?.number("balance")?;
        let mut known = lock(&self.known);
        let expected = known.balances.entry(user.to_owned()).or_default();
        *expected += points;
        ensure!(balance == *expected, "`{user}` has {balance} points, not {expected}");
        Ok(())
    }

    /// Records the answer to an order of one piece. Returns whether it was made.
    fn note_order(&self, user: &str, answer: Answer) -> anyhow::Result<bool> {
        // Sold out; or killed processes held it up for longer than a reservation lasts.
        if answer.status == 409 {
            return Ok(false);
        }
        self.note(user, -PRICE, answer)?;
        lock(&self.known).pieces += 1;
        Ok(true)
    }

    fn expected(&self, user: &str) -> i64 {
        lock(&self.known).balances.get(user).copied().unwrap_or_default()
    }

    /// Checks that a repeated request is not posted again, and that an impossible one is refused.
    async fn repeats(&self, turn: &mut Turn, user: &str) -> anyhow::Result<()> {
        let (api, balance) = (turn.api.clone(), self.expected(user));
        let (earnings, orders) = (format!("/users/{user}/earnings"), format!("/users/{user}/orders"));
        let points = |points: i64| json!({ "points": points });
        let quantity = |quantity: u64| json!({ "quantity": quantity });
        let again = turn.call("repeat", api.post(&orders, Some("order"), &quantity(1))).await?.expect(201)?;
        ensure!(again.number("balance")? == balance, "a repeat has the balance of the first time: {}", again.body);
        let again = turn.call("repeat", api.post(&earnings, Some("earn"), &points(EARNED))).await?.expect(201)?;
        ensure!(again.number("balance")? == EARNED, "a repeat has the balance of the first time: {}", again.body);
        let refused = [(&orders, "order", quantity(2)), (&orders, "zero", quantity(0)), (&earnings, "earn", points(1))];
        for (path, key, body) in refused {
            turn.call("refusal", api.post(path, Some(key), &body)).await?.expect(422)?;
        }
        // 50 points are left, which are too few.
        turn.call("refusal", api.post(&orders, Some("second"), &quantity(1))).await?.expect(409)?;
        let read = turn.call("balance", api.get(&format!("/users/{user}/balance"))).await?.expect(200)?;
        ensure!(read.number("balance")? == balance, "`{user}` had {balance} points, then {}", read.body);
        Ok(())
    }

    /// Earns, reads and orders as one user again and again. Returns the median of these calls.
    async fn probe(&self, api: &Api) -> anyhow::Result<Duration> {
        let user = format!("{}-probe-{}", self.prefix, self.probes.fetch_add(1, Ordering::Relaxed));
        self.sign_up(api, &user).await?;
        let mut latencies = Vec::new();
        for nth in 0..SAMPLES {
            let mut since = Instant::now();
            let mut lap = || {
                latencies.push(since.elapsed());
                since = Instant::now();
            };
            let points = json!({ "points": PRICE });
            let earned = api.post(&format!("/users/{user}/earnings"), Some(&format!("e-{nth}")), &points).await?;
            lap();
            let read = api.get(&format!("/users/{user}/balance")).await?;
            lap();
            let one = json!({ "quantity": 1 });
            let ordered = api.post(&format!("/users/{user}/orders"), Some(&format!("o-{nth}")), &one).await?;
            lap();
            self.note(&user, PRICE, earned)?;
            ensure!(read.expect(200)?.number("balance")? == self.expected(&user), "the balance of `{user}` is old");
            self.note_order(&user, ordered)?;
        }
        latencies.sort_unstable();
        Ok(latencies[latencies.len() / 2])
    }

    /// Measures the other services alone, and while more callers than there are permits wait for a
    /// coupon.
    async fn compare(&self, api: &Api) -> anyhow::Result<Check> {
        let alone = self.probe(api).await?;
        slow_down(api, SLOW).await?;
        let mut flood = JoinSet::<()>::new();
        for number in 0..FLOOD {
            // A user that does not exist is refused after the delay.
            let (api, path) = (api.clone(), format!("/users/{}-nobody-{number}/coupon", self.prefix));
            flood.spawn(async move {
                loop {
                    // If it is refused because there is no permit, the caller tries again.
                    let _ = api.post(&path, None, &Value::Null).await;
                }
            });
        }
        full(api).await?;
        let beside = self.probe(api).await?;
        flood.shutdown().await;
        slow_down(api, Duration::ZERO).await?;
        Ok(Check::count(
            format!(
                "while one service takes {} ms longer and is full, the others take {:.2} ms, alone {:.2} ms",
                SLOW.as_millis(),
                beside.as_secs_f64() * 1_000.0,
                alone.as_secs_f64() * 1_000.0
            ),
            beside < 3 * alone + NOISE,
        ))
    }
}

#[async_trait]
impl Scenario for Checkout {
    fn name(&self) -> &'static str {
        "checkout"
    }

    fn env(&self) -> Vec<(&'static str, String)> {
        vec![("HOLD_SECONDS", "4".to_owned()), ("COUPONS", COUPONS.to_string()), ("PIECES", PIECES.to_string())]
    }

    fn runs(&self) -> Vec<Measured> {
        let target = |operation| Target {
            operation,
            reference: "mean 70, P95 120 ms at 100/s, below 1 % fail",
            mean_ms: Some(7.0),
            p95_ms: Some(12.0),
            ..Target::default()
        };
        let others = ["earn", "balance", "order"].map(target);
        let all = [&[target("coupon")], others.as_slice()].concat();
        let often = ["coupon", "earn", "balance", "order"].map(|operation| Target {
            operation,
            reference: "100/s",
            per_second: Some(1_000.0),
            ..Target::default()
        });
        vec![
            Measured { mode: Mode::Open { rate: 100.0 }, seconds: 10, targets: all },
            Measured { mode: Mode::AtOnce { users: 100 }, seconds: 1, targets: Vec::new() },
            Measured { mode: Mode::Closed { users: 100 }, seconds: 5, targets: often.to_vec() },
            Measured { mode: Mode::Open { rate: 100.0 }, seconds: 5, targets: others.to_vec() },
        ]
    }

    async fn begin_run(&self, api: &Api, number: usize) -> anyhow::Result<()> {
        self.run.store(number, Ordering::Relaxed);
        if number == SLOWED {
            slow_down(api, SLOW).await?;
        }
        Ok(())
    }

    async fn prepare(&self, api: &Api) -> anyhow::Result<()> {
        *lock(&self.opening) = api.get("/totals").await?.expect(200)?.body;
        Ok(())
    }

    async fn turn(&self, turn: &mut Turn) -> anyhow::Result<()> {
        let (api, run) = (turn.api.clone(), self.run.load(Ordering::Relaxed));
        let user = format!("{}-{}", self.prefix, turn.number);
        turn.call("sign up", self.sign_up(&api, &user)).await?;
        let coupon = format!("/users/{user}/coupon");
        let answer = turn.call("coupon", api.post(&coupon, None, &Value::Null)).await?;
        self.note_coupon(&user, &answer)?;
        let (path, body) = (format!("/users/{user}/earnings"), json!({ "points": EARNED }));
        let answer = turn.call("earn", api.post(&path, Some("earn"), &body)).await?;
        self.note(&user, EARNED, answer)?;
        let read = turn.call("balance", api.get(&format!("/users/{user}/balance"))).await?.expect(200)?;
        ensure!(read.number("balance")? == EARNED, "`{user}` earned {EARNED}, and has {}", read.body);
        let (path, body) = (format!("/users/{user}/orders"), json!({ "quantity": 1 }));
        let answer = turn.call("order", api.post(&path, Some("order"), &body)).await?;
        if self.note_order(&user, answer)? && run == MIXED {
            self.repeats(turn, &user).await?;
            let answer = turn.call("repeat", api.post(&coupon, None, &Value::Null)).await?;
            self.note_coupon(&user, &answer)?;
        }
        Ok(())
    }

    async fn check(&self, api: &Api) -> anyhow::Result<Vec<Check>> {
        let run = self.run.swap(MIXED, Ordering::Relaxed);
        slow_down(api, Duration::ZERO).await?;
        let compared = self.compare(api).await?;
        let totals = settled(api, "/totals", SETTLED, is_settled).await?.body;
        let opening = lock(&self.opening).clone();
        let since = |name: &str| {
            totals.pointer(name).and_then(Value::as_i64).unwrap_or_default()
                - opening.pointer(name).and_then(Value::as_i64).unwrap_or_default()
        };
        let (issued, sold) = (since("/coupons/issued"), since("/pieces/sold"));
        let (earned, used) = (since("/points/earned"), since("/points/used"));
        let balances = lock(&self.known).balances.clone();
        let read = async |(user, expected): (&String, &i64)| {
            let found = api.get(&format!("/users/{user}/balance")).await?.expect(200)?.number("balance")?;
            anyhow::Ok((found != *expected).then(|| format!("`{user}` has {found}, not {expected}")))
        };
        let wrong: Vec<_> = stream::iter(&balances).map(read).buffer_unordered(16).try_collect().await?;
        let wrong: Vec<_> = wrong.into_iter().flatten().collect();
        let breakers = breakers(api).await?;
        let known = lock(&self.known);
        let (sum, coupons, pieces) = (balances.values().sum::<i64>(), known.coupons.len(), known.pieces);
        Ok(vec![
            Check::count(
                format!("{coupons} users have the {issued} issued coupons of {COUPONS}"),
                i64::try_from(coupons)? == issued && issued <= i64::try_from(COUPONS)?,
            ),
            Check::count(
                format!(
                    "{earned} points earned - {used} used = {sum} in {} accounts; {}",
                    balances.len(),
                    counted(&wrong, "differ")
                ),
                earned - used == sum && wrong.is_empty(),
            ),
            Check::count(
                format!("{pieces} pieces were ordered and {sold} of {PIECES} sold, for {used} points"),
                pieces == sold && used == sold * PRICE && sold <= i64::try_from(PIECES)?,
            ),
            match breakers {
                Breakers::Open(health) => Check::count(format!("no breaker is open: {health}"), false),
                // While processes are killed, some calls take too long.
                Breakers::Tripped if run == MIXED => Check::count("no breaker is open", true),
                Breakers::Tripped => Check::count("no breaker has tripped", false),
                Breakers::Closed => Check::count("no breaker has tripped", true),
            },
            compared,
        ])
    }
}

/// Makes the coupons of all processes take longer.
async fn slow_down(api: &Api, by: Duration) -> anyhow::Result<()> {
    let body = json!({ "ms": u64::try_from(by.as_millis())? });
    for _ in 0..PROCESSES {
        api.send(Method::PUT, "/services/coupon/delay", None, Some(&body)).await?.expect(200)?;
    }
    Ok(())
}

/// Waits until callers wait for a coupon in all processes.
async fn full(api: &Api) -> anyhow::Result<()> {
    let (deadline, mut in_a_row) = (Instant::now() + SETTLED, 0);
    while in_a_row < PROCESSES {
        let health = api.get("/health").await?.expect(200)?;
        in_a_row = if health.body["coupon"]["waiting"].as_u64() > Some(0) { in_a_row + 1 } else { 0 };
        ensure!(Instant::now() < deadline, "no caller waits for a coupon: {}", health.body);
    }
    Ok(())
}

/// State of the breakers of all processes.
enum Breakers {
    /// None has ever tripped.
    Closed,
    /// A breaker has tripped, and none is open now.
    Tripped,
    /// One is open, with the health of its process.
    Open(String),
}

async fn breakers(api: &Api) -> anyhow::Result<Breakers> {
    let mut breakers = Breakers::Closed;
    for _ in 0..PROCESSES {
        let health = api.get("/health").await?.expect(200)?.body;
        for service in ["coupon", "earn", "balance", "order"] {
            if health[service]["breaker"] == "open" {
                return Ok(Breakers::Open(health.to_string()));
            }
            if health[service]["trips"] != 0 {
                breakers = Breakers::Tripped;
            }
        }
    }
    Ok(breakers)
}

/// Whether all that killed processes have left is completed or has expired.
fn is_settled(totals: &Value) -> bool {
    let is_reserved = ["coupons", "pieces"].iter().any(|stock| totals[*stock]["reserved"] != 0);
    let used = totals["pieces"]["sold"].as_i64().map(|sold| sold * PRICE);
    !is_reserved && totals["points"]["used"].as_i64() == used
}
