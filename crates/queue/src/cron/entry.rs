//! A schedule as it is stored: its terms, its next time, and the ids of its jobs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::ScheduleError;
use super::missed::Overlap;
use super::plan::Plan;
use super::schedule::Schedule;
use crate::producer::DEFAULT_PAYLOAD_LIMIT;
use tidegate_queue_broker::{Document, EnqueueError, EnqueueOptions, JobId, NewJob, Timestamp, Unique};

/// Collection of the schedules among the broker's documents.
pub(super) const COLLECTION: &str = "cron";
/// How long the unique key of a scheduled job is held, even if the job's record is removed earlier.
/// A scheduler that pauses for less than this between reading a schedule and enqueueing makes no
/// second job.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// If the clock was set back by more than this, it was wrong before: the schedule restarts from
/// now. If by less, it waits.
const SET_BACK: Duration = Duration::from_secs(3 * 3600);

/// The latest time of a schedule that was processed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastRun {
    /// The due time.
    pub due: Timestamp,
    /// When a scheduler processed it, by the broker's clock.
    pub at: Timestamp,
    /// Its job. If it was skipped, the job that was not finished.
    pub job: JobId,
    /// Whether it made no job because an earlier one was not finished.
    pub skipped: bool,
}

/// A schedule and its state. Serializes flat, with `next` and `last` next to the fields of the
/// schedule.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ScheduleState {
    /// The schedule.
    #[serde(flatten)]
    pub schedule: Schedule,
    /// Next due time. `None` while it is paused or when it has ended.
    pub next: Option<Timestamp>,
    /// The latest time that was processed. `None` if there is none yet.
    pub last: Option<LastRun>,
}

/// The stored document. Unknown fields make it unreadable: a newer version wrote it and has to
/// process it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    schedule: Schedule,
    /// Random, created with the schedule: a later schedule of the same name makes jobs with other
    /// ids.
    generation: String,
    /// Next due time; while paused, the time at which it would have been due.
    next: Option<Timestamp>,
    /// When `next` was computed.
    as_of: Timestamp,
    last: Option<LastRun>,
}

/// A stored schedule, as read.
#[derive(Clone, Debug)]
pub(super) struct ScheduleEntry {
    pub(super) revision: u64,
    body: Body,
}

fn new_generation() -> String {
    format!("{:08x}", rand::random::<u32>())
}

impl ScheduleEntry {
    pub(super) fn read(name: &str, document: &Document) -> Result<Self, ScheduleError> {
        let body = serde_json::from_str::<Body>(&document.body).map_err(|error| error.to_string());
        let body = body.and_then(|body| {
            if body.schedule.name == name { Ok(body) } else { Err("it says that it has another name".to_owned()) }
        });
        let broken = |fault| ScheduleError::Broken { name: name.to_owned(), fault };
        Ok(Self { revision: document.revision, body: body.map_err(broken)? })
    }

    /// A new schedule. `revision` is that of an unreadable one that it replaces.
    pub(super) fn new(schedule: Schedule, now: Timestamp, revision: u64) -> Result<Self, ScheduleError> {
        let next = Some(schedule.first(now)?);
        let body = Body { schedule, generation: new_generation(), next, as_of: now, last: None };
        Ok(Self { revision, body })
    }

    pub(super) fn text(&self) -> Result<String, ScheduleError> {
        let broken = |error: serde_json::Error| ScheduleError::Broken {
            name: self.body.schedule.name.clone(),
            fault: error.to_string(),
        };
        serde_json::to_string(&self.body).map_err(broken)
    }

    pub(super) fn schedule(&self) -> &Schedule {
        &self.body.schedule
    }

    pub(super) fn state(self) -> ScheduleState {
        let next = self.next();
        ScheduleState { next, schedule: self.body.schedule, last: self.body.last }
    }

