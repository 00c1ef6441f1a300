//! A group as it is stored, and the step in which it completes.

use serde::{Deserialize, Serialize};

use super::completion::Completion;
use super::error::GroupError;
use super::progress::{CompletionJob, GroupProgress};
use crate::broker::{Broker, Document, GroupCounts, Stored};
use crate::clock::Timestamp;
use crate::id::{GroupId, JobId};

/// Groups that have not completed.
pub(super) const OPEN: &str = "groups.open";
/// Those that have.
pub(super) const COMPLETED: &str = "groups.completed";

/// What is stored. Fields that aren't known here come from a newer version, which then is the one to deal with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    pub(super) queue: String,
    /// Random: a later group of the same id has another completion job.
    pub(super) generation: String,
    pub(super) completion: Option<Completion>,
    pub(super) created_at: Timestamp,
    pub(super) sealed_at: Option<Timestamp>,
    pub(super) end: Option<End>,
}

/// How a group ended.
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

/// A group and the revision it was read at.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: GroupId,
    pub(super) revision: u64,
    pub(super) body: Body,
}

impl Entry {
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

    /// Completes the group if it is sealed and nothing is pending. Returns whether it has completed by now.
    ///
    /// First the job, then the record of the end, then the open group goes: whoever dies in between leaves an open group,
    /// and the next one does the same again. The job is the same, and held unique, so it is enqueued once.
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
        // Refused where someone else was faster: then it is there.
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
