//! Acknowledged writes, and the notices of the event streams.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use serde::Serialize;
use tokio::time::Instant;

use crate::lock::lock;

/// Writes, jobs and imports that were acknowledged.
#[derive(Default)]
pub(super) struct Ledger(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    tenants: BTreeMap<String, OfTenant>,
    /// Scheduled time of the request that enqueues a notice.
    started: HashMap<u64, Instant>,
    streams: Streams,
}

/// Acknowledged writes of one tenant.
#[derive(Clone, Default)]
pub(super) struct OfTenant {
    /// Schedules by the number of their request, with the last acknowledged version.
    pub(super) schedules: BTreeMap<u64, u64>,
    /// Jobs by number.
    pub(super) jobs: BTreeMap<u64, String>,
    pub(super) imports: BTreeMap<u64, String>,
}

/// Notices of the event streams.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Streams {
    /// Notices.
    pub events: usize,
    /// Notices that were left out or came twice.
    pub gaps: usize,
    /// Streams that ended and were opened again.
    pub reopened: usize,
}

impl Ledger {
    pub(super) fn written(&self, tenant: &str, number: u64, version: u64) {
        self.of(tenant, |entry| entry.schedules.insert(number, version));
    }

    pub(super) fn enqueued(&self, tenant: &str, number: u64, job: &str) {
        self.of(tenant, |entry| entry.jobs.insert(number, job.to_owned()));
    }

    pub(super) fn imported(&self, tenant: &str, number: u64, job: &str) {
        self.of(tenant, |entry| entry.imports.insert(number, job.to_owned()));
    }

    pub(super) fn enqueued_at(&self, number: u64, at: Instant) {
        lock(&self.0).started.insert(number, at);
    }

    /// Returns the scheduled time of the request whose notice has come.
    pub(super) fn started(&self, number: u64) -> Option<Instant> {
        lock(&self.0).started.get(&number).copied()
    }

    pub(super) fn streamed(&self, change: impl FnOnce(&mut Streams)) {
        change(&mut lock(&self.0).streams);
    }

    /// Returns the acknowledged writes by tenant, and the notices of the event streams.
    pub(super) fn snapshot(&self) -> (BTreeMap<String, OfTenant>, Streams) {
        let entries = lock(&self.0);
        (entries.tenants.clone(), entries.streams.clone())
    }

    fn of<T>(&self, tenant: &str, change: impl FnOnce(&mut OfTenant) -> T) {
        let mut entries = lock(&self.0);
        if !entries.tenants.contains_key(tenant) {
            entries.tenants.insert(tenant.to_owned(), OfTenant::default());
        }
        if let Some(entry) = entries.tenants.get_mut(tenant) {
            change(entry);
        }
    }
}
