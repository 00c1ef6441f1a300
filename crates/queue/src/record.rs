//! What readers see of a job.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Timestamp;
use crate::id::{GroupId, JobId};
use crate::state::{Priority, State};

/// Bytes kept of one error, note or message.
pub(crate) const TEXT_LIMIT: usize = 4096;

pub(crate) fn shortened(text: String) -> String {
    shortened_to(text, TEXT_LIMIT)
}

/// The first `most` bytes and a mark, where there are more.
pub(crate) fn shortened_to(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push('…');
    }
    text
}

/// How far a running job has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// 0 to 100.
    pub percent: u8,
    /// Free text.
    pub message: String,
}

/// A line that a run wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When the broker took it.
    pub at: Timestamp,
    /// Number of the lease that wrote it.
    pub delivery: u32,
    /// The line, up to 4 KiB.
    pub text: String,
}

/// Lines kept of one job.
pub(crate) const LOG_LIMIT: usize = 100;

/// One run that ended, or the one under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When the lease began.
    pub started_at: Timestamp,
    /// When it ended; `None` while running.
    pub ended_at: Option<Timestamp>,
    /// What went wrong; `None` for success or while running. Up to 4 KiB, together about 8 KiB.
    pub error: Option<String>,
}

/// A job as stored. Serializes in the shape of the HTTP API, times as RFC 3339, without the payload.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct JobRecord {
    /// Names it within the queue.
    pub id: JobId,
    /// Its queue.
    pub queue: String,
    /// Its kind.
    pub kind: String,
    /// Where it stands.
    pub state: State,
    /// Urgency.
    pub priority: Priority,
    /// Latest progress of the latest run.
    pub progress: Option<Progress>,
    /// Runs that failed or lost their lease, the last 32, then the one that succeeded or is under way. Where the errors are
    /// long, of the older ones only the beginning is kept.
    pub attempts: Vec<Attempt>,
    /// Attempts allowed; `None` where the worker's policy decides.
    pub max_attempts: Option<u32>,
    /// When it was enqueued.
    pub created_at: Timestamp,
    /// When it is or was due.
    pub run_at: Timestamp,
    /// When it was done, died or was cancelled.
    pub finished_at: Option<Timestamp>,
    /// What its handler returned.
    pub result: Option<Value>,
    /// Why it waits or ended, where the history doesn't say.
    pub note: Option<String>,
    /// Number of leases so far.
    pub deliveries: u32,
    /// Attempts that failed since it was enqueued or retried by hand.
    pub failures: u32,
    /// When it may no longer begin to run.
    pub expires_at: Option<Timestamp>,
    /// Jobs of this key run one after the other.
    pub ordering_key: Option<String>,
    /// One job at a time has this key.
    pub unique_key: Option<String>,
    /// The group that counts it.
    pub group: Option<GroupId>,
    /// What its runs left behind to go on from.
    #[serde(skip)]
    pub checkpoint: Option<String>,
    /// Payload version.
    #[serde(skip)]
    pub version: u32,
    /// JSON text as enqueued.
    #[serde(skip)]
    pub payload: String,
}
