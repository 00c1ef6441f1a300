//! The job that a group ends with.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::GroupError;
use crate::broker::{GroupCounts, NewJob};
use crate::error::EnqueueError;
use crate::id::{GroupId, JobId};
use crate::job::Job;
use crate::name::{check_kind, check_queue_name};
use crate::options::EnqueueOptions;
use crate::unique::Unique;

/// Largest payload of a completion job, in bytes of JSON: it lies in the group's document.
const PAYLOAD_LIMIT: usize = 32 << 10;
/// How long it is remembered that a group had its job, even if the job's record is gone by then.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// When a group's completion job is enqueued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CompletionPolicy {
    /// When all members have ended, however they did.
    #[default]
    Finished,
    /// When all members are done; not at all where one is dead or cancelled.
    Succeeded,
}

/// The job that is enqueued, once, when a group is sealed and none of its members is pending. An empty group completes too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use]
pub struct Completion {
    queue: String,
    kind: String,
    version: u32,
    payload: Value,
    policy: CompletionPolicy,
}

impl Completion {
    /// A typed job, to be enqueued in the queue of its type.
    ///
    /// # Errors
    /// [`EnqueueError::Serialize`] where it can't be written as JSON.
    pub fn job<J: Job>(job: &J) -> Result<Self, EnqueueError> {
        let payload = serde_json::to_value(job)?;
        Ok(Self { version: J::VERSION, ..Self::raw(J::QUEUE, J::KIND, payload) })
    }

    /// A job whose type isn't known here, as version 1 of its kind.
    pub fn raw(queue: impl Into<String>, kind: impl Into<String>, payload: Value) -> Self {
        let (queue, kind, policy) = (queue.into(), kind.into(), CompletionPolicy::Finished);
        Self { queue, kind, version: 1, payload, policy }
    }

    /// Sets when it is enqueued.
    pub fn on(mut self, policy: CompletionPolicy) -> Self {
        self.policy = policy;
        self
    }

    pub(super) fn queue(&self) -> &str {
        &self.queue
    }

    pub(super) fn check(&self) -> Result<(), GroupError> {
        check_queue_name(&self.queue).map_err(EnqueueError::QueueName)?;
        check_kind(&self.kind).map_err(EnqueueError::Kind)?;
        let bytes = self.payload.to_string().len();
        if bytes > PAYLOAD_LIMIT {
            return Err(EnqueueError::PayloadTooLarge { bytes, limit: PAYLOAD_LIMIT }.into());
        }
        Ok(())
    }

    /// Whether it is wanted after such an end.
    pub(super) fn is_wanted(&self, counts: GroupCounts) -> bool {
        match self.policy {
            CompletionPolicy::Finished => true,
            CompletionPolicy::Succeeded => counts.dead == 0 && counts.cancelled == 0,
        }
    }

    /// The job: the same at each call, and held unique for a day, so that whoever comes second enqueues nothing. The
    /// generation tells it from that of an earlier group of the name.
    pub(super) fn enqueued_as(&self, group: &GroupId, generation: &str) -> Result<NewJob, GroupError> {
        let name = format!("group:{group}.{generation}");
        let id = JobId::new(&name).map_err(EnqueueError::Id)?;
        let options = EnqueueOptions::new().id(id).unique(Unique::new(name).hold_for(REMEMBERED));
        let mut job = NewJob::new(&self.kind, &self.payload, options, PAYLOAD_LIMIT)?;
        job.version = self.version;
        Ok(job)
    }
}
