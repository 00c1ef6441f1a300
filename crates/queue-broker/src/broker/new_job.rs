//! A checked job to be enqueued.

use std::time::Duration;

use serde_json::Value;

use crate::error::EnqueueError;
use crate::id::{GroupId, JobId};
use crate::job::Job;
use crate::name::{check_key, check_kind};
use crate::options::{EnqueueOptions, Moment};
use crate::state::Priority;
use crate::timestamp::Timestamp;
use crate::unique::Unique;

/// A job to be enqueued: the envelope, which never changes afterwards.
#[derive(Clone, Debug)]
pub struct NewJob {
    pub(crate) id: JobId,
    /// Whether the id was chosen by the caller.
    is_named: bool,
    pub(crate) kind: String,
    pub(crate) version: u32,
    pub(crate) payload: String,
    pub(crate) priority: Priority,
    pub(crate) max_attempts: Option<u32>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) due: Option<Moment>,
    pub(crate) expiry: Option<Moment>,
    pub(crate) ordering_key: Option<String>,
    pub(crate) unique: Option<Unique>,
    pub(crate) group: Option<GroupId>,
    pub(crate) trace_parent: Option<String>,
}

impl NewJob {
    /// Creates a job from a kind and any payload, with the version of the options.
    ///
    /// # Errors
    /// [`EnqueueError`] names the fault: the kind, the payload (`limit` in bytes of JSON) or one of
    /// the options.
    pub fn new(kind: &str, payload: &Value, options: EnqueueOptions, limit: usize) -> Result<Self, EnqueueError> {
        Self::checked(kind, options.version.unwrap_or(1), payload.to_string(), options, limit)
    }

    /// Creates a job from a typed one.
    ///
    /// # Errors
    /// Like [`new`](Self::new), and [`EnqueueError::Serialize`].
    pub fn of<J: Job>(job: &J, options: EnqueueOptions, limit: usize) -> Result<Self, EnqueueError> {
        Self::checked(J::KIND, J::VERSION, serde_json::to_string(job)?, options, limit)
    }

    fn checked(
        kind: &str,
        version: u32,
        payload: String,
        options: EnqueueOptions,
        limit: usize,
    ) -> Result<Self, EnqueueError> {
        check_kind(kind).map_err(EnqueueError::Kind)?;
        if payload.len() > limit {
            return Err(EnqueueError::PayloadTooLarge { bytes: payload.len(), limit });
        }
        if let Some(key) = &options.ordering_key {
            check_key(key).map_err(EnqueueError::OrderingKey)?;
        }
        if let Some(unique) = &options.unique {
            check_key(&unique.key).map_err(EnqueueError::UniqueKey)?;
        }
        if options.trace_parent.as_deref().is_some_and(|text| !is_trace_parent(text)) {
            return Err(EnqueueError::TraceParent);
        }
        let is_named = options.id.is_some();
        let id = options.id.unwrap_or_else(JobId::generate);
        let route = options.ordering_key.as_ref().or(options.unique.as_ref().map(|unique| &unique.key));
        let id = match route {
            Some(key) => id.routed(fnv1a(key)).map_err(EnqueueError::Id)?,
            None => id,
        };
        Ok(Self {
            id,
            is_named,
            kind: kind.to_owned(),
            version,
            payload,
            priority: options.priority,
            max_attempts: options.max_attempts,
            timeout: options.timeout,
            due: options.due,
            expiry: options.expiry,
            ordering_key: options.ordering_key,
            unique: options.unique,
            group: options.group,
            trace_parent: options.trace_parent,
        })
    }

    /// The job's id.
    pub fn id(&self) -> &JobId {
        &self.id
    }

    /// The payload as JSON text.
    pub fn payload(&self) -> &str {
        &self.payload
    }

    /// Replaces the id by one that is made of the payload.
    #[doc(hidden)]
    pub fn with_id(mut self, id: JobId) -> Self {
        self.id = id;
        self
    }

    /// Puts the job into the partition of a route, unless a key decides its partition.
    #[doc(hidden)]
    pub fn routed(mut self, route: u32) -> Self {
        if self.ordering_key.is_none()
            && self.unique.is_none()
            && let Ok(id) = self.id.routed(route)
        {
            self.id = id;
        }
        self
    }

