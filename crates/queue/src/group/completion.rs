//! The completion job of a group.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::GroupError;
use tidegate_queue_broker::{
    EnqueueError, EnqueueOptions, GroupCounts, GroupId, Job, JobId, NewJob, Unique, check_kind, check_queue_name,
};

/// Largest payload of a completion job, in bytes of JSON. Limited, since it is stored in the
/// group's document.
const PAYLOAD_LIMIT: usize = 32 << 10;
/// How long the unique key of the completion job is held, even if the job's record is removed
/// earlier.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// When a group's completion job is enqueued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CompletionPolicy {
    /// When all members have ended, in any state.
    #[default]
    Finished,
    /// When all members are done. Never if one is dead or cancelled.
    Succeeded,
}

/// The job that is enqueued once, when a group is sealed and has no pending member. An empty group
/// completes too.
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
    /// A typed job, for the queue of its type.
    ///
    /// # Errors
    /// [`EnqueueError::Serialize`] if it can't be written as JSON.
    pub fn job<J: Job>(job: &J) -> Result<Self, EnqueueError> {
        let payload = serde_json::to_value(job)?;
        Ok(Self { version: J::VERSION, ..Self::raw(J::QUEUE, J::KIND, payload) })
    }

    /// A job whose type is not known here, as version 1 of its kind.
    pub fn raw(queue: impl Into<String>, kind: impl Into<String>, payload: Value) -> Self {
        let (queue, kind, policy) = (queue.into(), kind.into(), CompletionPolicy::Finished);
        Self { queue, kind, version: 1, payload, policy }
    }

    /// Sets when the job is enqueued.
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

    /// Whether the policy wants the job, given the final counts.
    pub(super) fn is_wanted(&self, counts: GroupCounts) -> bool {
        match self.policy {
            CompletionPolicy::Finished => true,
            CompletionPolicy::Succeeded => counts.dead == 0 && counts.cancelled == 0,
        }
    }

    /// Builds the job. Its id is the same at each call and its unique key is held for a day, so
    /// only the first enqueue takes effect. The generation distinguishes it from the job of an
    /// earlier group with the same id.
    pub(super) fn enqueued_as(&self, group: &GroupId, generation: &str) -> Result<NewJob, GroupError> {
        let name = format!("group:{group}.{generation}");
        let id = JobId::new(&name).map_err(EnqueueError::Id)?;
        let unique = Unique::new(name).hold_for(REMEMBERED);
        let options = EnqueueOptions::new().id(id).unique(unique).version(self.version);
        Ok(NewJob::new(&self.kind, &self.payload, options, PAYLOAD_LIMIT)?)
    }
}
