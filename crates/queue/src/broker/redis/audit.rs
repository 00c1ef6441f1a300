//! Finds jobs that a crash of the server has left without a place, and puts them back into the
//! line.
//!
//! A server that is killed can tear a script's effects in its append-only file: after the next
//! restart but one, the first part of them has run, beside later scripts that saw none of it. The
//! scripts are written so that this leaves a job in two places, except that an element can be
//! taken from a list in place of another: a repeated `LPOP` pops the next job. So each new history
//! of a server is audited once, beside all that goes on: jobs are compared with the lists here,
//! so many at a time, and each suspect is checked again by one script.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tidegate_redis::{Arg, Client, Value};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::RedisBroker;
use super::keys::{Part, PartitionKeys};
use super::reply::{Fields, failed, unreadable};
use super::scripts::Scripts;
use crate::error::BrokerError;

const AUDIT: &str = "audit";

/// Jobs compared with the lists in one pass. Each pass reads the lists as a whole.
const PASS: usize = 100_000;
/// Elements of a list read in one step.
const PAGE: i64 = 1_000;
/// Suspects checked in one step, at most.
const SUSPECTS: usize = 20;
/// The lists, by the names that the script uses.
const LISTS: [(&str, Part); 6] = [
    ("done", Part::Done),
    ("0", Part::Ready0),
    ("1", Part::Ready1),
    ("2", Part::Ready2),
    ("3", Part::Ready3),
    ("4", Part::Ready4),
];
/// Places whose entries may have lost their record, and what else is kept of a job: it goes with
/// the record, and a job of the same id must not find it.
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

/// The audits that this process does. They end with it: another process begins anew.
pub(super) struct Audits {
    runtime: Handle,
    under_way: Mutex<JoinSet<()>>,
}

impl Audits {
    pub(super) fn new(runtime: Handle) -> Self {
        Self { runtime, under_way: Mutex::default() }
    }
}

impl RedisBroker {
    /// Begins to audit one partition. `server` names the history of the server that is audited.
    pub(super) fn begin_audit(&self, queue: &str, keys: &PartitionKeys, server: String) {
        let (client, scripts, keys) = (self.client.clone(), self.scripts.clone(), keys.clone());
        let (audit, queue) = (Audit { client, scripts, keys }, queue.to_owned());
        let mut under_way = self.audits.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        while under_way.try_join_next().is_some() {}
        under_way.spawn_on(
            async move {
                if let Err(error) = audit.run(&queue, &server).await {
                    tracing::warn!(queue, %error, "the audit after a restart of Redis failed; it is repeated");
                }
            },
            &self.audits.runtime,
        );
    }
}

/// The audit of one partition. Each of its steps keeps other processes from it.
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

    /// Jobs that should be in a list, with the name of the list, as many as fit into a pass.
    /// Returns where the next pass begins.
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

    /// Removes from `suspects` the jobs that are in the list. It is read from its end: elements
    /// leave it at its front, so that none is passed over.
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

    /// Checks suspects again, and puts those that have no place into the line. With the name of the
    /// server's history, notes that the audit is over.
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
