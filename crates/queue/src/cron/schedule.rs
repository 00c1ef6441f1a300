//! The definition of a schedule.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::ScheduleError;
use super::missed::{CatchUp, Overlap};
use super::recurrence::Recurrence;
use super::timetable::Timetable;
use tidegate_queue_broker::{Job, NameError, Priority, Timestamp, check_kind, check_queue_name, internal::check};

/// Longest name of a schedule, in bytes. Job ids contain it.
const NAME_LIMIT: usize = 64;
/// Largest payload, in bytes of JSON. Every scheduler reads all schedules every few seconds.
const PAYLOAD_LIMIT: usize = 16 << 10;
/// Largest limit on the runs of one catch-up.
const CATCH_UP_LIMIT: u32 = 500;
/// Longest grace.
const LONGEST_GRACE: Duration = Duration::from_secs(86_400);
/// Default grace.
const GRACE: Duration = Duration::from_secs(60);

/// A job that is enqueued periodically.
///
/// Serializes flat, in the form of the HTTP API: `{"name", "expression", "zone", "queue", "kind",
/// "payload", …}`, or with `every_ms` in place of expression and zone.
///
/// ```
/// use tidegate_queue::{CatchUp, Recurrence, Schedule};
///
/// let half_past_two = Recurrence::cron("30 2 * * *", "Europe/Berlin");
/// let schedule = Schedule::new("nightly-report", half_past_two, "report", "report.nightly")
///     .payload(serde_json::json!({"format": "csv"}))
///     .catch_up(CatchUp::Once);
/// schedule.check()?;
/// let text = r#"{"name":"n","every_ms":60000,"queue":"q","kind":"k"}"#;
/// assert_eq!(serde_json::from_str::<Schedule>(text)?.name, "n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
#[non_exhaustive]
#[must_use]
pub struct Schedule {
    /// Name: 1 to 64 of ASCII letters, digits, `_`, `-`, `.` and `:`.
    pub name: String,
    /// When it is due.
    pub recurrence: Recurrence,
    /// Queue of its jobs.
    pub queue: String,
    /// Kind of its jobs.
    pub kind: String,
    /// Payload of its jobs, at most 16 KiB as JSON.
    pub payload: Value,
    /// Version of the payload.
    pub version: u32,
    /// Priority of its jobs.
    pub priority: Priority,
    /// Most attempts, in place of the worker's policy.
    pub max_attempts: Option<u32>,
    /// Longest run time, in place of the worker's time-out.
    pub timeout: Option<Duration>,
    /// How to treat missed times.
    pub catch_up: CatchUp,
    /// How late a time may run without counting as missed: a minute by default, at most a day.
    pub grace: Duration,
    /// Whether runs may overlap.
    pub overlap: Overlap,
    /// Whether it is paused. It then makes no jobs, and times that pass don't count as missed.
    pub paused: bool,
    /// Last time at which it may be due.
    pub until: Option<Timestamp>,
}

impl Schedule {
    /// A schedule for jobs of any kind, with an empty object as payload.
    pub fn new(
        name: impl Into<String>,
        recurrence: Recurrence,
        queue: impl Into<String>,
        kind: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            recurrence,
            queue: queue.into(),
            kind: kind.into(),
            payload: Value::Object(serde_json::Map::new()),
            version: 1,
            priority: Priority::default(),
            max_attempts: None,
            timeout: None,
            catch_up: CatchUp::default(),
            grace: GRACE,
            overlap: Overlap::default(),
            paused: false,
            until: None,
        }
    }

    /// Creates a schedule for a typed job, with its kind, queue, version and payload.
    ///
    /// # Errors
    /// The job can't be written as JSON.
    pub fn of<J: Job>(name: impl Into<String>, recurrence: Recurrence, job: &J) -> Result<Self, serde_json::Error> {
        let payload = serde_json::to_value(job)?;
        Ok(Self { payload, version: J::VERSION, ..Self::new(name, recurrence, J::QUEUE, J::KIND) })
    }

    /// Sets the payload.
    pub fn payload(mut self, payload: Value) -> Self {
        self.payload = payload;
        self
    }

    /// Sets the payload's version.
    pub fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// Sets the priority.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Sets the number of attempts. Zero counts as one.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = Some(attempts.max(1));
        self
    }

    /// Sets the longest run time. Counted in milliseconds, at least one.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets how missed times are treated.
    pub fn catch_up(mut self, catch_up: CatchUp) -> Self {
        self.catch_up = catch_up;
        self
    }

    /// Sets how late a time may run without counting as missed.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets whether runs may overlap.
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.overlap = overlap;
        self
    }

    /// Sets whether it is paused.
    pub fn paused(mut self, paused: bool) -> Self {
        self.paused = paused;
        self
    }

    /// Sets the end: it is not due after `end`.
    pub fn until(mut self, end: Timestamp) -> Self {
        self.until = Some(end);
        self
    }

    /// Checks the whole schedule, except whether it is ever due.
    ///
    /// # Errors
    /// [`ScheduleError`] names the first fault.
    pub fn check(&self) -> Result<(), ScheduleError> {
        self.timetable().map(drop)
    }

    /// Checks the schedule, and returns its timetable.
    pub(super) fn timetable(&self) -> Result<Timetable, ScheduleError> {
        check_schedule_name(&self.name).map_err(ScheduleError::Name)?;
        check_queue_name(&self.queue).map_err(ScheduleError::QueueName)?;
        check_kind(&self.kind).map_err(ScheduleError::Kind)?;
        let bytes = self.payload.to_string().len();
        if bytes > PAYLOAD_LIMIT {
            return Err(ScheduleError::PayloadTooLarge { bytes, limit: PAYLOAD_LIMIT });
        }
        if self.grace > LONGEST_GRACE {
            return Err(ScheduleError::Grace { given: self.grace });
        }
        match self.catch_up {
            CatchUp::All { at_most } if !(1..=CATCH_UP_LIMIT).contains(&at_most) => {
                return Err(ScheduleError::CatchUp { given: at_most, limit: CATCH_UP_LIMIT });
            }
            _ => {}
        }
        Timetable::new(&self.recurrence)
    }

    /// The first time after `now`.
    pub(super) fn first(&self, now: Timestamp) -> Result<Timestamp, ScheduleError> {
        let first = self.timetable()?.first(now).filter(|first| self.until.is_none_or(|end| *first <= end));
        first.ok_or_else(|| self.never_fires(now))
    }

    pub(super) fn never_fires(&self, from: Timestamp) -> ScheduleError {
        ScheduleError::NeverFires { recurrence: self.recurrence.to_string(), from, until: self.until }
    }
}