    /// Next due time. `None` if it is paused or has ended.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.body.next.filter(|_| !self.body.schedule.paused)
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.next().is_some_and(|next| next <= now)
    }

    /// Whether the clock was far ahead of `now` when the next time was computed.
    pub(super) fn was_clock_ahead(&self, now: Timestamp) -> bool {
        self.next().is_some() && self.body.as_of.before(SET_BACK) > now
    }

    /// The schedule with other terms. Its next time stays, unless its recurrence or its end
    /// changes, or it was paused.
    pub(super) fn changed(mut self, schedule: Schedule, now: Timestamp) -> Result<Self, ScheduleError> {
        let old = &self.body.schedule;
        let same = old.recurrence == schedule.recurrence && old.until == schedule.until && self.next().is_some();
        let timetable = schedule.timetable()?;
        if !same {
            // An interval that was paused continues with its old phase.
            let due = self.body.next.filter(|_| old.recurrence == schedule.recurrence).unwrap_or(now);
            let next = timetable.next(due, now).filter(|next| schedule.until.is_none_or(|end| *next <= end));
            self.body.next = Some(next.ok_or_else(|| schedule.never_fires(now))?);
            self.body.as_of = now;
        }
        self.body.schedule = schedule;
        Ok(self)
    }

    /// Restarts from now, with new job ids: times that passed by the wrong clock come again.
    pub(super) fn begun_anew(mut self, now: Timestamp) -> Result<Self, ScheduleError> {
        let schedule = &self.body.schedule;
        let first = schedule.timetable()?.first(now);
        self.body.next = first.filter(|next| schedule.until.is_none_or(|end| *next <= end));
        self.body.as_of = now;
        self.body.generation = new_generation();
        Ok(self)
    }

    pub(super) fn paused(mut self) -> Self {
        self.body.schedule.paused = true;
        self
    }

    /// Returns which times run now.
    pub(super) fn plan(&self, now: Timestamp) -> Result<Plan, ScheduleError> {
        let schedule = &self.body.schedule;
        Ok(match self.next() {
            Some(due) if due <= now => Plan::new(schedule, &schedule.timetable()?, due, now),
            next => Plan { runs: Vec::new(), next },
        })
    }

    /// The schedule after the times of a plan.
    pub(super) fn moved(mut self, next: Option<Timestamp>, last: Option<LastRun>, now: Timestamp) -> Self {
        self.body.next = next;
        self.body.as_of = now;
        self.body.last = last.or(self.body.last);
        self
    }

    /// The job of one time.
    pub(super) fn job(&self, due: Timestamp) -> Result<NewJob, ScheduleError> {
        let id = format!("{}{}", self.id_stem(), due.unix_ms());
        // The key is held independently of the job's record.
        let unique = Unique::new(id.as_str()).hold_for(REMEMBERED);
        self.job_of(&id, Some(unique))
    }

    /// An additional job that no scheduled time makes.
    pub(super) fn extra_job(&self) -> Result<NewJob, ScheduleError> {
        let id = format!("{}x{:016x}", self.id_stem(), rand::random::<u64>());
        self.job_of(&id, None)
    }

    fn id_stem(&self) -> String {
        format!("cron:{}:{}:", self.body.schedule.name, self.body.generation)
    }

    fn job_of(&self, id: &str, unique: Option<Unique>) -> Result<NewJob, ScheduleError> {
        let schedule = &self.body.schedule;
        let broken = |fault: String| ScheduleError::Broken { name: schedule.name.clone(), fault };
        let id = JobId::new(id).map_err(|error| broken(error.to_string()))?;
        let mut options = EnqueueOptions::new().id(id).priority(schedule.priority).version(schedule.version);
        if let Some(attempts) = schedule.max_attempts {
            options = options.max_attempts(attempts);
        }
        if let Some(timeout) = schedule.timeout {
            options = options.timeout(timeout);
        }
        let unique = match schedule.overlap {
            Overlap::Allow => unique,
            Overlap::Skip => Some(Unique::new(format!("schedule:{}", schedule.name))),
        };
        if let Some(unique) = unique {
            options = options.unique(unique);
        }
        let job = NewJob::new(&schedule.kind, &schedule.payload, options, DEFAULT_PAYLOAD_LIMIT);
        job.map_err(|error| match error {
            EnqueueError::Kind(fault) => ScheduleError::Kind(fault),
            other => broken(other.to_string()),
        })
    }
}

