//! Finds jobs that a crash of the server has left without a list entry, and repairs them.
//!
//! A server that is killed can tear a script's effects in its append-only file. After the second
//! restart from then, only the first part of the effects has run, together with later scripts that
//! did not see it. The scripts are written so that a torn script leaves a job in two places. One
//! exception: an element can be taken from a list instead of another, since a repeated `LPOP` pops
//! the next job. So each new history of a server is audited once, while all other work continues.
//! This code compares jobs with the lists, a limited number at a time, and one script checks each
//! suspect again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tidegate_redis::{Arg, Client, Value};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::keys::{Part, PartitionKeys};
use super::reply::{Fields, failed, unreadable};
use super::scripts::Scripts;
use crate::error::BrokerError;

const AUDIT: &str = "audit";

/// Most jobs compared with the lists in one pass. Each pass reads the complete lists.
const PASS: usize = 100_000;
/// Elements of a list read in one step.
const PAGE: i64 = 1_000;
/// Most suspects checked in one step.
const SUSPECTS: usize = 20;
/// The lists, by their names in the script.
const LISTS: [(&str, Part); 6] = [
    ("done", Part::Done),
    ("0", Part::Ready0),
    ("1", Part::Ready1),
    ("2", Part::Ready2),
    ("3", Part::Ready3),
    ("4", Part::Ready4),
];
/// Collections whose entries may have lost their record, and the other data of a job. That data is
/// removed with the record: a new job with the same id must not find it.
const PLACES: [&str; 13] = [
    "back",
    "delayed",
    "dead",
    "cancelled",
    "ended",
    "lines",
    "waiting",
    "behind",
    "latest",
    "state",
    "result",
    "checkpoint",
    "log",
];

/// The audits that this process runs. They end with it; another process then starts again.
pub(super) struct Audits {
    runtime: Handle,
    under_way: Mutex<JoinSet<()>>,
}

impl Audits {
    pub(super) fn new(runtime: Handle) -> Self {
        Self { runtime, under_way: Mutex::default() }
    }
    /// Starts the audit of one partition. `server` identifies the history of the server that is
    /// audited.
    pub(super) fn begin(
        &self,
        client: &Client,
        scripts: &Arc<Scripts>,
        queue: &str,
        keys: &PartitionKeys,
        server: String,
    ) {
        let (client, scripts, keys) = (client.clone(), scripts.clone(), keys.clone());
        let (audit, queue) = (Audit { client, scripts, keys }, queue.to_owned());
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        while under_way.try_join_next().is_some() {}
        under_way.spawn_on(
            async move {
                if let Err(error) = audit.run(&queue, &server).await {
                    tracing::warn!(queue, %error, "the audit after a restart of Redis failed; it is repeated");
                }
            },
            &self.runtime,
        );
    }
}

/// The audit of one partition. Each of its steps prevents other processes from auditing it too.
struct Audit {
    client: Client,
    scripts: Arc<Scripts>,
    keys: PartitionKeys,
}

impl Audit {
    async fn run(&self, queue: &str, server: &str) -> Result<(), BrokerError> {
        let (mut recovered, mut orphans) = (0, 0);
        let mut cursor = Some("0".to_owned());
        while let Some(from) = cursor {
            let mut suspects = HashMap::new();
            cursor = self.jobs_in_lists(from, &mut suspects).await?;
            for (name, list) in LISTS {
                self.strike_out(name, list, &mut suspects).await?;
            }
            let suspects: Vec<String> = suspects.into_keys().collect();
            recovered += self.recover("", &suspects).await?;
        }
        for place in PLACES {
            orphans += self.remove_orphans(place).await?;
        }
        self.recover(server, &[]).await?;
        if recovered + orphans > 0 {
            tracing::warn!(
                queue,
                recovered,
                orphans,
                "Redis was restarted and had lost the places of jobs: its append-only file was torn by a crash; \
                 the recovered jobs are back in line, and what was left of jobs without a record was removed"
            );
        }
        Ok(())
    }

    /// Returns jobs that should be in a list, with the name of the list, up to the limit of a pass.
    /// Also returns the cursor of the next pass.
    async fn jobs_in_lists(
        &self,
        mut cursor: String,
        jobs: &mut HashMap<String, String>,
    ) -> Result<Option<String>, BrokerError> {
        while jobs.len() < PASS {
            let args = vec![cursor.as_str().into()];
            let reply = self.scripts.audit.run(&self.client, &self.keys, args).await.map_err(failed(AUDIT))?;
            let mut page = Fields::of(reply).map_err(unreadable(AUDIT))?;
            cursor = page.text().map_err(unreadable(AUDIT))?;
            while !page.is_empty() {
                let id = page.text().map_err(unreadable(AUDIT))?;
                jobs.insert(id, page.text().map_err(unreadable(AUDIT))?);
            }
            if cursor == "0" {
                return Ok(None);
            }
        }
        Ok(Some(cursor))
    }

    /// Removes the jobs that are in the list from `suspects`. The list is read from its end:
    /// elements leave at the front, so none is skipped.
    async fn strike_out(
        &self,
        name: &str,
        list: Part,
        suspects: &mut HashMap<String, String>,
    ) -> Result<(), BrokerError> {
        let mut left = suspects.values().filter(|expected| *expected == name).count();
        let mut last = -1;
        while left > 0 {
            let args = vec![(last - PAGE + 1).into(), last.into()];
            let reply = self.scripts.listed.run_on(&self.client, &self.keys, list, args).await;
            let ids = reply.and_then(Value::into_array).map_err(failed(AUDIT))?;
            if ids.is_empty() {
                break;
            }
            for id in ids {
                let id = id.into_text().map_err(failed(AUDIT))?;
                if suspects.get(&id).is_some_and(|expected| expected == name) {
                    suspects.remove(&id);
                    left -= 1;
                }
            }
            last -= PAGE;
        }
        Ok(())
    }

    /// Checks suspects again, and puts those without a place back into the queue. If `server` is
    /// given, records that the audit of this history is complete.
    async fn recover(&self, server: &str, suspects: &[String]) -> Result<u64, BrokerError> {
        let (mut recovered, mut rest) = (0, suspects);
        while !rest.is_empty() || !server.is_empty() {
            let some = rest.iter().take(SUSPECTS).map(String::as_str);
            let args = [server].into_iter().chain(some).map(Arg::from).collect();
            let reply = self.scripts.recover.run(&self.client, &self.keys, args).await.map_err(failed(AUDIT))?;
            let mut reply = Fields::of(reply).map_err(unreadable(AUDIT))?;
            let looked_at: usize = reply.number().map_err(unreadable(AUDIT))?;
            recovered += reply.count().map_err(unreadable(AUDIT))?;
            rest = rest.get(looked_at.max(1)..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
        }
        Ok(recovered)
    }

    async fn remove_orphans(&self, place: &str) -> Result<u64, BrokerError> {
        let (mut removed, mut cursor) = (0, "0".to_owned());
        loop {
            let args = vec![place.into(), cursor.as_str().into()];
            let reply = self.scripts.orphans.run(&self.client, &self.keys, args).await.map_err(failed(AUDIT))?;
            let mut page = Fields::of(reply).map_err(unreadable(AUDIT))?;
            cursor = page.text().map_err(unreadable(AUDIT))?;
            removed += page.count().map_err(unreadable(AUDIT))?;
            if cursor == "0" {
                return Ok(removed);
            }
        }
    }
}
