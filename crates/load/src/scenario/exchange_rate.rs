//! Rates of a service with a quota: crowds that request the same rate, and outages of the service.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use async_trait::async_trait;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::RwLock;
use tokio::time::{Instant, sleep};

use super::definition::{Measured, Scenario, Target};
use super::helpers::counted;
use crate::driver::{Mode, Turn};
use crate::lock::lock;
use crate::{Answer, Api, Check};

/// The age from which a rate is stale, in ms.
const TTL_MS: u64 = 1_000;
/// Time-out of a call of the service, in ms.
const CALL_TIMEOUT_MS: u64 = 1_000;
/// Calls that the service allows in any second.
const QUOTA: usize = 50;
/// Currencies of the example. Pairs of the first ones are requested all the time, the others by one
/// crowd each.
const CODES: [&str; 24] = [
    "EUR", "USD", "GBP", "AUD", "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "HKD", "HUF", "INR", "JPY", "MXN", "NOK",
    "NZD", "PLN", "RON", "SEK", "SGD", "THB", "TRY", "ZAR",
];
const HOT: u64 = 6;
/// Callers of one pair at the same moment.
const CROWD: usize = 100;
const CROWD_EVERY: u64 = 16;
const OUTAGE_EVERY: u64 = 64;
const OUTAGE_AT: u64 = 20;
/// Time for an outage to begin, or to end.
const LONG: Duration = Duration::from_secs(30);

/// The run in progress: the service answers, or is slow, or down, or there are crowds and outages.
const SLOW: usize = 1;
const DOWN: usize = 2;
const MIXED: usize = 3;

/// An answer, with the times of its request and arrival.
struct Seen {
    pair: String,
    rate: u64,
    fetched_at_ms: u64,
    is_stale: bool,
    between_ms: (u64, u64),
}

/// A call that the service counted.
#[derive(Deserialize)]
struct Call {
    pair: String,
    at_ms: u64,
    rate_millionths: Option<u64>,
}

pub(super) struct ExchangeRate {
    run: AtomicUsize,
    next_pair: AtomicU64,
    /// Held by crowds together, and by an outage alone: in an outage calls are repeated.
    outage: RwLock<()>,
    outages: AtomicU64,
    answers: Mutex<Vec<Seen>>,
    /// Pairs that a crowd requested, and between which moments.
    crowds: Mutex<Vec<(String, (u64, u64))>>,
}

impl Default for ExchangeRate {
    fn default() -> Self {
        Self {
            run: AtomicUsize::new(MIXED),
            next_pair: AtomicU64::new(HOT),
            outage: RwLock::default(),
            outages: AtomicU64::default(),
            answers: Mutex::default(),
            crowds: Mutex::default(),
        }
    }
}

/// Returns a pair by number. Numbers below [`HOT`] are of the first three currencies.
fn pair(number: u64) -> Option<String> {
    let ordered = (1..CODES.len()).flat_map(|one| (0..one).flat_map(move |other| [(one, other), (other, one)]));
    let (from, to) = ordered.skip(usize::try_from(number).ok()?).map(|(from, to)| (CODES[from], CODES[to])).next()?;
    Some(format!("{from}/{to}"))
}

fn now_ms() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

async fn set_mode(api: &Api, mode: &str) -> anyhow::Result<()> {
    let body = json!({ "mode": mode });
    api.upstream().send(Method::PUT, "/upstream/mode", None, Some(&body)).await?.expect(200).map(drop)
}

impl ExchangeRate {
    /// Notes a rate for [`check`](Scenario::check). Returns it, and whether it is stale.
    fn note(&self, pair: &str, asked_at_ms: u64, answer: Answer) -> anyhow::Result<(u64, bool)> {
        let answer = answer.expect(200)?;
        let number = |field: &str| answer.number(field).and_then(|number| Ok(u64::try_from(number)?));
        let is_stale = answer.body["is_stale"].as_bool().context("`is_stale` is missing")?;
        let (rate, fetched_at_ms) = (number("rate_millionths")?, number("fetched_at_ms")?);
        let between_ms = (asked_at_ms, now_ms());
        let seen = Seen { pair: pair.to_owned(), rate, fetched_at_ms, is_stale, between_ms };
        lock(&self.answers).push(seen);
        Ok((rate, is_stale))
    }

