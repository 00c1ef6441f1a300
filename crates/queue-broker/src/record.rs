//! The record of a job, as readers see it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{GroupId, JobId};
use crate::state::{JobState, Priority};
use crate::timestamp::Timestamp;

/// Bytes kept of one error, note or message.
pub const TEXT_LIMIT: usize = 4096;

/// Cuts a text that is longer than [`TEXT_LIMIT`].
pub fn shortened(text: String) -> String {
    shortened_to(text, TEXT_LIMIT)
}

/// Keeps the first `most` bytes, at most, and appends `…` if the text is longer.
pub(crate) fn shortened_to(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push('…');
    }
    text
}

/// Progress of a running job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// 0 to 100.
    pub percent: u8,
    /// Free text.
    pub message: String,
}

/// A log line that a run wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When the broker stored it.
    pub at: Timestamp,
    /// Number of the lease that wrote it.
    pub delivery: u32,
    /// The line, up to 4 KiB.
    pub text: String,
}

/// Most log lines kept of one job.
pub(crate) const LOG_LIMIT: usize = 100;

/// A run that has ended, or the one in progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When the lease began.
    pub started_at: Timestamp,
    /// When it ended; `None` while running.
    pub ended_at: Option<Timestamp>,
    /// The error. `None` for success or while running. Up to 4 KiB; all together about 8 KiB.
    pub error: Option<String>,
}

/// A job as stored. Serializes in the form of the HTTP API: times as RFC 3339, without the payload.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct JobRecord {
    /// Id within the queue.
    pub id: JobId,
    /// Its queue.
    pub queue: String,
    /// Its kind.
    pub kind: String,
    /// Its state.
    pub state: JobState,
    /// Urgency.
    pub priority: Priority,
    /// Latest progress of the latest run.
    pub progress: Option<Progress>,
    /// Runs that failed or lost their lease (the last 32), then the run that succeeded or is in
    /// progress. If the errors are long, older ones are cut.
    pub attempts: Vec<Attempt>,
    /// Attempts allowed. `None` if the worker's policy decides.
    pub max_attempts: Option<u32>,
    /// When it was enqueued.
    pub created_at: Timestamp,
    /// When it is or was due.
    pub run_at: Timestamp,
    /// When it was done, became dead or was cancelled.
    pub finished_at: Option<Timestamp>,
    /// Value that its handler returned.
    pub result: Option<Value>,
    /// Why it waits or ended, if the attempts don't show it.
    pub note: Option<String>,
    /// Number of leases so far.
    pub deliveries: u32,
    /// Attempts that failed since it was enqueued or last retried by an operator.
    pub failures: u32,
    /// Latest time at which a run may start.
    pub expires_at: Option<Timestamp>,
    /// Ordering key. Jobs of one key run one after the other.
    pub ordering_key: Option<String>,
    /// Unique key. One job at a time holds it.
    pub unique_key: Option<String>,
    /// Its group.
    pub group: Option<GroupId>,
    /// State that its runs saved for the next run.
    #[serde(skip)]
    pub checkpoint: Option<String>,
    /// Payload version.
    #[serde(skip)]
    pub version: u32,
    /// JSON text as enqueued.
    #[serde(skip)]
    pub payload: String,
}
