//! Mixed traffic of many users through the proxy of a [`Topology`], and the
//! answers.

mod follow;
mod ledger;
mod operation;
mod options;
mod patient_json;
mod sample;
mod shared;
mod tenant;
mod verify;

use std::collections::BTreeMap;
use std::iter::successors;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use self::follow::Followers;
use self::ledger::Ledger;
pub use self::options::{TrafficOptions, USERS_PER_TENANT};
pub use self::sample::{Class, Group, Sample, Summary};
use self::shared::Shared;
use self::tenant::Tenant;
pub use self::verify::Verdict;
use crate::Topology;
use crate::arrivals::{Arrivals, InFlight};
use crate::lock::lock;

/// Seconds between two requests of one user, on average.
pub const THINK_SECONDS: f64 = 2.0;
/// A stretch of time in which the number of users goes from one value to another.
#[derive(Clone, Copy, Debug)]
pub struct Stage {
    /// Its name in reports.
    pub name: &'static str,
    /// Its length in seconds.
    pub seconds: f64,
    /// Users at its begin.
    pub from: f64,
    /// Users at its end.
    pub to: f64,
}

/// The users, their requests and the answers. Cheap to clone.
#[derive(Clone)]
pub struct Traffic(Arc<Shared>);

impl Traffic {
    /// Creates the tenants of all users through the proxy.
    ///
    /// # Errors
    ///
    /// A tenant cannot be created.
    pub async fn prepare(topology: &Topology, options: TrafficOptions) -> anyhow::Result<Self> {
        let url = topology.proxy.url();
        let admin = topology.proxy.client()?.build()?;
        let make = async |kind: &'static str, tier, users: usize, network: u8| {
            let mut tenants = Vec::new();
            for number in 0..users.div_ceil(USERS_PER_TENANT) {
                let id = format!("{kind}-{number}");
                let client = tenant::client(topology.proxy.client()?, network, number)?;
                let key = tenant::create(&admin, &url, topology.admin_token(), &id, tier).await?;
                tenants.push(Tenant::new(id, url.clone(), key, client));
            }
            anyhow::Ok(tenants)
        };
        let normal = make("normal", "enterprise", options.users, 1).await?;
        let crowd = make("crowd", "premium", options.crowd, 2).await?;
        let shared = Shared {
            normal,
            crowd,
            options,
            began: Instant::now(),
            next: AtomicU64::new(0),
            admin,
            url,
            token: topology.admin_token().to_owned(),
            samples: Mutex::default(),
            examples: Mutex::default(),
            ledger: Ledger::default(),
            following: watch::channel(0).0,
            is_finished: AtomicBool::new(false),
        };
        Ok(Self(Arc::new(shared)))
    }

    /// Seconds since the start.
    pub fn now(&self) -> f64 {
        self.0.began.elapsed().as_secs_f64()
    }

    /// Sends requests of the normal users through these stages, open loop, and waits for all
    /// answers. One tenth of the users has an open event stream.
    pub async fn run(&self, stages: &[Stage]) {
        let followers = Followers::start(&self.0);
        for stage in stages {
            self.send(Group::Normal, *stage, |users| users / THINK_SECONDS).await;
        }
        followers.stop().await;
    }

    /// Ends [`run`](Self::run) before its time.
    pub fn finish(&self) {
        self.0.is_finished.store(true, Ordering::Relaxed);
    }

    /// Sends requests of the crowd, `rate` a second.
    pub async fn crowd(&self, rate: f64, length: Duration) {
        let users = self.0.options.crowd as f64;
        let stage = Stage { name: "crowd", seconds: length.as_secs_f64(), from: users, to: users };
        self.send(Group::Crowd, stage, move |_| rate).await;
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "users are a small positive number")]
    async fn send(&self, group: Group, stage: Stage, rate: impl Fn(f64) -> f64 + Send + 'static) {
        let users_at = move |offset: f64| stage.from + (stage.to - stage.from) * offset / stage.seconds;
        // At the foot of a ramp there is at least one request in a second.
        let offsets = successors(Some(0.0), move |offset| Some(offset + 1.0 / rate(users_at(*offset)).max(1.0)));
        let offsets = offsets.take_while(move |offset| *offset < stage.seconds);
        let began = Instant::now();
        let mut arrivals = Arrivals::start(offsets.map(Duration::from_secs_f64));
        let mut requests = InFlight::default();
        while let Some(scheduled) = arrivals.next().await {
            if self.0.is_finished.load(Ordering::Relaxed) {
                break;
            }
            let users = users_at(scheduled.saturating_duration_since(began).as_secs_f64()) as usize;
            if group == Group::Normal {
                self.0.following.send_replace(users / USERS_PER_TENANT);
            }
            let number = self.0.next.fetch_add(1, Ordering::Relaxed);
            let (shared, users) = (Arc::clone(&self.0), users.max(1));
            requests.spawn(async move { shared.request(group, number, users, scheduled).await }).await;
        }
        requests.join_all().await;
    }

    /// Uploads a file straight to one API. Returns the status: 0 if there was no answer.
    pub async fn import_at(&self, port: u16) -> u16 {
        let Some(tenant) = self.0.normal.first() else { return 0 };
        let url = format!("http://127.0.0.1:{port}/api/schedules/import");
        let file = "title,starts_at,ends_at,recurrence,attendees\n";
        let request = tenant.post_to(&url).header("content-type", "text/csv").body(file);
        request.send().await.map_or(0, |answer| answer.status().as_u16())
    }

    /// Enqueues the jobs with these numbers in one request. Each writes a notice of one of the
    /// tenants.
    ///
    /// # Errors
    ///
    /// They are not taken.
    pub async fn enqueue_many(&self, numbers: Range<usize>) -> anyhow::Result<()> {
        let job = |number: usize| {
            let tenant = &self.0.normal[number % self.0.normal.len()].id;
            json!({"payload": {"tenant": tenant, "kind": "load", "body": {"number": number}}})
        };
        let body = json!({"jobs": numbers.map(job).collect::<Vec<_>>()});
        let url = format!("{}/api/queue/notification/jobs/bulk", self.0.url);
        let answer = self.0.admin.post(url).bearer_auth(&self.0.token).json(&body).send().await?;
        let status = answer.status();
        anyhow::ensure!(status.is_success(), "{status}: {}", answer.text().await?);
        Ok(())
    }

    /// Returns a queue as operators see it.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub async fn queue(&self, name: &str) -> anyhow::Result<serde_json::Value> {
        let path = format!("/api/queue/{name}");
        self.0.operator_json(&path).await?.with_context(|| format!("GET {path} is answered 404"))
    }

    /// All samples so far.
    pub fn samples(&self) -> Vec<Sample> {
        lock(&self.0.samples).clone()
    }

    /// Failures by kind, with how often each came.
    pub fn examples(&self) -> BTreeMap<String, u64> {
        lock(&self.0.examples).clone()
    }

    /// Compares the data of the fleet with what it acknowledged.
    ///
    /// # Errors
    ///
    /// A page cannot be read.
    pub async fn verify(&self) -> anyhow::Result<Verdict> {
        let tenants: Vec<&Tenant> = self.0.normal.iter().chain(&self.0.crowd).collect();
        verify::verify(&self.0, &tenants).await
    }
}
