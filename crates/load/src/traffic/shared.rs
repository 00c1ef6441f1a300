//! Data that the requests of all users share.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64};

use tokio::sync::watch;
use tokio::time::Instant;

use super::ledger::Ledger;
use super::options::TrafficOptions;
use super::patient_json::patient_json;
use super::sample::{Class, Group, Sample};
use super::tenant::Tenant;
use crate::lock::lock;

/// Examples of failures that are kept.
const EXAMPLES: usize = 20;

/// The users, the connection of an operator, and the answers.
pub(super) struct Shared {
    pub(super) normal: Vec<Tenant>,
    pub(super) crowd: Vec<Tenant>,
    pub(super) options: TrafficOptions,
    pub(super) began: Instant,
    pub(super) next: AtomicU64,
    pub(super) admin: reqwest::Client,
    pub(super) url: String,
    pub(super) token: String,
    pub(super) samples: Mutex<Vec<Sample>>,
    pub(super) examples: Mutex<BTreeMap<String, u64>>,
    pub(super) ledger: Ledger,
    pub(super) following: watch::Sender<usize>,
    pub(super) is_finished: AtomicBool,
}

impl Shared {
    pub(super) fn tenants(&self, group: Group) -> &[Tenant] {
        match group {
            Group::Normal => &self.normal,
            Group::Crowd => &self.crowd,
        }
    }

    /// Records an answer, which has come now. `from` is the scheduled time of the request.
    pub(super) fn record(&self, class: Class, group: Group, from: Instant, status: u16) -> Sample {
        let sample = Sample {
            at: from.duration_since(self.began).as_secs_f32(),
            latency_ms: from.elapsed().as_secs_f32() * 1_000.0,
            class,
            group,
            status,
        };
        lock(&self.samples).push(sample);
        sample
    }

    pub(super) fn note(&self, example: String) {
        let mut examples = lock(&self.examples);
        if examples.len() < EXAMPLES || examples.contains_key(&example) {
            *examples.entry(example).or_default() += 1;
        }
    }

    /// See [`patient_json`]; the client is an operator.
    pub(super) async fn operator_json(&self, path: &str) -> anyhow::Result<Option<serde_json::Value>> {
        let request = || self.admin.get(format!("{}{path}", self.url)).bearer_auth(&self.token);
        patient_json(path, request).await
    }
}
