//! Creating, changing and reading groups.

use std::sync::Arc;

use serde_json::Value;

use super::completion::Completion;
use super::error::GroupError;
use super::progress::GroupProgress;
use super::store::{Body, GroupEntry, text};
use crate::event::{Event, IgnoreEvents, Observer, notify};
use crate::producer::DEFAULT_PAYLOAD_LIMIT;
use tidegate_queue_broker::{
    Broker, Document, EnqueueError, EnqueueOptions, GroupId, Job, JobId, NewJob, check_queue_name,
    internal::{COMPLETED, OPEN},
};

/// How often a change is tried when concurrent changes make it fail.
const TRIES: usize = 32;

/// Describes a group that is to be created.
#[derive(Clone, Debug)]
#[must_use]
pub struct NewGroup {
    queue: String,
    id: Option<GroupId>,
    completion: Option<Completion>,
}

impl NewGroup {
    /// A group of jobs of one queue, under a new id and without a completion job.
    pub fn new(queue: impl Into<String>) -> Self {
        Self { queue: queue.into(), id: None, completion: None }
    }

    /// Sets the id. Ids of groups are unique in a broker, across all queues.
    pub fn id(mut self, id: GroupId) -> Self {
        self.id = Some(id);
        self
    }

    /// Sets the completion job.
    pub fn completion(mut self, completion: Completion) -> Self {
        self.completion = Some(completion);
        self
    }
}

/// The groups of a broker: jobs that are counted together, with a completion job that is enqueued
/// when all have ended. Cheap to clone.
///
/// A group is created, gets members, and is sealed. A sealed group accepts no more members. It
/// completes when its last member has ended: done, dead or cancelled. Members are added here, or
/// enqueued with [`EnqueueOptions::group`](crate::EnqueueOptions::group), also by other members.
/// Seal the group after all calls that add members have returned.
///
#[doc = include_str!("groups.md")]
#[derive(Clone)]
pub struct Groups {
    broker: Arc<dyn Broker>,
    observer: Arc<dyn Observer>,
}

impl Groups {
    /// The groups of a broker.
    pub fn new(broker: Arc<dyn Broker>) -> Self {
        Self { broker, observer: Arc::new(IgnoreEvents) }
    }

    /// Sets the observer, which is notified of members that are enqueued here.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// Creates a group.
    ///
    /// # Errors
    /// [`GroupError::Exists`], a bad name or payload, or a broker error.
    pub async fn create(&self, group: NewGroup) -> Result<GroupId, GroupError> {
        let id = group.id.clone().unwrap_or_else(GroupId::generate);
        if self.ensure(NewGroup { id: Some(id.clone()), ..group }).await? {
            Ok(id)
        } else {
            Err(GroupError::Exists(id))
        }
    }

    /// Whether the stored group of that id has the same queue and completion job.
    ///
    /// # Errors
    /// [`GroupError::Unknown`], [`Broken`](GroupError::Broken), or a broker error.
    pub async fn is_alike(&self, group: &NewGroup) -> Result<bool, GroupError> {
        let Some(id) = &group.id else { return Ok(false) };
        let Body { queue, completion, .. } = self.entry(id).await?.body;
        Ok(queue == group.queue && completion == group.completion)
    }

    /// Creates a group unless it exists. Returns whether it was created.
    pub(crate) async fn ensure(&self, group: NewGroup) -> Result<bool, GroupError> {
        let NewGroup { queue, id, completion } = group;
        check_queue_name(&queue).map_err(EnqueueError::QueueName)?;
        completion.as_ref().map_or(Ok(()), Completion::check)?;
        let id = id.unwrap_or_else(GroupId::generate);
        if self.broker.document(COMPLETED, id.as_str()).await?.is_some() {
            return Ok(false);
        }
        let body = Body {
            queue,
            generation: format!("{:08x}", rand::random::<u32>()),
            completion,
            created_at: self.broker.now().await?,
            sealed_at: None,
            end: None,
        };
        Ok(self.broker.put_document(OPEN, id.as_str(), None, Some(text(&id, &body)?)).await?)
    }

