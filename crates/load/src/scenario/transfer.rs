//! Users that send amounts to one another. Some amounts go to a missing account and some exceed all
//! that there is.

use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, ensure};
use async_trait::async_trait;
use serde_json::json;

use super::definition::{Measured, Scenario};
use super::helpers::{counted, settled, unique};
use crate::driver::{Mode, Turn};
use crate::lock::lock;
use crate::{Api, Check};

const ACCOUNTS: usize = 64;
/// Opening balance of each account.
const OPENING: u64 = 1_000;
const MAX_AMOUNT: u64 = 100;
/// Interval between transfers that go to an account that does not exist, or exceed all that there
/// is.
const REFUSED_EVERY: u64 = 16;
/// Interval between transfers that are sent again.
const REPEATED_EVERY: u64 = 8;
/// Time after which nothing that killed processes have left is in transit.
const SETTLED: Duration = Duration::from_secs(15);

pub(super) struct Transfer {
    prefix: String,
    /// Sum of all deposits before the first turn.
    deposited: Mutex<i64>,
    answered: Mutex<Answered>,
}

/// Content of the answers.
struct Answered {
    transfers: u64,
    /// Change of each account.
    changes: Vec<i64>,
}

impl Default for Transfer {
    fn default() -> Self {
        let answered = Answered { transfers: 0, changes: vec![0; ACCOUNTS] };
        Self { prefix: unique(), deposited: Mutex::default(), answered: Mutex::new(answered) }
    }
}

impl Transfer {
    fn account(&self, number: usize) -> String {
        format!("{}-{number}", self.prefix)
    }

    /// A transfer that cannot be made.
    async fn refusal(&self, turn: &mut Turn, from: usize) -> anyhow::Result<()> {
        let (api, key) = (turn.api.clone(), turn.number.to_string());
        let path = format!("/accounts/{}/transfers", self.account(from));
        let (body, status) = if turn.number.is_multiple_of(2 * REFUSED_EVERY) {
            (json!({ "to": format!("{}-nobody", self.prefix), "amount": 1 }), [404, 409])
        } else {
            let too_much = ACCOUNTS as u64 * OPENING + 1;
            (json!({ "to": self.account((from + 1) % ACCOUNTS), "amount": too_much }), [409, 409])
        };
        let answer = turn.call("refusal", api.post(&path, Some(&key), &body)).await?;
        ensure!(status.contains(&answer.status.as_u16()), "{body} was answered {} {}", answer.status, answer.body);
        Ok(())
    }
}

#[async_trait]
impl Scenario for Transfer {
    fn name(&self) -> &'static str {
        "transfer"
    }

    fn runs(&self) -> Vec<Measured> {
        vec![
            Measured { mode: Mode::Open { rate: 500.0 }, seconds: 10, targets: Vec::new() },
            Measured { mode: Mode::Closed { users: 64 }, seconds: 5, targets: Vec::new() },
        ]
    }

    async fn prepare(&self, api: &Api) -> anyhow::Result<()> {
        *lock(&self.deposited) = api.get("/totals").await?.expect(200)?.number("deposited")?;
        for number in 0..ACCOUNTS {
            let path = format!("/accounts/{}/deposits", self.account(number));
            api.post(&path, Some("opening"), &json!({ "amount": OPENING })).await?.expect(201)?;
        }
        Ok(())
    }

    async fn turn(&self, turn: &mut Turn) -> anyhow::Result<()> {
        let random = turn.shuffled() >> 16;
        let from = usize::try_from(random)? % ACCOUNTS;
        if turn.number.is_multiple_of(REFUSED_EVERY) {
            return self.refusal(turn, from).await;
        }
        let to = (from + 1 + usize::try_from(random / 1_000)? % (ACCOUNTS - 1)) % ACCOUNTS;
        let amount = 1 + random / 100 % MAX_AMOUNT;
        let (api, key) = (turn.api.clone(), turn.number.to_string());
        let path = format!("/accounts/{}/transfers", self.account(from));
        let body = json!({ "to": self.account(to), "amount": amount });
        let answer = turn.call("transfer", api.post(&path, Some(&key), &body)).await?;
        if answer.status == 409 {
            // The account has less.
            return Ok(());
        }
        let balance = answer.expect(201)?.number("balance")?;
        {
            let mut answered = lock(&self.answered);
            answered.transfers += 1;
            answered.changes[from] -= i64::try_from(amount)?;
            answered.changes[to] += i64::try_from(amount)?;
        }
        if turn.number % REPEATED_EVERY == 1 {
            let again = turn.call("repeat", api.post(&path, Some(&key), &body)).await?.expect(201)?;
            ensure!(again.number("balance")? == balance, "{balance} left, then {}", again.body);
            let other = json!({ "to": self.account(to), "amount": amount + 1 });
            turn.call("refusal", api.post(&path, Some(&key), &other)).await?.expect(422)?;
        }
        Ok(())
    }

    async fn check(&self, api: &Api) -> anyhow::Result<Vec<Check>> {
        let totals = settled(api, "/totals", SETTLED, |totals| totals["in_transit"] == 0).await?;
        let deposited = totals.number("deposited")? - *lock(&self.deposited);
        let in_transit = totals.number("in_transit")?;
        let mut balances = Vec::with_capacity(ACCOUNTS);
        for number in 0..ACCOUNTS {
            let account = api.get(&format!("/accounts/{}", self.account(number))).await?.expect(200)?;
            balances.push(account.number("balance")?);
        }
        let sum: i64 = balances.iter().sum();
        let opening = i64::try_from(OPENING)?;
        let deposits = i64::try_from(ACCOUNTS)? * opening;
        let answered = lock(&self.answered);
        let compared = answered.changes.iter().map(|change| opening + change).zip(&balances).enumerate();
        let wrong = compared.filter(|(_, (expected, balance))| expected != *balance);
        let wrong: Vec<_> = wrong
            .map(|(number, (expected, balance))| format!("account {number} with {balance}, not {expected}"))
            .collect();
        let lowest = balances.iter().min().context("there is no account")?;
        Ok(vec![
            Check::count(
                format!("balances {sum} + in transit {in_transit} = deposits {deposits}"),
                sum + in_transit == deposits && deposited == deposits,
            ),
            Check::count(
                format!("{in_transit} left in transit, and no balance below zero: the lowest is {lowest}"),
                in_transit == 0 && *lowest >= 0,
            ),
            Check::count(
                format!(
                    "each of {} acknowledged transfers arrived once; of {ACCOUNTS} balances {}",
                    answered.transfers,
                    counted(&wrong, "differ")
                ),
                wrong.is_empty() && answered.transfers > 0,
            ),
        ])
    }
}
