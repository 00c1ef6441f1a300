//! Users that all want a coupon of a campaign at the same moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{bail, ensure};
use async_trait::async_trait;
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use super::definition::{Measured, Scenario, Target};
use super::helpers::{settled, unique};
use crate::driver::{Mode, Turn};
use crate::lock::lock;
use crate::{Answer, Api, Check};

/// Users whom the example creates.
const USERS: u64 = 10_000;
/// The campaign of each run, and its coupons: enough for all, for half of them, for all, for all.
const CAMPAIGNS: [(&str, u64); 4] = [("100-users", 100), ("1000-users", 500), ("steady", USERS), ("closed", USERS)];
/// In a run that the caller describes, each campaign has coupons for all users. A user that has one
/// takes one of the next campaign.
const GIVEN: usize = 5;
/// Number of users that want a coupon of one campaign one after the other, if the scenario has no
/// run of its own. There are fewer coupons, and each user sends two requests.
const MIXED: usize = 4;
const MIXED_USERS: u64 = 100;
const MIXED_COUPONS: u64 = 75;
const WARM_UP_USERS: u64 = 500;

/// Time after which everything is settled: a reservation expires after two seconds.
const SETTLED: Duration = Duration::from_secs(15);

/// Answers that the users of a campaign received.
#[derive(Default)]
struct Campaign {
    coupons: u64,
    have: BTreeSet<u64>,
    refused: BTreeSet<u64>,
}

pub(super) struct Coupons {
    prefix: String,
    run: AtomicUsize,
    campaigns: Mutex<BTreeMap<String, Campaign>>,
}

impl Default for Coupons {
    fn default() -> Self {
        Self { prefix: unique(), run: AtomicUsize::new(MIXED), campaigns: Mutex::default() }
    }
}

impl Coupons {
    fn campaigns(&self) -> MutexGuard<'_, BTreeMap<String, Campaign>> {
        lock(&self.campaigns)
    }

    /// A campaign of a run that the caller describes.
    fn given(&self, number: u64) -> String {
        format!("{}-given-{number}", self.prefix)
    }

    /// Creates a campaign, unless it has been.
    async fn create(&self, api: &Api, campaign: &str, coupons: u64) -> anyhow::Result<()> {
        let body = json!({ "campaign": campaign, "coupons": coupons });
        api.post("/campaigns", None, &body).await?.expect(201)?;
        self.campaigns().entry(campaign.to_owned()).or_default().coupons = coupons;
        Ok(())
    }
}

