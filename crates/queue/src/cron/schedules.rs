//! Reads and changes schedules while schedulers run.

use std::sync::Arc;

use super::entry::{COLLECTION, ScheduleEntry, ScheduleState};
use super::error::ScheduleError;
use super::fire::fire;
use super::schedule::{Schedule, check_schedule_name};
use tidegate_queue_broker::{Broker, Document, JobId, Stored};

/// How often a change is tried when concurrent changes make it fail.
const TRIES: usize = 32;

/// Result of triggering a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Triggered {
    /// A job with this id was enqueued.
    Enqueued(JobId),
    /// Nothing was enqueued: the schedule's runs don't overlap, and this one is not finished.
    StillRunning(JobId),
}

/// A stored schedule that can't be read, possibly because a newer version wrote it. Schedulers skip
/// it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokenSchedule {
    /// Its name.
    pub name: String,
    /// Description of the fault.
    pub fault: String,
}

/// All schedules, by name.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Listing {
    /// Readable schedules.
    pub schedules: Vec<ScheduleState>,
    /// Unreadable schedules. They can be removed or replaced.
    pub broken: Vec<BrokenSchedule>,
}

/// The schedules of a broker. They can be read and changed from any process while
/// [`Scheduler`](crate::Scheduler)s run. Cheap to clone.
///
#[doc = include_str!("schedules.md")]
#[derive(Clone)]
pub struct Schedules {
    broker: Arc<dyn Broker>,
}

impl Schedules {
    /// The schedules of a broker.
    pub fn new(broker: Arc<dyn Broker>) -> Self {
        Self { broker }
    }

    /// Adds a schedule, or changes the one with that name.
    ///
    /// Jobs that became due before a change are enqueued first, under the old terms. With another
    /// recurrence or end, or after a pause, the next time is computed again from now. Any other
    /// change keeps it.
    ///
    /// # Errors
    /// [`ScheduleError`] names the fault, including [`NeverFires`](ScheduleError::NeverFires).
    /// Nothing was changed then.
    pub async fn put(&self, schedule: Schedule) -> Result<ScheduleState, ScheduleError> {
        self.put_or_add(schedule, false).await
    }

    /// Adds a schedule.
    ///
    /// # Errors
    /// Like [`put`](Self::put), and [`Exists`](ScheduleError::Exists).
    pub async fn create(&self, schedule: Schedule) -> Result<ScheduleState, ScheduleError> {
        self.put_or_add(schedule, true).await
    }

    async fn put_or_add(&self, schedule: Schedule, only_new: bool) -> Result<ScheduleState, ScheduleError> {
        schedule.check()?;
        let name = &schedule.name;
        for _ in 0..TRIES {
            let found = self.document(name).await?;
            if only_new && found.is_some() {
                return Err(ScheduleError::Exists(name.clone()));
            }
            let now = self.broker.now().await?;
            let (expected, entry) = match found {
                None => (None, ScheduleEntry::new(schedule.clone(), now, 0)?),
                Some(document) => match ScheduleEntry::read(name, &document) {
                    Ok(entry) if entry.is_due(now) || entry.was_clock_ahead(now) => {
                        // A schedule whose jobs can't be enqueued must not prevent a better one
                        // from being put.
                        match fire(&*self.broker, &entry, now).await {
                            Err(ScheduleError::Broker(error)) => return Err(error.into()),
                            Ok(_) => continue,
                            Err(_) => {
                                (Some(document.revision), ScheduleEntry::new(schedule.clone(), now, document.revision)?)
                            }
                        }
                    }
                    Ok(entry) => (Some(document.revision), entry.changed(schedule.clone(), now)?),
                    Err(_) => (Some(document.revision), ScheduleEntry::new(schedule.clone(), now, document.revision)?),
                },
            };
            if self.write(name, expected, &entry).await? {
                return Ok(entry.state());
            }
        }
        Err(ScheduleError::Contended(schedule.name))
    }

    /// Reads one schedule.
    ///
    /// # Errors
    /// A bad name, an unreadable schedule, or a broker error.
    pub async fn get(&self, name: &str) -> Result<Option<ScheduleState>, ScheduleError> {
        let document = self.document(name).await?;
        document.map(|document| ScheduleEntry::read(name, &document).map(ScheduleEntry::state)).transpose()
    }

