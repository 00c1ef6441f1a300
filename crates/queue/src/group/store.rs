//! The stored form of a group, and the step that completes it.

use serde::{Deserialize, Serialize};

use super::completion::Completion;
use super::error::GroupError;
use super::progress::{CompletionJob, GroupProgress};
use tidegate_queue_broker::{
    Broker, Document, GroupCounts, GroupId, JobId, Stored, Timestamp,
    internal::{COMPLETED, OPEN},
};

/// The stored document. Unknown fields make it unreadable: a newer version wrote it and has to
/// process it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    pub(super) queue: String,
    /// Random, so that a later group with the same id has another completion job.
    pub(super) generation: String,
    pub(super) completion: Option<Completion>,
    pub(super) created_at: Timestamp,
    pub(super) sealed_at: Option<Timestamp>,
    pub(super) end: Option<End>,
}

/// The end of a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    pub(super) at: Timestamp,
    pub(super) total: u64,
    pub(super) done: u64,
    pub(super) dead: u64,
    pub(super) cancelled: u64,
    pub(super) job: Option<JobId>,
}

/// A stored group and the revision at which it was read.
#[derive(Clone, Debug)]
pub(super) struct GroupEntry {
    pub(super) id: GroupId,
    pub(super) revision: u64,
    pub(super) body: Body,
}

impl GroupEntry {
    pub(super) fn read(id: GroupId, document: &Document) -> Result<Self, GroupError> {
        match serde_json::from_str(&document.body) {
            Ok(body) => Ok(Self { id, revision: document.revision, body }),
            Err(error) => Err(GroupError::Broken { id, fault: error.to_string() }),
        }
    }

    pub(super) async fn find(broker: &dyn Broker, id: &GroupId, collection: &str) -> Result<Option<Self>, GroupError> {
        let document = broker.document(collection, id.as_str()).await?;
        document.map(|document| Self::read(id.clone(), &document)).transpose()
    }

    pub(super) async fn counts(&self, broker: &dyn Broker) -> Result<GroupCounts, GroupError> {
        let counts = broker.group(&self.body.queue, &self.id).await?;
        Ok(counts.unwrap_or_else(|| match &self.body.end {
            Some(End { total, done, dead, cancelled, .. }) => {
                GroupCounts { total: *total, done: *done, dead: *dead, cancelled: *cancelled }
            }
            None => GroupCounts::default(),
        }))
    }

    /// Completes the group if it is sealed and has no pending member. Returns whether it has
    /// completed by now.
    ///
    /// Order of the steps: enqueue the job, record the end, remove the open group. A process that
    /// crashes in between leaves an open group, and the next process repeats the steps. The job is
    /// the same each time and has a unique key, so it is enqueued once.
    pub(super) async fn complete(&self, broker: &dyn Broker) -> Result<bool, GroupError> {
        let Self { id, revision, body } = self;
        if body.sealed_at.is_none() {
            return Ok(false);
        }
        let counts = self.counts(broker).await?;
        if counts.pending() > 0 {
            return Ok(false);
        }
        let mut job = None;
        if let Some(completion) = body.completion.as_ref().filter(|completion| completion.is_wanted(counts)) {
            let new = completion.enqueued_as(id, &body.generation)?;
            let known_as = new.id().clone();
            job = Some(match broker.enqueue(completion.queue(), vec![new]).await?.pop() {
                Some(Stored::Duplicate(holder)) => holder,
                _ => known_as,
            });
        }
        let GroupCounts { total, done, dead, cancelled } = counts;
        let end = Some(End { at: broker.now().await?, total, done, dead, cancelled, job });
        let text = text(id, &Body { end, ..body.clone() })?;
        // Refused if another process was faster: then the document exists.
        broker.put_document(COMPLETED, id.as_str(), None, Some(text)).await?;
        broker.put_document(OPEN, id.as_str(), Some(*revision), None).await?;
        Ok(true)
    }

    pub(super) fn progress(self, counts: GroupCounts) -> GroupProgress {
        let Self { id, body, .. } = self;
        let completion_queue = body.completion.map(|completion| completion.queue().to_owned());
        let completion_job = completion_queue
            .zip(body.end.as_ref().and_then(|end| end.job.clone()))
            .map(|(queue, id)| CompletionJob { queue, id });
        GroupProgress {
            id,
            queue: body.queue,
            total: counts.total,
            done: counts.done,
            dead: counts.dead,
            cancelled: counts.cancelled,
            pending: counts.pending(),
            sealed: body.sealed_at.is_some(),
            created_at: body.created_at,
            completed_at: body.end.map(|end| end.at),
            completion_job,
        }
    }
}

pub(super) fn text(id: &GroupId, body: &Body) -> Result<String, GroupError> {
    serde_json::to_string(body).map_err(|error| GroupError::Broken { id: id.clone(), fault: error.to_string() })
}
