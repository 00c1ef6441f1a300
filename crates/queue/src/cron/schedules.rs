//! Changing schedules while schedulers run.

use std::sync::Arc;

use super::entry::{COLLECTION, Entry, ScheduleState};
use super::error::ScheduleError;
use super::fire::fire;
use super::schedule::{Schedule, check_schedule_name};
use crate::broker::{Broker, Document, Stored};
use crate::id::JobId;

/// How often a change that others overtook is tried anew.
const TRIES: usize = 32;

/// What became of a run that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Triggered {
    /// This job was enqueued.
    Enqueued(JobId),
    /// Nothing: the schedule's runs don't overlap, and this one is not finished.
    StillRunning(JobId),
}

/// A stored schedule that can't be read, maybe since a newer version wrote it. Schedulers leave it alone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokenSchedule {
    /// Its name.
    pub name: String,
    /// What is wrong with it.
    pub fault: String,
}

/// All schedules, by name.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Listing {
    /// Those that can be read.
    pub schedules: Vec<ScheduleState>,
    /// Those that can't. They can be removed, or put anew.
    pub broken: Vec<BrokenSchedule>,
}

/// The schedules of a broker, to be read and changed from anywhere while [`Scheduler`](crate::Scheduler)s run. Cheap to clone.
///
/// # What is guaranteed
///
/// Each time of a schedule that is neither missed nor skipped makes one job, however many schedulers run and whenever
/// they die. Times are worked out from the schedule as it is stored; a scheduler sees a change within its poll, 5 s by
/// default, so a schedule that is put may run its first time that much late.
///
/// # What remains
///
/// - A scheduler that stands still between its last look at a schedule and its enqueue, while others run the time and
///   the job's record is removed, enqueues the time once more when it goes on. So does one that catches up with a time
///   whose job was enqueued by a scheduler that died right then. Either way an hour must pass in between, and where runs
///   don't overlap, the time for which finished jobs are kept (see [`Retention`](crate::Retention)). One that had read a
///   schedule before it was removed or paused may still make the job that was due by then.
/// - The broker's clock decides. Set forward, the times between count as missed. Set back by less than three hours, a
///   schedule waits until the clock has caught up; by more, it begins anew from now.
/// - On Redis, a failover that loses the latest writes may lose a time's job and keep the schedule's step, or the other
///   way round: that time is lost, or is run again where the record of its job is lost as well.
/// - A job that was enqueued on time runs when a worker takes it, and like any job at least once.
///
/// ```
/// use std::sync::Arc;
/// use tidegate_queue::{Broker, MemoryBroker, Recurrence, Schedule, Schedules};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// # let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
/// let schedules = Schedules::new(broker);
/// let report = Schedule::new("report", Recurrence::cron("0 6 * * MON", "Europe/Berlin"), "report", "report.weekly");
/// schedules.put(report).await?;
/// schedules.trigger("report").await?; // now, beside its times
/// schedules.pause("report").await?;
/// assert_eq!(schedules.get("report").await?.expect("it is there").next, None);
/// assert!(schedules.remove("report").await?);
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Clone)]
pub struct Schedules {
    broker: Arc<dyn Broker>,
}

impl Schedules {
    /// The schedules of a broker.
    pub fn new(broker: Arc<dyn Broker>) -> Self {
        Self { broker }
    }

    /// Adds a schedule, or changes the one of that name.
    ///
    /// What fell due before a change is enqueued first, under the old terms. With another recurrence or end, or after a
    /// pause, the next time is worked out anew from now; any other change leaves it as it is.
    ///
    /// # Errors
    /// [`ScheduleError`] names what is wrong, [`NeverFires`](ScheduleError::NeverFires) included; then nothing was changed.
    pub async fn put(&self, schedule: Schedule) -> Result<ScheduleState, ScheduleError> {
        self.put_or_add(schedule, false).await
    }

    /// Adds a schedule.
    ///
    /// # Errors
    /// As [`put`](Self::put), and [`Exists`](ScheduleError::Exists).
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
                None => (None, Entry::new(schedule.clone(), now, 0)?),
                Some(document) => match Entry::read(name, &document) {
                    Ok(entry) if entry.is_due(now) || entry.is_astray(now) => {
                        // Terms under which nothing can be enqueued must not keep better ones from being put.
                        match fire(&*self.broker, &entry, now).await {
                            Err(ScheduleError::Broker(error)) => return Err(error.into()),
                            Ok(_) => continue,
                            Err(_) => (Some(document.revision), Entry::new(schedule.clone(), now, document.revision)?),
                        }
                    }
                    Ok(entry) => (Some(document.revision), entry.changed(schedule.clone(), now)?),
                    Err(_) => (Some(document.revision), Entry::new(schedule.clone(), now, document.revision)?),
                },
            };
            if self.write(name, expected, &entry).await? {
                return Ok(entry.state());
            }
        }
        Err(ScheduleError::Contended(schedule.name))
    }

    /// Reads one.
    ///
    /// # Errors
    /// A bad name, an unreadable schedule, or a failing broker.
    pub async fn get(&self, name: &str) -> Result<Option<ScheduleState>, ScheduleError> {
        let document = self.document(name).await?;
        document.map(|document| Entry::read(name, &document).map(Entry::state)).transpose()
    }

    /// Reads all, sorted by name.
    ///
    /// # Errors
    /// A failing broker.
    pub async fn list(&self) -> Result<Listing, ScheduleError> {
        let mut listing = Listing::default();
        for (name, document) in self.broker.documents(COLLECTION).await? {
            match Entry::read(&name, &document) {
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

    /// Removes one, whatever it holds. Jobs that it made stay. Returns whether it was there.
    ///
    /// # Errors
    /// A bad name, or a failing broker.
    pub async fn remove(&self, name: &str) -> Result<bool, ScheduleError> {
        for _ in 0..TRIES {
            let Some(document) = self.document(name).await? else { return Ok(false) };
            if self.broker.put_document(COLLECTION, name, Some(document.revision), None).await? {
                return Ok(true);
            }
        }
        Err(ScheduleError::Contended(name.to_owned()))
    }

    /// Makes no more jobs until resumed. Pausing a paused one changes nothing.
    ///
    /// # Errors
    /// A bad or [unknown](ScheduleError::Unknown) name, an unreadable schedule, or a failing broker.
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

    /// Goes on with the next time after now. What would have been due during the pause is not missed. Resuming one that
    /// isn't paused changes nothing.
    ///
    /// # Errors
    /// As [`pause`](Self::pause), and [`NeverFires`](ScheduleError::NeverFires) where its end has passed.
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

    /// Enqueues a job out of turn, of a paused or ended schedule too. Its times stay as they are.
    ///
    /// # Errors
    /// As [`pause`](Self::pause). The job may have been enqueued where the broker failed.
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

    async fn entry(&self, name: &str) -> Result<Entry, ScheduleError> {
        let document = self.document(name).await?.ok_or_else(|| ScheduleError::Unknown(name.to_owned()))?;
        Entry::read(name, &document)
    }

    async fn write(&self, name: &str, expected: Option<u64>, entry: &Entry) -> Result<bool, ScheduleError> {
        Ok(self.broker.put_document(COLLECTION, name, expected, Some(entry.text()?)).await?)
    }
}