    async fn read(&self, turn: &mut Turn, operation: &'static str, pair: &str) -> anyhow::Result<(u64, bool)> {
        let (api, asked_at_ms) = (turn.api.clone(), now_ms());
        let answer = turn.call(operation, api.get(&format!("/rates/{pair}"))).await?;
        self.note(pair, asked_at_ms, answer)
    }

    /// 100 callers of a pair that was not requested before.
    async fn crowd(&self, turn: &mut Turn) -> anyhow::Result<()> {
        let _calm = self.outage.read().await;
        let Some(pair) = pair(self.next_pair.fetch_add(1, Ordering::Relaxed)) else { return Ok(()) };
        let (api, path, asked_at_ms) = (turn.api.clone(), format!("/rates/{pair}"), now_ms());
        let answers = turn.call_at_once("crowd", (0..CROWD).map(|_| api.get(&path))).await?;
        for answer in answers {
            self.note(&pair, asked_at_ms, answer)?;
        }
        let mut crowds = lock(&self.crowds);
        crowds.push((pair, (asked_at_ms, now_ms())));
        Ok(())
    }

    /// Reads until the rate is stale, or no longer so. Each read must be answered.
    async fn read_until(&self, turn: &mut Turn, pair: &str, is_stale: bool) -> anyhow::Result<u64> {
        let deadline = Instant::now() + LONG;
        loop {
            match self.read(turn, "rate, outage", pair).await? {
                (rate, found) if found == is_stale => return Ok(rate),
                _ => ensure!(Instant::now() < deadline, "{pair} did not become stale: {is_stale}"),
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// The service fails, is slow, and comes back: callers have the last known rate meanwhile.
    async fn outage(&self, turn: &mut Turn) -> anyhow::Result<()> {
        let _alone = self.outage.write().await;
        let (api, pair) = (turn.api.clone(), pair(turn.number % HOT).context("there is no such pair")?);
        set_mode(&api, "down").await?;
        let outage = async {
            let last = self.read_until(turn, &pair, true).await?;
            set_mode(&api, "slow").await?;
            let (rate, is_stale) = self.read(turn, "rate, outage", &pair).await?;
            ensure!(rate == last && is_stale, "{pair} is {rate} and not the last known {last}");
            anyhow::Ok(())
        };
        let outage = outage.await;
        set_mode(&api, "up").await?;
        outage?;
        self.read_until(turn, &pair, false).await?;
        self.outages.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[async_trait]
impl Scenario for ExchangeRate {
    fn name(&self) -> &'static str {
        "exchange_rate"
    }

    fn env(&self) -> Vec<(&'static str, String)> {
        vec![("RATE_TTL_MS", TTL_MS.to_string())]
    }

    fn upstream(&self) -> Option<&'static str> {
        Some("UPSTREAM_URL")
    }

    fn runs(&self) -> Vec<Measured> {
        let rate = |operation, mean_ms, p99_ms| Target {
            operation,
            reference: "none",
            mean_ms: Some(mean_ms),
            p99_ms: Some(p99_ms),
            ..Target::default()
        };
        let reads = |target| Measured { mode: Mode::Open { rate: 200.0 }, seconds: 10, targets: vec![target] };
        // A reader that begins a load waits 100 ms for it, if there is a stale rate.
        let slow = reads(rate("rate, service slow", 5.0, 120.0));
        vec![reads(rate("rate", 5.0, 50.0)), slow, reads(rate("rate, service down", 5.0, 120.0))]
    }

    async fn begin_run(&self, api: &Api, number: usize) -> anyhow::Result<()> {
        self.run.store(number, Ordering::Relaxed);
        match number {
            SLOW => set_mode(api, "slow").await,
            DOWN => {
                self.outages.fetch_add(1, Ordering::Relaxed);
                set_mode(api, "down").await
            }
            _ => Ok(()),
        }
    }

    async fn prepare(&self, api: &Api) -> anyhow::Result<()> {
        for pair in (0..HOT).filter_map(pair) {
            api.get(&format!("/rates/{pair}")).await?.expect(200)?;
        }
        Ok(())
    }

    async fn turn(&self, turn: &mut Turn) -> anyhow::Result<()> {
        let hot = pair(turn.number % HOT).context("there is no such pair")?;
        match (self.run.load(Ordering::Relaxed), turn.number) {
            (MIXED, number) if number % OUTAGE_EVERY == OUTAGE_AT => self.outage(turn).await,
            (MIXED, number) if number % CROWD_EVERY == 0 => self.crowd(turn).await,
            (SLOW, _) => self.read(turn, "rate, service slow", &hot).await.map(drop),
            (DOWN, _) => self.read(turn, "rate, service down", &hot).await.map(drop),
            _ => self.read(turn, "rate", &hot).await.map(drop),
        }
    }

    async fn check(&self, api: &Api) -> anyhow::Result<Vec<Check>> {
        set_mode(api, "up").await?;
        let calls = api.upstream().get("/upstream/calls").await?.expect(200)?;
        let calls: Vec<Call> = serde_json::from_value(calls.body["calls"].clone())?;
        let answers = std::mem::take(&mut *lock(&self.answers));
        let crowds = std::mem::take(&mut *lock(&self.crowds));
        let mut of_pair: HashMap<&str, Vec<&Call>> = HashMap::new();
        for call in &calls {
            of_pair.entry(&call.pair).or_default().push(call);
        }
        let of_pair = |pair: &str| of_pair.get(pair).map_or(&[] as &[_], Vec::as_slice);

        let (mut wrong, mut old, mut stale) = (0, 0, 0);
        for Seen { pair, rate, fetched_at_ms, is_stale, between_ms } in &answers {
            // The call that brought the rate, by the service's own account.
            let arrivals = *fetched_at_ms..=fetched_at_ms + CALL_TIMEOUT_MS;
            let call =
                of_pair(pair).iter().find(|call| call.rate_millionths == Some(*rate) && arrivals.contains(&call.at_ms));
            let is_old = call.is_some_and(|call| call.at_ms + TTL_MS < between_ms.0);
            let may_be_old = fetched_at_ms + TTL_MS < between_ms.1;
            wrong += u64::from(call.is_none());
            old += u64::from(if *is_stale { !may_be_old } else { is_old });
            stale += u64::from(*is_stale);
        }
        let at_ms: Vec<u64> = calls.iter().map(|call| call.at_ms).collect();
        let busiest = at_ms
            .iter()
            .enumerate()
            .map(|(nth, at)| at_ms[nth..].iter().take_while(|other| **other < at + 1_000).count());
        let busiest = busiest.max().unwrap_or_default();
        // After a time-out, or shortly before the rate is stale, there is another call. While
        // processes are killed, each may make one of its own.
        let each = if api.retries() { 4 } else { 1 };
        let many = crowds.iter().filter(|(pair, (start, end))| {
            let count = of_pair(pair).iter().filter(|call| (*start..=*end).contains(&call.at_ms)).count();
            count == 0 || count as u64 > each * (1 + (end - start) * 4 / (TTL_MS * 3))
        });
        let many: Vec<_> = many.map(|(pair, _)| pair).collect();
        let outages = self.outages.load(Ordering::Relaxed);
        let is_mixed = self.run.load(Ordering::Relaxed) == MIXED;
        let mut invariants = vec![
            Check::count(
                format!("each of {} rates is one that the service gave; {wrong} are not", answers.len()),
                wrong == 0,
            ),
            Check::count(
                format!("{stale} rates were marked stale, in {outages} outages and after; the mark of {old} was wrong"),
                old == 0 && stale > 0,
            ),
            Check::count(
                format!("at most {busiest} of {} calls in one second, and {QUOTA} allowed", calls.len()),
                busiest <= QUOTA,
            ),
        ];
        if is_mixed {
            invariants.push(Check::count(
                format!("each of {} crowds of {CROWD} made one call; {}", crowds.len(), counted(&many, "did not")),
                many.is_empty() && !crowds.is_empty() && outages > 0,
            ));
        }
        Ok(invariants)
    }
}
