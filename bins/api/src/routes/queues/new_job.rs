//! A job as a client describes it, and its possible faults.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value};
use tidegate_node::jobs::usual_kind;
use tidegate_perfmon::TraceContext;
use tidegate_queue::{
    DEFAULT_PAYLOAD_LIMIT, EnqueueError, EnqueueOptions, GroupId, JobId, JobRecord, NewJob, Priority, Timestamp, Unique,
};

use tidegate_web::problem::Problem;

/// Maximum delay and lifetime of a job: ten years. A longer one is a mistake.
const LONGEST_MS: i64 = 10 * 366 * 86_400_000;
/// Maximum duration of a run: a week.
const LONGEST_RUN_MS: i64 = 7 * 86_400_000;
const MOST_ATTEMPTS: i64 = 1_000;
const FAULTS_SHOWN: usize = 20;

/// A job as it was sent. Numbers are wider than their range, so that a number out of range has its
/// own error.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawJob {
    payload: Value,
    kind: Option<String>,
    version: Option<i64>,
    delay_ms: Option<i64>,
    run_at: Option<String>,
    priority: Option<i64>,
    max_attempts: Option<i64>,
    unique_key: Option<String>,
    ordering_key: Option<String>,
    expires_in_ms: Option<i64>,
    timeout_ms: Option<i64>,
    group: Option<String>,
    id: Option<String>,
}

/// A job with valid fields.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) id: Option<JobId>,
    kind: String,
    payload: Value,
    version: u32,
    priority: Priority,
    max_attempts: Option<u32>,
    unique_key: Option<String>,
    ordering_key: Option<String>,
    group: Option<GroupId>,
    /// Everything except the id.
    options: EnqueueOptions,
}

#[derive(Debug, Default)]
pub(super) struct Faults(BTreeMap<String, String>);

impl Faults {
    fn add(&mut self, field: &str, fault: &dyn std::fmt::Display) {
        self.0.entry(field.to_owned()).or_insert_with(|| fault.to_string());
    }

    /// A number of a field, if it is there and within bounds.
    fn number<N: TryFrom<i64>>(&mut self, field: &str, value: Option<i64>, least: i64, most: i64) -> Option<N> {
        let value = value?;
        let number = N::try_from(value).ok().filter(|_| (least..=most).contains(&value));
        if number.is_none() {
            self.add(field, &format_args!("a number from {least} to {most}"));
        }
        number
    }

    fn milliseconds(&mut self, field: &str, value: Option<i64>, least: i64, most: i64) -> Option<Duration> {
        self.number(field, value, least, most).map(Duration::from_millis)
    }

    /// 422, with every fault under its field's name behind `prefix`.
    pub(super) fn problem(self, prefix: &str) -> Problem {
        let named = |(field, fault): (&String, &String)| format!("`{prefix}{field}`: {fault}");
        let detail = self.0.iter().map(named).collect::<Vec<_>>().join("; ");
        let fields =
            self.0.into_iter().take(FAULTS_SHOWN).map(|(field, fault)| (format!("{prefix}{field}"), fault.into()));
        Problem::unprocessable("invalid-fields", detail).with("fields", fields.collect::<Map<_, _>>())
    }
}

