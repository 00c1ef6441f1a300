//! What a drain returns for each run.

use crate::event::Ending;
use crate::worker::Step;
use tidegate_queue_broker::{JobId, Timestamp};

/// One run of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ran {
    /// The job.
    pub id: JobId,
    /// Its kind.
    pub kind: String,
    /// Its queue.
    pub queue: String,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// When it ran, by the queue's clock.
    pub at: Timestamp,
    /// How it ended.
    pub ending: Ending,
    /// The result as JSON, the error, or the note.
    pub text: Option<String>,
}

impl Ran {
    pub(super) fn new(queue: &str, step: Step, at: Timestamp) -> Self {
        let Step { job, ending, text } = step;
        let attempt = job.failures.saturating_add(1);
        Self { id: job.token.id, kind: job.kind, queue: queue.to_owned(), attempt, at, ending, text }
    }
}