    /// Enqueues members in one step, all or none, like
    /// [`Producer::enqueue_all`](crate::Producer::enqueue_all). Pass at most hundreds of jobs per
    /// call. The ids are in the order of `jobs`.
    ///
    /// # Errors
    /// [`GroupError::Sealed`], [`OtherQueue`](GroupError::OtherQueue),
    /// [`Unknown`](GroupError::Unknown), or an enqueue error.
    pub async fn add_all<J: Job>(&self, id: &GroupId, jobs: &[J]) -> Result<Vec<JobId>, GroupError> {
        let entry = self.entry(id).await?;
        if entry.body.queue != J::QUEUE {
            return Err(GroupError::OtherQueue { group: id.clone(), queue: entry.body.queue, other: J::QUEUE });
        }
        if entry.body.sealed_at.is_some() {
            return Err(GroupError::Sealed(id.clone()));
        }
        let member = |job| NewJob::of(job, EnqueueOptions::new().group(id.clone()), DEFAULT_PAYLOAD_LIMIT);
        let mut members = jobs.iter().map(member).collect::<Result<Vec<_>, _>>()?;
        if self.broker.is_partitioned() {
            let route = rand::random();
            members = members.into_iter().map(|job| job.routed(route)).collect();
        }
        let ids = members.iter().map(|job| job.id().clone()).collect();
        let stored = self.broker.enqueue(J::QUEUE, members).await?;
        let count = stored.iter().filter(|stored| stored.is_new()).count();
        notify(&*self.observer, &Event::Enqueued { queue: J::QUEUE, count });
        Ok(ids)
    }

    /// Seals the group: it accepts no more members, and completes as soon as no member is pending,
    /// which may be at once. Sealing a sealed group has no effect.
    ///
    /// # Errors
    /// [`GroupError::Unknown`], [`Broken`](GroupError::Broken),
    /// [`Contended`](GroupError::Contended), or a broker error.
    pub async fn seal(&self, id: &GroupId) -> Result<(), GroupError> {
        for _ in 0..TRIES {
            let entry = self.entry(id).await?;
            if entry.body.sealed_at.is_some() {
                entry.complete_unless_done(&*self.broker).await?;
                return Ok(());
            }
            let sealed = Body { sealed_at: Some(self.broker.now().await?), ..entry.body };
            let text = text(id, &sealed)?;
            // The next iteration completes the group if no member is pending.
            self.broker.put_document(OPEN, id.as_str(), Some(entry.revision), Some(text)).await?;
        }
        Err(GroupError::Contended(id.clone()))
    }

    /// Returns the progress of a group.
    ///
    /// # Errors
    /// [`GroupError::Unknown`], [`Broken`](GroupError::Broken), or a broker error.
    pub async fn progress(&self, id: &GroupId) -> Result<GroupProgress, GroupError> {
        let entry = self.entry(id).await?;
        let counts = entry.counts(&*self.broker).await?;
        Ok(entry.progress(counts))
    }

    /// Removes a group and its counts; its jobs stay. Returns whether it existed. An unreadable
    /// group is removed too, and its counts as well if its queue can be read.
    ///
    /// # Errors
    /// A broker error.
    pub async fn forget(&self, id: &GroupId) -> Result<bool, GroupError> {
        let mut found = false;
        for collection in [OPEN, COMPLETED] {
            if let Some(document) = self.broker.document(collection, id.as_str()).await? {
                found |= match GroupEntry::read(id.clone(), &document) {
                    Ok(entry) => forget(&*self.broker, &entry, collection).await?,
                    Err(_) => self.forget_broken(id, &document, collection).await?,
                };
            }
        }
        Ok(found)
    }

    async fn forget_broken(&self, id: &GroupId, document: &Document, collection: &str) -> Result<bool, GroupError> {
        let body: Value = serde_json::from_str(&document.body).unwrap_or_default();
        if let Some(queue) = body["queue"].as_str().filter(|queue| check_queue_name(queue).is_ok()) {
            self.broker.forget_group(queue, id).await?;
        }
        Ok(self.broker.put_document(collection, id.as_str(), Some(document.revision), None).await?)
    }

    async fn entry(&self, id: &GroupId) -> Result<GroupEntry, GroupError> {
        // Read in the order in which a group moves, so a group that exists is found in one of them.
        for collection in [OPEN, COMPLETED] {
            if let Some(entry) = GroupEntry::find(&*self.broker, id, collection).await? {
                return Ok(entry);
            }
        }
        Err(GroupError::Unknown(id.clone()))
    }
}

impl GroupEntry {
    async fn complete_unless_done(&self, broker: &dyn Broker) -> Result<bool, GroupError> {
        if self.body.end.is_some() { Ok(true) } else { self.complete(broker).await }
    }
}

/// Removes the counts first. If the process crashes in between, the group is removed next time.
pub(super) async fn forget(broker: &dyn Broker, entry: &GroupEntry, collection: &str) -> Result<bool, GroupError> {
    broker.forget_group(&entry.body.queue, &entry.id).await?;
    Ok(broker.put_document(collection, entry.id.as_str(), Some(entry.revision), None).await?)
}