impl RawJob {
    pub(super) fn check(self, queue: &str) -> Result<Draft, Faults> {
        let mut faults = Faults::default();
        let mut options = EnqueueOptions::new();
        if let Some(delay) = faults.milliseconds("delay_ms", self.delay_ms, 0, LONGEST_MS) {
            options = options.delay(delay);
        }
        if let Some(run_at) = &self.run_at {
            match serde_json::from_value::<Timestamp>(run_at.as_str().into()) {
                Ok(_) if self.delay_ms.is_some() => faults.add("run_at", &"not together with `delay_ms`"),
                Ok(time) => options = options.run_at(time),
                Err(_) => faults.add("run_at", &"a time as RFC 3339 writes it, such as 2030-01-07T09:00:00Z"),
            }
        }
        if let Some(life) = faults.milliseconds("expires_in_ms", self.expires_in_ms, 1, LONGEST_MS) {
            options = options.expires_in(life);
        }
        if let Some(timeout) = faults.milliseconds("timeout_ms", self.timeout_ms, 1, LONGEST_RUN_MS) {
            options = options.timeout(timeout);
        }
        let version = faults.number("version", self.version, 1, u32::MAX.into()).unwrap_or(1);
        let priority = faults.number("priority", self.priority, 0, 4);
        let priority = priority.and_then(|level| Priority::try_new(level).ok()).unwrap_or_default();
        let max_attempts = faults.number("max_attempts", self.max_attempts, 1, MOST_ATTEMPTS);
        if let Some(attempts) = max_attempts {
            options = options.max_attempts(attempts);
        }
        let id = self.id.and_then(|id| JobId::new(id).map_err(|error| faults.add("id", &error)).ok());
        let group = self.group.and_then(|group| GroupId::new(group).map_err(|error| faults.add("group", &error)).ok());
        if let Some(group) = &group {
            options = options.group(group.clone());
        }
        if let Some(key) = &self.ordering_key {
            options = options.ordering_key(key);
        }
        if let Some(key) = &self.unique_key {
            options = options.unique(Unique::new(key));
        }
        let kind = self.kind.or_else(|| usual_kind(queue).map(str::to_owned));
        if kind.is_none() {
            faults.add("kind", &"needed for this queue");
        }
        let draft = Draft {
            id,
            kind: kind.unwrap_or_default(),
            payload: self.payload,
            version,
            priority,
            max_attempts,
            unique_key: self.unique_key,
            ordering_key: self.ordering_key,
            group,
            options: options.priority(priority).version(version),
        };
        if faults.0.is_empty() { Ok(draft) } else { Err(faults) }
    }
}

impl Draft {
    /// Whether the job's partition is fixed, by a key with a route of its own or by the client's
    /// id.
    pub(super) fn has_a_place(&self) -> bool {
        self.id.is_some() || self.unique_key.is_some() || self.ordering_key.is_some()
    }

    /// The job to enqueue. `prefix` names it in messages about its faults.
    pub(super) fn job(&self, id: Option<JobId>, trace: TraceContext, prefix: &str) -> Result<NewJob, Problem> {
        let mut options = self.options.clone();
        if let Some(id) = id {
            options = options.id(id);
        }
        let options = options.trace_parent(trace.to_string());
        let made = NewJob::new(&self.kind, &self.payload, options, DEFAULT_PAYLOAD_LIMIT);
        made.map_err(|error| refused(error, prefix))
    }

    /// Whether a stored job has this description. Times are left out: only the end of a delay is
    /// kept.
    pub(super) fn describes(&self, record: &JobRecord) -> bool {
        record.kind == self.kind
            && record.version == self.version
            && record.priority == self.priority
            && record.max_attempts == self.max_attempts
            && record.unique_key == self.unique_key
            && record.ordering_key == self.ordering_key
            && record.group == self.group
            && serde_json::from_str::<Value>(&record.payload).is_ok_and(|payload| payload == self.payload)
    }
}

fn refused(error: EnqueueError, prefix: &str) -> Problem {
    let mut faults = Faults::default();
    match error {
        EnqueueError::Kind(fault) => faults.add("kind", &fault),
        EnqueueError::Id(fault) => faults.add("id", &fault),
        EnqueueError::OrderingKey(fault) => faults.add("ordering_key", &fault),
        EnqueueError::UniqueKey(fault) => faults.add("unique_key", &fault),
        EnqueueError::PayloadTooLarge { bytes, limit } => {
            let detail = format!("`{prefix}payload` of {bytes} bytes is above the limit of {limit}");
            return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail);
        }
        other => return Problem::internal(&other),
    }
    faults.problem(prefix)
}