/// The schedule and the time of a job, read from its id.
///
/// A handler that catches up with missed times finds out which time it runs for.
///
/// ```
/// use tidegate_queue::{JobId, ScheduledRun};
///
/// let id = JobId::new("cron:nightly:5f0c7a31:1700000000000~0b7")?;
/// let run = ScheduledRun::of(&id).expect("a schedule's job");
/// assert_eq!(run.schedule, "nightly");
/// assert_eq!(run.due.expect("not by hand").unix_ms(), 1_700_000_000_000);
/// # Ok::<(), tidegate_queue::IdError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScheduledRun {
    /// The schedule's name.
    pub schedule: String,
    /// The time it runs for. `None` if it was triggered manually.
    pub due: Option<Timestamp>,
}

impl ScheduledRun {
    /// Reads the id. `None` if no schedule made it.
    pub fn of(id: &JobId) -> Option<Self> {
        let own = id.as_str().split_once('~').map_or(id.as_str(), |(own, _)| own);
        let mut parts = own.strip_prefix("cron:")?.rsplitn(3, ':');
        let (time, generation, schedule) = (parts.next()?, parts.next()?, parts.next()?);
        let due = match time.strip_prefix('x') {
            Some(_) => None,
            None => Some(Timestamp::from_unix_ms(time.parse().ok()?)),
        };
        (generation.len() == 8).then(|| Self { schedule: schedule.to_owned(), due })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cron::Recurrence;

    fn entry() -> ScheduleEntry {
        let schedule = Schedule::new("a:b", Recurrence::Every(Duration::from_secs(60)), "q", "k");
        ScheduleEntry::new(schedule, Timestamp::from_unix_ms(1_000), 0).unwrap()
    }

    #[test]
    fn the_longest_name_still_makes_job_ids() {
        let mut entry = entry();
        entry.body.schedule.name = "n".repeat(64);
        entry.body.schedule.overlap = Overlap::Skip;
        let end = Timestamp::from_unix_ms(i64::MAX);
        for job in [entry.job(end).unwrap(), entry.extra_job().unwrap()] {
            assert_eq!(ScheduledRun::of(job.id()).unwrap().schedule, "n".repeat(64));
        }
        assert_eq!(ScheduledRun::of(entry.job(end).unwrap().id()).unwrap().due, Some(end));
    }

    #[test]
    fn only_ids_of_schedules_are_read() {
        for other in ["cron", "cron:a", "cron:a:b", "cron:a:12345678:x:y", "018f", "cron:a:12345678:", "cron:a:1:5"] {
            assert_eq!(ScheduledRun::of(&JobId::new(other).unwrap()), None, "{other}");
        }
    }

    #[test]
    fn documents_survive_text_and_unknown_fields_are_left_to_newer_versions() {
        let entry = entry();
        let document = Document { revision: 7, body: entry.text().unwrap() };
        let read = ScheduleEntry::read("a:b", &document).unwrap();
        assert_eq!((read.revision, read.body), (7, entry.body));
        let faults = ["{}", "", &document.body.replacen('{', "{\"new\":1,", 1), &document.body.replace("a:b", "c")];
        for body in faults {
            let error = ScheduleEntry::read("a:b", &Document { revision: 7, body: body.to_owned() }).unwrap_err();
            assert!(matches!(error, ScheduleError::Broken { .. }), "{error}");
        }
    }

    #[test]
    fn other_times_begin_from_now_and_the_rest_leaves_the_next_one_alone() {
        let at = Timestamp::from_unix_ms;
        let entry = entry();
        let same = entry.schedule().clone().payload(serde_json::json!(1));
        assert_eq!(entry.clone().changed(same, at(50_000)).unwrap().next(), Some(at(61_000)));
        let mut faster = entry.schedule().clone();
        faster.recurrence = Recurrence::Every(Duration::from_secs(10));
        assert_eq!(entry.clone().changed(faster, at(50_000)).unwrap().next(), Some(at(60_000)));
        let paused = entry.clone().paused();
        assert_eq!(paused.next(), None);
        let resumed = entry.schedule().clone();
        assert_eq!(paused.changed(resumed, at(500_000)).unwrap().next(), Some(at(541_000)), "in step");
        let ended = entry.schedule().clone().until(at(60_000));
        assert!(matches!(entry.changed(ended, at(50_000)), Err(ScheduleError::NeverFires { .. })));
    }
}