    /// Reads all schedules, sorted by name.
    ///
    /// # Errors
    /// A broker error.
    pub async fn list(&self) -> Result<Listing, ScheduleError> {
        let mut listing = Listing::default();
        for (name, document) in self.broker.documents(COLLECTION).await? {
            match ScheduleEntry::read(&name, &document) {
                Ok(entry) => listing.schedules.push(entry.state()),
                Err(error) => {
                    let fault = match error {
                        ScheduleError::Broken { fault, .. } => fault,
                        other => other.to_string(),
                    };
                    listing.broken.push(BrokenSchedule { name, fault });
                }
            }
        }
        Ok(listing)
    }

    /// Removes a schedule, even an unreadable one. Its jobs stay. Returns whether it existed.
    ///
    /// # Errors
    /// A bad name, or a broker error.
    pub async fn remove(&self, name: &str) -> Result<bool, ScheduleError> {
        for _ in 0..TRIES {
            let Some(document) = self.document(name).await? else { return Ok(false) };
            if self.broker.put_document(COLLECTION, name, Some(document.revision), None).await? {
                return Ok(true);
            }
        }
        Err(ScheduleError::Contended(name.to_owned()))
    }

    /// Pauses a schedule: it makes no more jobs until it is resumed. Pausing a paused schedule has
    /// no effect.
    ///
    /// # Errors
    /// A bad or [unknown](ScheduleError::Unknown) name, an unreadable schedule, or a broker error.
    pub async fn pause(&self, name: &str) -> Result<ScheduleState, ScheduleError> {
        for _ in 0..TRIES {
            let entry = self.entry(name).await?;
            if entry.schedule().paused {
                return Ok(entry.state());
            }
            let revision = entry.revision;
            let paused = entry.paused();
            if self.write(name, Some(revision), &paused).await? {
                return Ok(paused.state());
            }
        }
        Err(ScheduleError::Contended(name.to_owned()))
    }

    /// Resumes a schedule with the next time after now. Times that passed during the pause don't
    /// count as missed. Resuming a schedule that isn't paused has no effect.
    ///
    /// # Errors
    /// Like [`pause`](Self::pause), and [`NeverFires`](ScheduleError::NeverFires) if its end has
    /// passed.
    pub async fn resume(&self, name: &str) -> Result<ScheduleState, ScheduleError> {
        for _ in 0..TRIES {
            let entry = self.entry(name).await?;
            if !entry.schedule().paused {
                return Ok(entry.state());
            }
            let now = self.broker.now().await?;
            let revision = entry.revision;
            let schedule = entry.schedule().clone().paused(false);
            let resumed = entry.changed(schedule, now)?;
            if self.write(name, Some(revision), &resumed).await? {
                return Ok(resumed.state());
            }
        }
        Err(ScheduleError::Contended(name.to_owned()))
    }

    /// Enqueues a job now, also for a paused or ended schedule. Its scheduled times don't change.
    ///
    /// # Errors
    /// Like [`pause`](Self::pause). If the broker failed, the job may have been enqueued.
    pub async fn trigger(&self, name: &str) -> Result<Triggered, ScheduleError> {
        let entry = self.entry(name).await?;
        let job = entry.extra_job()?;
        let id = job.id().clone();
        let stored = self.broker.enqueue(&entry.schedule().queue, vec![job]).await?;
        Ok(match stored.into_iter().next() {
            Some(Stored::Duplicate(other)) => Triggered::StillRunning(other),
            _ => Triggered::Enqueued(id),
        })
    }

    async fn document(&self, name: &str) -> Result<Option<Document>, ScheduleError> {
        check_schedule_name(name).map_err(ScheduleError::Name)?;
        Ok(self.broker.document(COLLECTION, name).await?)
    }

    async fn entry(&self, name: &str) -> Result<ScheduleEntry, ScheduleError> {
        let document = self.document(name).await?.ok_or_else(|| ScheduleError::Unknown(name.to_owned()))?;
        ScheduleEntry::read(name, &document)
    }

    async fn write(&self, name: &str, expected: Option<u64>, entry: &ScheduleEntry) -> Result<bool, ScheduleError> {
        Ok(self.broker.put_document(COLLECTION, name, expected, Some(entry.text()?)).await?)
    }
}