/// Checks a name, which becomes part of job ids and document names.
pub(super) fn check_schedule_name(name: &str) -> Result<(), NameError> {
    check(name, NAME_LIMIT, "_-.:")
}

/// A schedule in JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expression: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    every_ms: Option<u64>,
    queue: String,
    kind: String,
    #[serde(default = "empty_object")]
    payload: Value,
    #[serde(default = "one")]
    version: u32,
    #[serde(default)]
    priority: Priority,
    #[serde(default)]
    max_attempts: Option<u32>,
    #[serde(default)]
    timeout_ms: Option<u64>,
    #[serde(default)]
    catch_up: CatchUp,
    #[serde(default = "grace_ms")]
    grace_ms: u64,
    #[serde(default)]
    overlap: Overlap,
    #[serde(default)]
    paused: bool,
    #[serde(default)]
    until: Option<Timestamp>,
}

fn empty_object() -> Value {
    Value::Object(serde_json::Map::new())
}

fn one() -> u32 {
    1
}

fn grace_ms() -> u64 {
    milliseconds(GRACE)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The JSON has no recurrence, or two.
#[derive(Debug, thiserror::Error)]
#[error("a schedule needs either expression (with zone, UTC by default) or every_ms")]
struct RecurrenceMissing;

impl TryFrom<Wire> for Schedule {
    type Error = RecurrenceMissing;

    fn try_from(wire: Wire) -> Result<Self, RecurrenceMissing> {
        let recurrence = match (wire.expression, wire.zone, wire.every_ms) {
            (Some(expression), zone, None) => {
                Recurrence::Cron { expression, zone: zone.unwrap_or_else(|| "UTC".to_owned()) }
            }
            (None, None, Some(ms)) => Recurrence::Every(Duration::from_millis(ms)),
            _ => return Err(RecurrenceMissing),
        };
        Ok(Self {
            name: wire.name,
            recurrence,
            queue: wire.queue,
            kind: wire.kind,
            payload: wire.payload,
            version: wire.version,
            priority: wire.priority,
            max_attempts: wire.max_attempts,
            timeout: wire.timeout_ms.map(Duration::from_millis),
            catch_up: wire.catch_up,
            grace: Duration::from_millis(wire.grace_ms),
            overlap: wire.overlap,
            paused: wire.paused,
            until: wire.until,
        })
    }
}

impl From<Schedule> for Wire {
    fn from(schedule: Schedule) -> Self {
        let (expression, zone, every_ms) = match schedule.recurrence {
            Recurrence::Cron { expression, zone } => (Some(expression), Some(zone), None),
            Recurrence::Every(interval) => (None, None, Some(milliseconds(interval))),
        };
        Self {
            name: schedule.name,
            expression,
            zone,
            every_ms,
            queue: schedule.queue,
            kind: schedule.kind,
            payload: schedule.payload,
            version: schedule.version,
            priority: schedule.priority,
            max_attempts: schedule.max_attempts,
            timeout_ms: schedule.timeout.map(milliseconds),
            catch_up: schedule.catch_up,
            grace_ms: milliseconds(schedule.grace),
            overlap: schedule.overlap,
            paused: schedule.paused,
            until: schedule.until,
        }
    }
}