#[async_trait]
impl Scenario for Coupons {
    fn name(&self) -> &'static str {
        "coupons"
    }

    fn env(&self) -> Vec<(&'static str, String)> {
        vec![("HOLD_SECONDS", "2".to_owned())]
    }

    fn runs(&self) -> Vec<Measured> {
        let issue = Target {
            operation: "issue",
            reference: "mean 95, P95 180, P99 320 ms at 33/s, 99.5 % succeed",
            mean_ms: Some(10.0),
            p95_ms: Some(18.0),
            p99_ms: Some(32.0),
            ..Target::default()
        };
        let often = Target { operation: "issue", reference: "33/s", per_second: Some(330.0), ..Target::default() };
        vec![
            Measured { mode: Mode::AtOnce { users: 100 }, seconds: 1, targets: vec![issue.clone()] },
            Measured { mode: Mode::AtOnce { users: 1_000 }, seconds: 1, targets: Vec::new() },
            Measured { mode: Mode::Open { rate: 330.0 }, seconds: 5, targets: vec![issue] },
            Measured { mode: Mode::Closed { users: 32 }, seconds: 3, targets: vec![often] },
        ]
    }

    async fn begin_run(&self, _api: &Api, number: usize) -> anyhow::Result<()> {
        self.run.store(number, Ordering::Relaxed);
        Ok(())
    }

    async fn begin_given_run(&self, api: &Api) -> anyhow::Result<()> {
        self.create(api, &self.given(0), USERS).await?;
        self.begin_run(api, GIVEN).await
    }

    /// Creates the campaigns. The users then request coupons of another one, so that the measured
    /// requests find the connections of a service that has been running.
    async fn prepare(&self, api: &Api) -> anyhow::Result<()> {
        for (name, coupons) in CAMPAIGNS {
            self.create(api, &format!("{}-{name}", self.prefix), coupons).await?;
        }
        let path = &format!("/campaigns/{}-warm-up/coupons", self.prefix);
        let body = json!({ "campaign": format!("{}-warm-up", self.prefix), "coupons": USERS });
        api.post("/campaigns", None, &body).await?.expect(201)?;
        for users in (0..WARM_UP_USERS).collect::<Vec<_>>().chunks(100) {
            let bodies = users.iter().map(|user| json!({ "user": format!("user-{user}") }));
            try_join_all(bodies.map(|body| async move { api.post(path, None, &body).await?.expect(201) })).await?;
        }
        Ok(())
    }

    async fn turn(&self, turn: &mut Turn) -> anyhow::Result<()> {
        let (api, user) = (turn.api.clone(), turn.number % USERS);
        let (campaign, requests) = match self.run.load(Ordering::Relaxed) {
            run if run < CAMPAIGNS.len() => (format!("{}-{}", self.prefix, CAMPAIGNS[run].0), 1),
            GIVEN => {
                let campaign = self.given(turn.number / USERS);
                if !self.campaigns().contains_key(&campaign) {
                    self.create(&api, &campaign, USERS).await?;
                }
                (campaign, 1)
            }
            _ => {
                let campaign = format!("{}-{}", self.prefix, turn.number / MIXED_USERS);
                self.create(&api, &campaign, MIXED_COUPONS).await?;
                (campaign, 2)
            }
        };
        let path = format!("/campaigns/{campaign}/coupons");
        let body = json!({ "user": format!("user-{user}") });
        let posts = (0..requests).map(|_| api.post(&path, None, &body));
        for answer in turn.call_at_once("issue", posts).await? {
            let mut campaigns = self.campaigns();
            let known = campaigns.entry(campaign.clone()).or_default();
            match answer.status.as_u16() {
                201 => {
                    ensure!(answer.body["coupon"] == format!("{campaign}/user-{user}"), "{}", answer.body);
                    known.have.insert(user);
                }
                409 => {
                    known.refused.insert(user);
                }
                status => bail!("a wish was answered {status}: {}", answer.body),
            }
        }
        Ok(())
    }

    async fn check(&self, api: &Api) -> anyhow::Result<Vec<Check>> {
        let names: Vec<_> = self.campaigns().keys().cloned().collect();
        let mut broken = Vec::new();
        let (mut issued, mut users) = (0, 0);
        for name in &names {
            // Killed processes leave reservations and rows, which are completed or expire.
            let is_settled = |counts: &Value| counts["reserved"] == 0 && counts["unsettled_rows"] == 0;
            let counts = settled(api, &format!("/campaigns/{name}"), SETTLED, is_settled).await?;
            let campaigns = self.campaigns();
            let Some(campaign) = campaigns.get(name) else { continue };
            issued += counts.number("issued")?;
            users += campaign.have.len();
            broken.extend(campaign.broken(&counts)?.into_iter().map(|says| format!("{name}: {says}")));
        }
        let mut invariants = vec![Check::count(
            format!(
                "{} campaigns: {users} users have the {issued} issued coupons, none has two, SQL and Redis agree",
                names.len()
            ),
            broken.is_empty() && issued > 0,
        )];
        invariants.extend(broken.into_iter().map(|says| Check::count(says, false)));
        Ok(invariants)
    }
}

impl Campaign {
    /// Returns the violations, if the counts of the example do not fit the answers.
    fn broken(&self, counts: &Answer) -> anyhow::Result<Vec<String>> {
        let [issued, remaining, reserved, rows, unsettled] =
            ["issued", "remaining", "reserved", "rows", "unsettled_rows"].map(|field| counts.number(field));
        let (issued, remaining, reserved, rows, unsettled) = (issued?, remaining?, reserved?, rows?, unsettled?);
        let (coupons, have) = (i64::try_from(self.coupons)?, i64::try_from(self.have.len())?);
        let is_refused = self.refused.difference(&self.have).next().is_some();
        let rules = [
            (reserved == 0 && unsettled == 0, format!("{reserved} reserved, {unsettled} rows not settled")),
            (remaining >= 0 && issued + remaining == coupons, format!("{issued} + {remaining} of {coupons} coupons")),
            (have == issued, format!("{have} users have {issued} coupons")),
            (rows == issued, format!("{rows} rows in SQL, {issued} issued in Redis")),
            (!is_refused || remaining == 0, format!("users were refused, and {remaining} coupons remain")),
        ];
        Ok(rules.into_iter().filter(|(holds, _)| !holds).map(|(_, says)| says).collect())
    }
}
