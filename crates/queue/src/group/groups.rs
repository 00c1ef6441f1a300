//! Making groups and looking at them.

use std::sync::Arc;

use serde_json::Value;

use super::completion::Completion;
use super::error::GroupError;
use super::progress::GroupProgress;
use super::store::{Body, COMPLETED, Entry, OPEN, text};
use crate::broker::{Broker, Document, NewJob};
use crate::error::EnqueueError;
use crate::event::{Event, IgnoreEvents, Observer, tell};
use crate::id::{GroupId, JobId};
use crate::job::Job;
use crate::name::check_queue_name;
use crate::options::EnqueueOptions;
use crate::producer::DEFAULT_PAYLOAD_LIMIT;

/// How often a change that others overtook is tried anew.
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

    /// Names it. No two groups of a broker have the same name, also in different queues.
    pub fn id(mut self, id: GroupId) -> Self {
        self.id = Some(id);
        self
    }

    /// Sets the job that it ends with.
    pub fn completion(mut self, completion: Completion) -> Self {
        self.completion = Some(completion);
        self
    }
}

/// The groups of a broker: jobs that are counted together, with one more job when all have ended. Cheap to clone.
///
/// A group is created, gets members, and is sealed: then it takes no more, and completes when its last member has ended, be
/// it done, dead or cancelled. Members are added here, or enqueued with
/// [`EnqueueOptions::group`](crate::EnqueueOptions::group), also by other members: seal when all who add have returned.
///
/// # What is guaranteed
///
/// The completion job is enqueued once, however many workers see the last member end and whenever they die. A worker that
/// settled a member looks within about a tenth of a second; where none did (the last member was cancelled, or its worker
/// died), workers of the queue look at open groups every few seconds.
///
/// # What remains
///
/// - A process that stands still in the midst of completing a group, while others complete it, and goes on more than a day
///   later, enqueues its job again if the job's record is gone.
/// - A job that names a sealed or completed group, or a group in another queue, is
///   [refused](crate::BrokerError::Group). One that is enqueued in the moment of sealing may still get in: it runs, and is
///   counted, but the group may have completed by then. A dead member that is retried by hand moves the counts again, and completes nothing a second time.
/// - Completed groups are kept for a day, the latest 1,000 of them; a group that is never sealed, until it is
///   [forgotten](Self::forget).
/// - Each open group is looked at every few seconds, at the cost of some reads: keep to hundreds of open ones at a time.
/// - Groups that jobs only name have counts and nothing else; the counts stay, a few dozen bytes each.
/// - A completion job that runs only [where all succeeded](crate::CompletionPolicy) looks at the counts as they are when the
///   last member ends: what is retried by hand later makes up for nothing.
/// - On Redis, a failover that loses the latest writes may lose members, their ends, or the group.
///
/// ```
/// use std::sync::Arc;
/// use tidegate_queue::{Broker, Completion, Groups, Job, MemoryBroker, NewGroup};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Resize { image: u64 }
///
/// impl Job for Resize {
///     const KIND: &'static str = "resize";
///     const QUEUE: &'static str = "images";
/// }
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Publish { album: u64 }
///
/// impl Job for Publish {
///     const KIND: &'static str = "publish";
///     const QUEUE: &'static str = "albums";
/// }
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// # let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
/// let groups = Groups::new(broker);
/// let publish = Completion::job(&Publish { album: 7 })?;
/// let id = groups.create(NewGroup::new("images").completion(publish)).await?;
/// groups.add_all(&id, &[Resize { image: 1 }, Resize { image: 2 }]).await?;
/// groups.seal(&id).await?;
/// assert_eq!(groups.progress(&id).await?.pending, 2);
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
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

    /// Sets who hears of members that are enqueued here.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// Creates a group.
    ///
    /// # Errors
    /// [`GroupError::Exists`], a bad name or payload, or a failing broker.
    pub async fn create(&self, group: NewGroup) -> Result<GroupId, GroupError> {
        let id = group.id.clone().unwrap_or_else(GroupId::generate);
        if self.ensure(NewGroup { id: Some(id.clone()), ..group }).await? {
            Ok(id)
        } else {
            Err(GroupError::Exists(id))
        }
    }

    /// Whether the group of that name was created with the same queue and completion job.
    ///
    /// # Errors
    /// [`GroupError::Unknown`], [`Broken`](GroupError::Broken), or a failing broker.
    pub async fn is_alike(&self, group: &NewGroup) -> Result<bool, GroupError> {
        let Some(id) = &group.id else { return Ok(false) };
        let Body { queue, completion, .. } = self.entry(id).await?.body;
        Ok(queue == group.queue && completion == group.completion)
    }

    /// Creates a group unless it is there. Returns whether it was not.
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

    /// Enqueues members, all or none, in one step, as [`Producer::enqueue_all`](crate::Producer::enqueue_all) does: keep to
    /// hundreds in a call. Ids are in the order of `jobs`.
    ///
    /// # Errors
    /// [`GroupError::Sealed`], [`OtherQueue`](GroupError::OtherQueue), [`Unknown`](GroupError::Unknown), or what enqueueing
    /// them came to.
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
        tell(&*self.observer, &Event::Enqueued { queue: J::QUEUE, count });
        Ok(ids)
    }

    /// Takes no more members: from now on the group completes as soon as none is pending, which may be at once. Sealing a
    /// sealed one changes nothing.
    ///
    /// # Errors
    /// [`GroupError::Unknown`], [`Broken`](GroupError::Broken), [`Contended`](GroupError::Contended), or a failing broker.
    pub async fn seal(&self, id: &GroupId) -> Result<(), GroupError> {
        for _ in 0..TRIES {
            let entry = self.entry(id).await?;
            if entry.body.sealed_at.is_some() {
                entry.complete_unless_done(&*self.broker).await?;
                return Ok(());
            }
            let sealed = Body { sealed_at: Some(self.broker.now().await?), ..entry.body };
            let text = text(id, &sealed)?;
            // Goes round once more, to complete it where nothing is pending.
            self.broker.put_document(OPEN, id.as_str(), Some(entry.revision), Some(text)).await?;
        }
        Err(GroupError::Contended(id.clone()))
    }

    /// How far it has come.
    ///
    /// # Errors
    /// [`GroupError::Unknown`], [`Broken`](GroupError::Broken), or a failing broker.
    pub async fn progress(&self, id: &GroupId) -> Result<GroupProgress, GroupError> {
        let entry = self.entry(id).await?;
        let counts = entry.counts(&*self.broker).await?;
        Ok(entry.progress(counts))
    }

    /// Forgets a group and its counts; its jobs stay. Returns whether it was there. One that can't be read goes too, and its
    /// counts with it as far as its queue can be read.
    ///
    /// # Errors
    /// A failing broker.
    pub async fn forget(&self, id: &GroupId) -> Result<bool, GroupError> {
        let mut found = false;
        for collection in [OPEN, COMPLETED] {
            if let Some(document) = self.broker.document(collection, id.as_str()).await? {
                found |= match Entry::read(id.clone(), &document) {
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

    async fn entry(&self, id: &GroupId) -> Result<Entry, GroupError> {
        // It goes from the one to the other, so it is in neither only where it is gone.
        for collection in [OPEN, COMPLETED] {
            if let Some(entry) = Entry::find(&*self.broker, id, collection).await? {
                return Ok(entry);
            }
        }
        Err(GroupError::Unknown(id.clone()))
    }
}

impl Entry {
    async fn complete_unless_done(&self, broker: &dyn Broker) -> Result<bool, GroupError> {
        if self.body.end.is_some() { Ok(true) } else { self.complete(broker).await }
    }
}

/// Counts first: whoever dies in between leaves a group that is forgotten next time.
pub(super) async fn forget(broker: &dyn Broker, entry: &Entry, collection: &str) -> Result<bool, GroupError> {
    broker.forget_group(&entry.body.queue, &entry.id).await?;
    Ok(broker.put_document(collection, entry.id.as_str(), Some(entry.revision), None).await?)
}
