//! Whether the fleet still has what it acknowledged.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::ledger::{OfTenant, Streams};
use super::operation::{LINES, imported_title};
use super::patient_json::patient_json;
use super::shared::Shared;
use super::tenant::Tenant;

/// How long jobs may take after the last request. A killed worker's come back after their lease.
const JOBS_END: Duration = Duration::from_secs(120);
/// Examples of each fault that are kept.
const EXAMPLES: usize = 5;

/// Content of the fleet, compared with the acknowledged writes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verdict {
    /// Schedules whose creation was acknowledged.
    pub schedules: usize,
    /// Imports that were acknowledged.
    pub imports: usize,
    /// Jobs that were acknowledged, without imports.
    pub jobs: usize,
    /// Acknowledged schedules, rows of imports, notices and jobs that are gone.
    pub lost: usize,
    /// Schedules, rows and notices that are there more than once.
    pub duplicates: usize,
    /// Schedules that are older than their last acknowledged version.
    pub stale: usize,
    /// Jobs that did not run to their end.
    pub unfinished: usize,
    /// Jobs of which an attempt failed.
    pub burned: usize,
    /// Jobs that were given to a worker more than once.
    pub redelivered: usize,
    /// Notices of the event streams.
    pub streams: Streams,
    /// Some of the faults, in words.
    pub examples: Vec<String>,
}

impl Verdict {
    /// Whether nothing that was acknowledged is lost, and nothing is there twice.
    pub fn is_whole(&self) -> bool {
        self.lost + self.duplicates + self.stale + self.unfinished + self.streams.gaps == 0
    }

    fn fault(&mut self, count: impl FnOnce(&mut Self) -> &mut usize, example: impl FnOnce() -> String) {
        *count(self) += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(example());
        }
    }
}

/// Waits for all jobs, and compares everything.
pub(super) async fn verify(shared: &Shared, tenants: &[&Tenant]) -> anyhow::Result<Verdict> {
    let (entries, streams) = shared.ledger.snapshot();
    let mut verdict = Verdict { streams, ..Verdict::default() };
    for tenant in tenants {
        let Some(entry) = entries.get(&tenant.id) else { continue };
        check_jobs(shared, entry, &mut verdict).await?;
        check_schedules(tenant, entry, &mut verdict).await?;
        check_notices(tenant, entry, &mut verdict).await?;
    }
    Ok(verdict)
}

async fn check_jobs(shared: &Shared, entry: &OfTenant, verdict: &mut Verdict) -> anyhow::Result<()> {
    verdict.jobs += entry.jobs.len();
    verdict.imports += entry.imports.len();
    let jobs = entry.jobs.values().map(|id| ("notification", id));
    for (queue, id) in jobs.chain(entry.imports.values().map(|id| ("import", id))) {
        let path = format!("/api/queue/{queue}/jobs/{id}");
        let end = Instant::now() + JOBS_END;
        let job = loop {
            let Some(job) = shared.operator_json(&path).await? else { break Value::Null };
            let has_ended = ["done", "dead", "cancelled"].iter().any(|state| job["state"] == *state);
            if has_ended || Instant::now() > end {
                break job;
            }
            sleep(Duration::from_millis(100)).await;
        };
        if job.is_null() {
            verdict.fault(|verdict| &mut verdict.lost, || format!("{queue} job {id} is gone"));
        } else if job["state"] != "done" {
            verdict.fault(|verdict| &mut verdict.unfinished, || format!("{queue} job {id}: {job}"));
        }
        if job["failures"].as_u64().is_some_and(|failures| failures > 0) {
            verdict.fault(|verdict| &mut verdict.burned, || format!("{queue} job {id}: {}", job["attempts"]));
        }
        if job["deliveries"].as_u64().is_some_and(|deliveries| deliveries > 1) {
            verdict.redelivered += 1;
        }
    }
    Ok(())
}

async fn check_schedules(tenant: &Tenant, entry: &OfTenant, verdict: &mut Verdict) -> anyhow::Result<()> {
    let mut found: HashMap<String, (usize, u64)> = HashMap::new();
    let mut path = String::from("/api/schedules?limit=200");
    loop {
        let page = page(tenant, &path).await?;
        for title in page["items"].as_array().into_iter().flatten().filter_map(|item| item["title"].as_str()) {
            // `w7 v2` is the second replacement of the schedule that request 7 created.
            let (name, version) = title.split_once(" v").unwrap_or((title, "0"));
            let (count, newest) = found.entry(name.to_owned()).or_default();
            *count += 1;
            *newest = version.parse().unwrap_or(0).max(*newest);
        }
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/api/schedules?limit=200&cursor={cursor}");
    }
    verdict.schedules += entry.schedules.len();
    for (number, version) in &entry.schedules {
        match found.get(&format!("w{number}")) {
            None => verdict.fault(|verdict| &mut verdict.lost, || format!("schedule w{number} is gone")),
            Some((_, newest)) if newest < version => {
                let example = || format!("schedule w{number} has version {newest}, and {version} was acknowledged");
                verdict.fault(|verdict| &mut verdict.stale, example);
            }
            Some(_) => {}
        }
    }
    for number in entry.imports.keys() {
        for title in (0..LINES).map(|line| imported_title(*number, line)) {
            if !found.contains_key(&title) {
                verdict.fault(|verdict| &mut verdict.lost, || format!("row `{title}` is gone"));
            }
        }
    }
    for (name, (count, _)) in found.iter().filter(|(_, (count, _))| *count > 1) {
        verdict.fault(|verdict| &mut verdict.duplicates, || format!("`{name}` is there {count} times"));
    }
    Ok(())
}

async fn check_notices(tenant: &Tenant, entry: &OfTenant, verdict: &mut Verdict) -> anyhow::Result<()> {
    let mut found: HashMap<u64, usize> = HashMap::new();
    let mut after = 0;
    loop {
        let path = format!("/api/notifications?limit=200&after={after}");
        let page = page(tenant, &path).await?;
        for number in page["items"].as_array().into_iter().flatten().filter_map(|item| item["body"]["number"].as_u64())
        {
            *found.entry(number).or_default() += 1;
        }
        match page["next_after"].as_u64() {
            Some(next) => after = next,
            None => break,
        }
    }
    for (number, id) in &entry.jobs {
        match found.get(number) {
            None => verdict.fault(|verdict| &mut verdict.lost, || format!("the notice of job {id} is gone")),
            Some(1) => {}
            Some(count) => {
                let example = || format!("the notice of job {id} is there {count} times");
                verdict.fault(|verdict| &mut verdict.duplicates, example);
            }
        }
    }
    Ok(())
}

async fn page(tenant: &Tenant, path: &str) -> anyhow::Result<Value> {
    patient_json(path, || tenant.get(path)).await?.with_context(|| format!("GET {path} is answered 404"))
}
