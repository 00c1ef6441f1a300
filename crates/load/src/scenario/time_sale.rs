//! 10,000 pieces for 1,000 users at once and 12,000 orders more, then 300,000 pieces. One order in
//! eight is not paid.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::bail;
use async_trait::async_trait;
use reqwest::Method;
use serde_json::{Value, json};

use super::definition::{Measured, Scenario, Target};
use super::helpers::settled;
use crate::driver::{Mode, Turn};
use crate::{Answer, Api, Check};

const USERS: u64 = 1_000;
/// Interval, in orders, between orders that are not paid for. Such an order gives its piece back.
const UNPAID: u64 = 8;

const PIECES: i64 = 10_000;
/// Pieces that the last run and one of the caller begin with: they measure sales, not refusals.
const MORE: i64 = 300_000;
const LAST: usize = 2;
/// Time in which unpaid orders give their pieces back.
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(30);

/// Answers to the orders.
#[derive(Default)]
pub(super) struct TimeSale {
    paid: AtomicI64,
    /// Pieces added before the last run.
    added: AtomicI64,
}

#[async_trait]
impl Scenario for TimeSale {
    fn name(&self) -> &'static str {
        "time_sale"
    }

    fn env(&self) -> Vec<(&'static str, String)> {
        vec![("PAY_WITHIN_SECONDS", "2".to_owned())]
    }

    fn runs(&self) -> Vec<Measured> {
        let order = Target {
            operation: "order",
            reference: "mean 45, P95 85, P99 120 ms at 357/s",
            mean_ms: Some(5.0),
            p95_ms: Some(9.0),
            p99_ms: Some(12.0),
            ..Target::default()
        };
        let fast = Target {
            operation: "order",
            reference: "1,200/s at most",
            per_second: Some(12_000.0),
            ..Target::default()
        };
        vec![
            Measured { mode: Mode::AtOnce { users: USERS }, seconds: 1, targets: Vec::new() },
            Measured { mode: Mode::Open { rate: 1_200.0 }, seconds: 10, targets: vec![order] },
            Measured { mode: Mode::Closed { users: 64 }, seconds: 5, targets: vec![fast] },
        ]
    }

    async fn begin_run(&self, api: &Api, number: usize) -> anyhow::Result<()> {
        if number == LAST {
            api.send(Method::PUT, "/stock/second", None, Some(&json!({ "pieces": MORE }))).await?.expect(200)?;
            self.added.store(MORE, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn begin_given_run(&self, api: &Api) -> anyhow::Result<()> {
        self.begin_run(api, LAST).await
    }

    async fn turn(&self, turn: &mut Turn) -> anyhow::Result<()> {
        let (api, number) = (turn.api.clone(), turn.number);
        let user = format!("user-{}", number % USERS);
        let body = json!({ "user": user, "quantity": 1 });
        let name = |answer: &anyhow::Result<Answer>| {
            if answer.as_ref().is_ok_and(|answer| answer.status == 409) { "order, sold out" } else { "order" }
        };
        let answer = turn.call_named(name, api.post("/orders", Some(&number.to_string()), &body)).await?;
        match answer.status.as_u16() {
            // Sold out.
            409 => return Ok(()),
            201 => {}
            status => bail!("an order was answered {status}: {}", answer.body),
        }
        if number % UNPAID == 0 {
            return Ok(());
        }
        let path = format!("/orders/{user}:{number}/payment");
        let answer = turn.call("pay", api.post(&path, None, &Value::Null)).await?;
        match answer.status.as_u16() {
            200 => {
                self.paid.fetch_add(1, Ordering::Relaxed);
            }
            // Too late: the piece was given back.
            409 => {}
            status => bail!("a payment was answered {status}: {}", answer.body),
        }
        Ok(())
    }

    async fn check(&self, api: &Api) -> anyhow::Result<Vec<Check>> {
        let stock = settled(api, "/stock", GIVEN_BACK_WITHIN, |stock| stock["reserved"] == 0).await?;
        let (available, reserved) = (stock.number("available")?, stock.number("reserved")?);
        let (sold, total) = (stock.number("sold")?, stock.number("total")?);
        let paid = self.paid.load(Ordering::Relaxed);
        let pieces = PIECES + self.added.load(Ordering::Relaxed);
        Ok(vec![
            Check::count(format!("0 oversold: {sold} of {pieces} are sold"), sold <= pieces && total == pieces),
            Check::count(format!("each paid order is sold: {paid} and {sold}"), paid == sold && paid > 0),
            Check::count(
                format!("unpaid orders gave their pieces back: {available} available, {reserved} reserved"),
                reserved == 0 && available + sold == pieces,
            ),
        ])
    }
}
