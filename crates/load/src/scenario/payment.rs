//! 50 callers pay for one order at once; and locks, some of which another caller holds.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use anyhow::ensure;
use async_trait::async_trait;
use serde_json::{Value, json};

use super::definition::{Measured, Scenario, Target};
use super::helpers::unique;
use crate::driver::{Mode, Turn};
use crate::lock::lock;
use crate::{Api, Check};

const CALLERS: u64 = 50;
/// Users whom the example creates.
const USERS: u64 = 1_000;
/// Locks for [`LOCKERS`] users: about 15 % of the acquisitions find theirs held.
const LOCKS: u64 = 4;
const LOCKERS: u64 = 2;
/// Interval between payments, in turns, if the scenario has no run of its own.
const PAYMENT_EVERY: u64 = 20;

/// The run in progress.
const PAYING: usize = 0;
const LOCKING: usize = 1;
const MIXED: usize = 2;

/// Answers that the callers received.
pub(super) struct Payment {
    prefix: String,
    run: AtomicUsize,
    /// State of the accounts before the first turn.
    opening: Mutex<Value>,
    payments: AtomicI64,
    paid: AtomicI64,
    locked: AtomicU64,
    contended: AtomicU64,
    /// Tokens given for each lock.
    tokens: Mutex<HashMap<u64, BTreeSet<i64>>>,
}

impl Default for Payment {
    fn default() -> Self {
        Self {
            prefix: unique(),
            run: AtomicUsize::new(MIXED),
            opening: Mutex::default(),
            payments: AtomicI64::default(),
            paid: AtomicI64::default(),
            locked: AtomicU64::default(),
            contended: AtomicU64::default(),
            tokens: Mutex::default(),
        }
    }
}

impl Payment {
    async fn pay(&self, turn: &mut Turn) -> anyhow::Result<()> {
        let (api, number) = (turn.api.clone(), turn.number);
        let amount = 1 + number % 100;
        let order = format!("{}-{number}", self.prefix);
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let user = format!("user-{}", (number * CALLERS + caller) % USERS);
                let body = json!({ "order": order, "user": user, "amount": amount });
                (format!("{order}-{caller}"), body)
            })
            .collect();
        let posts = callers.iter().map(|(key, body)| api.post("/payments", Some(key), body));
        let answers = turn.call_at_once("pay", posts).await?;
        let mut winner = None;
        for ((key, body), answer) in callers.iter().zip(answers) {
            match answer.status.as_u16() {
                201 => ensure!(winner.replace((key, body)).is_none(), "{order} was paid for twice"),
                409 => {}
                status => anyhow::bail!("a payment was answered {status}: {}", answer.body),
            }
        }
        let Some((key, body)) = winner else { anyhow::bail!("nobody paid for {order}") };
        self.payments.fetch_add(1, Ordering::Relaxed);
        self.paid.fetch_add(i64::try_from(amount)?, Ordering::Relaxed);
        // The same request again has the same answer.
        let again = turn.call("repeat", api.post("/payments", Some(key), body)).await?.expect(201)?;
        ensure!(again.body["paid"] == *body, "the repeat was answered {}", again.body);
        Ok(())
    }

    async fn lock(&self, turn: &mut Turn) -> anyhow::Result<()> {
        // While processes are killed each second, a queue of waiters would hardly move: one that
        // died holds the others up for a second.
        let name = if self.run.load(Ordering::Relaxed) == MIXED { turn.number } else { turn.shuffled() % LOCKS };
        let before = lock(&self.tokens).entry(name).or_default().last().copied();
        let path = format!("/locks/{}-{name}", self.prefix);
        let api = turn.api.clone();
        let answer = turn.call("lock", api.post(&path, None, &Value::Null)).await?.expect(200)?;
        let token = answer.number("fence")?;
        ensure!(before.is_none_or(|before| token > before), "lock {name}: token {token} after {before:?}");
        ensure!(lock(&self.tokens).entry(name).or_default().insert(token), "lock {name}: token {token} came twice");
        self.locked.fetch_add(1, Ordering::Relaxed);
        self.contended.fetch_add(u64::from(answer.body["contended"] == true), Ordering::Relaxed);
        Ok(())
    }
}

#[async_trait]
impl Scenario for Payment {
    fn name(&self) -> &'static str {
        "payment"
    }

    fn runs(&self) -> Vec<Measured> {
        let locks = Target {
            operation: "lock",
            reference: "mean 5 ms, 15 % contended, 99.8 % of retries succeed",
            mean_ms: Some(0.5),
            ..Target::default()
        };
        vec![
            Measured { mode: Mode::Closed { users: 1 }, seconds: 5, targets: Vec::new() },
            Measured { mode: Mode::Closed { users: LOCKERS }, seconds: 5, targets: vec![locks] },
        ]
    }

    async fn begin_run(&self, _api: &Api, number: usize) -> anyhow::Result<()> {
        self.run.store(number, Ordering::Relaxed);
        Ok(())
    }

    async fn prepare(&self, api: &Api) -> anyhow::Result<()> {
        let totals = api.get("/totals").await?.expect(200)?;
        *lock(&self.opening) = totals.body;
        Ok(())
    }

    async fn turn(&self, turn: &mut Turn) -> anyhow::Result<()> {
        match self.run.load(Ordering::Relaxed) {
            PAYING => self.pay(turn).await,
            LOCKING => self.lock(turn).await,
            _ if turn.number.is_multiple_of(PAYMENT_EVERY) => self.pay(turn).await,
            _ => self.lock(turn).await,
        }
    }

    async fn check(&self, api: &Api) -> anyhow::Result<Vec<Check>> {
        let totals = api.get("/totals").await?.expect(200)?;
        let opening = lock(&self.opening).clone();
        let since = |field: &str| Ok::<_, anyhow::Error>(totals.number(field)? - opening[field].as_i64().unwrap_or(0));
        let (payments, paid, debited) = (since("payments")?, since("paid")?, since("debited")?);
        let (answered, amount) = (self.payments.load(Ordering::Relaxed), self.paid.load(Ordering::Relaxed));
        let (locked, contended) = (self.locked.load(Ordering::Relaxed), self.contended.load(Ordering::Relaxed));
        let tokens: usize = lock(&self.tokens).values().map(BTreeSet::len).sum();
        let mut invariants = vec![
            Check::count(
                format!("each of {answered} orders was paid for once by {CALLERS} callers: {payments} payments"),
                payments == answered && answered > 0,
            ),
            Check::count(
                format!("the accounts were debited once: {debited} for orders of {amount}"),
                debited == amount && paid == amount,
            ),
            Check::count(
                format!("{locked} locks were acquired with {tokens} tokens, each above those before"),
                tokens as u64 == locked,
            ),
        ];
        if self.run.load(Ordering::Relaxed) == LOCKING {
            let share = contended * 100 / locked.max(1);
            let says = format!("{share} % of the locks were held by another caller, and all were acquired");
            invariants.push(Check::count(says, (10..=25).contains(&share)));
        }
        Ok(invariants)
    }
}
