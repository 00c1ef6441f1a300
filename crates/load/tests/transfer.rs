//! A process dies within transfers, and no client repeats its request.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test ends where it is surprised")]

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use tidegate_load::Api;
use tidegate_testkit::redis::RedisServer;
use tidegate_testkit::{Process, binary, poll_until, scale};

const LONG: Duration = Duration::from_secs(30);
const PAIRS: usize = 200;
const OPENING: u64 = 1_000;
const AMOUNT: u64 = 10;
/// Transfers that are acknowledged when the process is killed.
const SOME: usize = 20;

struct Bank(Api);

impl Bank {
    async fn of(process: &mut Process) -> Self {
        Self(Api::of(process).await.unwrap())
    }

    async fn get(&self, path: &str) -> Option<Value> {
        self.0.get(path).await.ok().map(|answer| answer.body)
    }

    /// Whether the request was acknowledged.
    async fn post(&self, path: &str, key: &str, body: Value) -> bool {
        self.0.post(path, Some(key), &body).await.is_ok_and(|answer| answer.status == 201)
    }

    async fn balance(&self, account: String) -> u64 {
        self.get(&format!("/accounts/{account}")).await.unwrap()["balance"].as_u64().unwrap()
    }

    /// Each first account of a pair sends an amount to the second one. Returns which transfers were
    /// acknowledged; `kill` is called as soon as some of them were.
    async fn transfer(&self, key: &str, mut kill: impl FnMut()) -> Vec<bool> {
        let transfers = (0..PAIRS).map(async |pair| {
            let body = json!({ "to": format!("to-{pair}"), "amount": AMOUNT });
            (pair, self.post(&format!("/accounts/from-{pair}/transfers"), key, body).await)
        });
        let mut transfers: FuturesUnordered<_> = transfers.collect();
        let (mut acknowledged, mut count) = (vec![false; PAIRS], 0);
        while let Some((pair, is_acknowledged)) = transfers.next().await {
            acknowledged[pair] = is_acknowledged;
            count += usize::from(is_acknowledged);
            if is_acknowledged && count == SOME {
                kill();
            }
        }
        acknowledged
    }
}

#[tokio::test]
async fn transfers_of_a_killed_process_happen_on_both_sides_or_on_neither() {
    let redis = RedisServer::start().await;
    let process = Process::builder(binary("examples/transfer")).env("PORT", "0").env("REDIS_URL", redis.url());
    let mut process = process.start().unwrap();
    let mut bank = Bank::of(&mut process).await;
    for side in ["from", "to"] {
        join_all((0..PAIRS).map(async |pair| {
            let path = format!("/accounts/{side}-{pair}/deposits");
            assert!(bank.post(&path, "opening", json!({ "amount": OPENING })).await);
        }))
        .await;
    }

    let mut sent = vec![0; PAIRS];
    for round in 0..scale(4, 20) {
        let kill = || {
            process.kill9().unwrap();
        };
        let acknowledged = bank.transfer(&round.to_string(), kill).await;
        process.restart().unwrap();
        bank = Bank::of(&mut process).await;
        let is_settled = |totals: &Value| totals["in_transit"] == 0;
        let totals = poll_until(LONG, async || bank.get("/totals").await.filter(is_settled)).await.unwrap();
        assert_eq!(totals["deposited"], json!(2 * PAIRS as u64 * OPENING));

        let mut unanswered = 0;
        for pair in 0..PAIRS {
            let (from, to) = (bank.balance(format!("from-{pair}")).await, bank.balance(format!("to-{pair}")).await);
            assert_eq!(from + to, 2 * OPENING, "pair {pair}: {from} and {to}");
            let moved = to - OPENING - sent[pair];
            assert!(moved == AMOUNT || moved == 0 && !acknowledged[pair], "pair {pair}: {moved} were moved");
            unanswered += usize::from(moved == AMOUNT && !acknowledged[pair]);
            sent[pair] += moved;
        }
        let count = acknowledged.iter().filter(|acknowledged| **acknowledged).count();
        let completed = process.log().find(|line| line.starts_with("completed")).unwrap_or_default();
        println!("{count} transfers were acknowledged, {unanswered} happened without an answer; {completed}");
    }
}
