//! The requests of a user.

use std::time::Duration;

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::options::USERS_PER_TENANT;
use super::sample::{Class, Group};
use super::shared::Shared;
use super::tenant::{Schedule, Tenant};
use crate::Answer;

/// Above the 60 s after which the proxy gives up.
const ANSWER: Duration = Duration::from_secs(70);
/// How long a write is sent again.
const PATIENCE: Duration = Duration::from_secs(120);
const REPEAT_AFTER: Duration = Duration::from_millis(250);
/// Lines of an import.
pub(super) const LINES: u64 = 20;

/// Kind of a request, by the last two digits of its shuffled number.
enum Operation {
    Show,
    List,
    Create,
    Replace,
    Enqueue,
    Import,
}

impl Operation {
    /// 70 % reads, 24 % writes, 5 % jobs, 1 % imports.
    fn of(number: u64) -> Self {
        // 37 and 100 have no common divisor, so each hundred requests has each digit once.
        match number * 37 % 100 {
            0..40 => Self::Show,
            40..70 => Self::List,
            70..85 => Self::Create,
            85..94 => Self::Replace,
            94..99 => Self::Enqueue,
            _ => Self::Import,
        }
    }
}

impl Shared {
    /// Sends one request of one of the users that are there now, with its repetitions.
    pub(super) async fn request(&self, group: Group, number: u64, users: usize, scheduled: Instant) {
        let tenants = self.tenants(group);
        let user = usize::try_from(number).unwrap_or_default() % users;
        let place = user / USERS_PER_TENANT;
        let Some(tenant) = tenants.get(place % tenants.len().max(1)) else { return };
        let call = Call { shared: self, tenant, group, number, scheduled };
        match Operation::of(number) {
            Operation::Show => match tenant.any(number) {
                Some(id) => call.read(&format!("/api/schedules/{id}")).await,
                None => call.read("/api/schedules?limit=20").await,
            },
            Operation::List => call.read("/api/schedules?limit=20").await,
            Operation::Create => call.create().await,
            Operation::Replace => match tenant.take(number) {
                Some(schedule) => call.replace(schedule).await,
                None => call.create().await,
            },
            Operation::Enqueue => call.enqueue().await,
            Operation::Import => call.import().await,
        }
    }
}

struct Call<'a> {
    shared: &'a Shared,
    tenant: &'a Tenant,
    group: Group,
    number: u64,
    scheduled: Instant,
}

impl Call<'_> {
    async fn read(&self, path: &str) {
        self.send(Class::Read, self.scheduled, self.tenant.get(path)).await;
    }

    async fn create(&self) {
        let key = format!("w{}", self.number);
        let body = schedule(self.number, 0);
        let request = || self.tenant.post("/api/schedules").header("idempotency-key", &key).json(&body);
        let Some(answer) = self.write(Class::Write, request).await else { return };
        if let Some(id) = answer.body["id"].as_str() {
            self.shared.ledger.written(&self.tenant.id, self.number, 0);
            self.tenant.keep(Schedule { id: id.to_owned(), number: self.number, version: 0 });
        }
    }

    async fn replace(&self, old: Schedule) {
        let new = Schedule { version: old.version + 1, ..old };
        let (path, body) = (format!("/api/schedules/{}", new.id), schedule(new.number, new.version));
        let answer = self.write(Class::Write, || self.tenant.put(&path).json(&body)).await;
        if answer.is_some() {
            self.shared.ledger.written(&self.tenant.id, new.number, new.version);
            self.tenant.keep(new);
        }
        // Without an answer its version is not known, so it is not replaced again.
    }

    async fn enqueue(&self) {
        let body = json!({"payload": {
            "tenant": self.tenant.id, "kind": "load", "body": {"number": self.number},
        }});
        let key = format!("j{}", self.number);
        self.shared.ledger.enqueued_at(self.number, self.scheduled);
        let path = "/api/queue/notification/jobs";
        let request = || self.tenant.post_as(&self.shared.token, path).header("idempotency-key", &key).json(&body);
        let Some(answer) = self.write(Class::Job, request).await else { return };
        if let Some(id) = answer.body["id"].as_str() {
            self.shared.ledger.enqueued(&self.tenant.id, self.number, id);
        }
    }

    async fn import(&self) {
        let mut file = String::from("title,starts_at,ends_at,recurrence,attendees\n");
        for line in 0..LINES {
            let title = imported_title(self.number, line);
            file.push_str(&format!("{title},2030-01-07T09:00:00Z,2030-01-07T09:15:00Z,,\n"));
        }
        let key = format!("i{}", self.number);
        let request = || {
            let request = self.tenant.post("/api/schedules/import").header("idempotency-key", &key);
            request.header("content-type", "text/csv").body(file.clone())
        };
        let Some(answer) = self.write(Class::Import, request).await else { return };
        if let Some(id) = answer.body["job_id"].as_str() {
            self.shared.ledger.imported(&self.tenant.id, self.number, id);
        }
    }

    /// Sends a write, again and again if the traffic repeats. `None` if it was not acknowledged.
    async fn write(&self, class: Class, request: impl Fn() -> RequestBuilder) -> Option<Answer> {
        let end = Instant::now() + PATIENCE;
        let mut from = self.scheduled;
        loop {
            let answer = self.send(class, from, request()).await;
            let status = answer.as_ref().map(|answer| answer.status.as_u16());
            if status.is_some_and(|status| (200..300).contains(&status)) {
                return answer;
            }
            let may_pass = [None, Some(429), Some(503)].contains(&status);
            if !self.shared.options.repeats || !may_pass || Instant::now() > end {
                return None;
            }
            sleep(REPEAT_AFTER).await;
            from = Instant::now();
        }
    }

    /// `None` without an answer.
    async fn send(&self, class: Class, from: Instant, request: RequestBuilder) -> Option<Answer> {
        let answer = Answer::to(request.timeout(ANSWER)).await;
        let status = answer.as_ref().map_or(0, |answer| answer.status.as_u16());
        let sample = self.shared.record(class, self.group, from, status);
        match answer {
            Ok(answer) => {
                if !sample.is_accepted() {
                    let kind = answer.body["type"].as_str().unwrap_or("no problem+json");
                    self.shared.note(format!("{class:?}: {status} {kind}"));
                }
                Some(answer)
            }
            Err(error) => {
                self.shared.note(format!("{class:?}: no answer: {:#}", anyhow::Error::from(error.without_url())));
                None
            }
        }
    }
}

/// The title names the request that created the schedule, and how often it was replaced.
fn schedule(number: u64, version: u64) -> Value {
    json!({
        "title": format!("w{number} v{version}"),
        "starts_at": "2030-01-07T09:00:00Z",
        "ends_at": "2030-01-07T09:15:00Z",
    })
}

pub(super) fn imported_title(number: u64, line: u64) -> String {
    format!("i{number} line {line}")
}
