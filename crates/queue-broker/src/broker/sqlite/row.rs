//! Conversion of rows to values.

use std::time::Duration;

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::broker::counts::slot;
use crate::broker::standing::Standing;
use crate::broker::{QueueSettings, Rate, Throttle};
use crate::id::{GroupId, JobId, WorkerId};
use crate::record::{JobRecord, Progress};
use crate::state::{JobState, Priority};
use crate::timestamp::Timestamp;

/// A row of the table `job`.
pub(super) struct StoredJob {
    pub(super) seq: i64,
    pub(super) rank: i64,
    pub(super) id: JobId,
    pub(super) priority: Priority,
    pub(super) standing: Standing,
    kind: String,
    version: u32,
    payload: String,
    max_attempts: Option<u32>,
    pub(super) created_at: Timestamp,
    expires_at: Option<Timestamp>,
    pub(super) links: Links,
}

/// Keys and group of a job.
pub(super) struct Links {
    pub(super) ordering_key: Option<String>,
    pub(super) unique_key: Option<String>,
    /// Whether the end of the job releases its unique key.
    pub(super) holds_key: bool,
    pub(super) group: Option<String>,
}

impl Links {
    pub(super) fn read(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            ordering_key: row.try_get("ordering_key")?,
            unique_key: row.try_get("unique_key")?,
            holds_key: row.try_get("holds_key")?,
            group: row.try_get("job_group")?,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ordering_key.is_none() && self.unique_key.is_none() && self.group.is_none()
    }
}

/// The settings of a queue, and the fill level of its rate's bucket.
pub(super) fn settings(row: &SqliteRow) -> Result<(QueueSettings, Throttle), sqlx::Error> {
    let (jobs, per): (Option<u32>, Option<i64>) = (row.try_get("rate_jobs")?, row.try_get("rate_per_ms")?);
    let rate = jobs.zip(per).map(|(jobs, per)| Rate::new(jobs, Duration::from_millis(u64::try_from(per).unwrap_or(0))));
    let settings = QueueSettings {
        max_running: row.try_get("max_running")?,
        rate: rate.transpose().map_err(unreadable("rate_jobs"))?,
        events: row.try_get("events")?,
    };
    Ok((settings, Throttle { full_at: row.try_get("full_at")? }))
}

impl StoredJob {
    pub(super) fn read(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        let percent: Option<u8> = row.try_get("percent")?;
        let message: Option<String> = row.try_get("message")?;
        let history: Option<String> = row.try_get("history")?;
        let nonce: Option<String> = row.try_get("nonce")?;
        let standing = Standing {
            state: state(row.try_get("state")?)?,
            at: time(row, "at")?,
            ready_at: time(row, "ready_at")?,
            run_at: time(row, "run_at")?,
            delivery: row.try_get("delivery")?,
            nonce: nonce.as_deref().map(WorkerId::from_stored),
            failures: row.try_get("failures")?,
            lost: row.try_get("lost")?,
            furthest: row.try_get("furthest")?,
            cancel_requested: row.try_get("cancel_requested")?,
            started_at: maybe_time(row, "started_at")?,
            finished_at: maybe_time(row, "finished_at")?,
            progress: percent.map(|percent| Progress { percent, message: message.unwrap_or_default() }),
            result: row.try_get("result")?,
            history: match history {
                Some(text) => serde_json::from_str(&text).map_err(unreadable("history"))?,
                None => Vec::new(),
            },
            note: row.try_get("note")?,
            checkpoint: row.try_get("checkpoint")?,
        };
        Ok(Self {
            seq: row.try_get("seq")?,
            rank: row.try_get("rank")?,
            id: id(row)?,
            priority: priority(row)?,
            standing,
            kind: row.try_get("kind")?,
            version: row.try_get("version")?,
            payload: row.try_get("payload")?,
            max_attempts: row.try_get("max_attempts")?,
            created_at: time(row, "created_at")?,
            expires_at: maybe_time(row, "expires_at")?,
            links: Links::read(row)?,
        })
    }

    pub(super) fn into_record(self, queue: &str) -> JobRecord {
        let attempts = self.standing.attempts();
        JobRecord {
            id: self.id,
            queue: queue.to_owned(),
            kind: self.kind,
            state: self.standing.state,
            priority: self.priority,
            progress: self.standing.progress,
            attempts,
            max_attempts: self.max_attempts,
            created_at: self.created_at,
            run_at: self.standing.run_at,
            finished_at: self.standing.finished_at,
            result: self.standing.result.as_deref().and_then(|r| serde_json::from_str(r).ok()),
            note: self.standing.note,
            expires_at: self.expires_at,
            ordering_key: self.links.ordering_key,
            unique_key: self.links.unique_key,
            group: self.links.group.and_then(|group| GroupId::new(group).ok()),
            checkpoint: self.standing.checkpoint,
            deliveries: self.standing.delivery,
            failures: self.standing.failures,
            version: self.version,
            payload: self.payload,
        }
    }
}

/// A state's number in the store.
pub(super) fn number(state: JobState) -> i64 {
    i64::try_from(slot(state)).unwrap_or_default()
}

pub(super) fn state(number: i64) -> Result<JobState, sqlx::Error> {
    let known = JobState::ALL.iter().find(|state| self::number(**state) == number);
    known.copied().ok_or_else(|| unreadable("state")("no such state"))
}

pub(super) fn id(row: &SqliteRow) -> Result<JobId, sqlx::Error> {
    JobId::new(row.try_get::<&str, _>("id")?).map_err(unreadable("id"))
}

pub(super) fn priority(row: &SqliteRow) -> Result<Priority, sqlx::Error> {
    Priority::try_new(row.try_get("priority")?).map_err(unreadable("priority"))
}

pub(super) fn time(row: &SqliteRow, column: &str) -> Result<Timestamp, sqlx::Error> {
    row.try_get(column).map(Timestamp::from_unix_ms)
}

pub(super) fn maybe_time(row: &SqliteRow, column: &str) -> Result<Option<Timestamp>, sqlx::Error> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp::from_unix_ms))
}

pub(super) fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// SQLite uses signed numbers. A limit that doesn't fit is larger than any table.
pub(super) fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

pub(super) fn unreadable<E>(column: &'static str) -> impl Fn(E) -> sqlx::Error
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    move |source| sqlx::Error::ColumnDecode { index: column.to_owned(), source: source.into() }
}