    /// Puts the jobs without a fixed partition into the partition of the first job that has one.
    /// Chosen ids stay: callers look jobs up by them, and they make a repeated enqueue have no
    /// effect.
    #[doc(hidden)]
    pub fn together(jobs: Vec<Self>) -> Vec<Self> {
        let Some(place) = jobs.iter().find(|job| job.has_place()).map(|job| job.id.clone()) else {
            let route = rand::random();
            return jobs.into_iter().map(|job| job.routed(route)).collect();
        };
        let put = |mut job: Self| {
            // If the other id is very long, there is no space to append its route. Then the job
            // keeps its own partition.
            if !job.has_place()
                && let Ok(id) = job.id.beside(&place)
            {
                job.id = id;
            }
            job
        };
        jobs.into_iter().map(put).collect()
    }

    /// Whether its id decides its partition, by a key or because the caller chose it.
    fn has_place(&self) -> bool {
        self.is_named || self.ordering_key.is_some() || self.unique.is_some()
    }

    /// When it may run.
    pub(crate) fn due_at(&self, now: Timestamp) -> Timestamp {
        self.due.map_or(now, |due| due.at(now))
    }

    /// Latest time at which a run may start.
    pub(crate) fn expires_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.expiry.map(|expiry| expiry.at(now))
    }
}

/// Stored ids depend on it: it must never change.
fn fnv1a(key: &str) -> u32 {
    key.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Checks the form `version-trace-parent-flags`, all in lower-case hexadecimal digits. Later
/// versions may have more after a dash.
fn is_trace_parent(text: &str) -> bool {
    let is_hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    let parts: Vec<_> = text.splitn(5, '-').collect();
    let [version, trace, parent, flags, rest @ ..] = parts.as_slice() else { return false };
    text.len() <= 256
        && [version.len(), trace.len(), parent.len(), flags.len()] == [2, 32, 16, 2]
        && [version, trace, parent, flags].into_iter().all(|part| is_hex(part))
        && *version != "ff"
        && !is_zero(trace)
        && !is_zero(parent)
        && (rest.is_empty() || *version != "00" && text.bytes().all(|byte| byte.is_ascii_graphic()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn new(options: EnqueueOptions) -> Result<NewJob, EnqueueError> {
        NewJob::new("kind", &json!(1), options, 10)
    }

    #[test]
    fn keys_lead_to_a_partition() {
        let options = || EnqueueOptions::new().id(JobId::new("a").unwrap());
        let ordered = new(options().ordering_key("müller").unique(Unique::new("x"))).unwrap();
        let unique = new(options().unique(Unique::new("a"))).unwrap();
        assert_eq!(fnv1a("a"), 0xe40c_292c, "as its authors publish it");
        assert_eq!(unique.id.as_str(), "a~VxE");
        assert_ne!(ordered.id, unique.id);
        assert_eq!(ordered.clone().routed(7).id, ordered.id);
        assert_eq!(new(options()).unwrap().routed(7).id.as_str(), "a~007");
        let longest = JobId::new("i".repeat(125)).unwrap();
        let too_long = EnqueueOptions::new().id(longest).ordering_key("k");
        assert!(matches!(new(too_long), Err(EnqueueError::Id(_))));
    }

    #[test]
    fn bad_keys_and_traces_are_refused_by_name() {
        for bad in ["", "a\nb", &"k".repeat(257)] {
            assert!(matches!(new(EnqueueOptions::new().ordering_key(bad)), Err(EnqueueError::OrderingKey(_))));
            assert!(matches!(new(EnqueueOptions::new().unique(Unique::new(bad))), Err(EnqueueError::UniqueKey(_))));
        }
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(new(EnqueueOptions::new().trace_parent(good)).is_ok());
        for bad in ["", "00", &good[1..], &good.to_uppercase(), &good.replace("b7ad6b7169203331", "0000000000000000")] {
            assert!(matches!(new(EnqueueOptions::new().trace_parent(bad)), Err(EnqueueError::TraceParent)), "{bad}");
        }
    }
}
