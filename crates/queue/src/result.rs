//! Waiting for the result of a job.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};

use crate::producer::Producer;
use tidegate_queue_broker::{Broker, BrokerError, JobId, JobRecord, JobState};

/// Time between the first two reads of the record.
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);
/// Longest time between two reads.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// Upper limit on a wait. A timer beyond it would overflow.
const LONGEST_WAIT: Duration = Duration::from_secs(365 * 24 * 3600);

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The job failed for good.
    #[error("the job is dead: {error}")]
    Dead {
        /// Last error.
        error: String,
    },
    /// The job was cancelled or discarded.
    #[error("the job was cancelled: {reason}")]
    Cancelled {
        /// The reason, if one is known.
        reason: String,
    },
    /// The job has not ended in time. It may still end.
    #[error("the job has not ended in time: it is {state}")]
    TimedOut {
        /// Its state at the last read.
        state: JobState,
    },
    /// The queue has no such job: it was never enqueued, or its record has been removed.
    #[error("there is no such job, or its record has been removed")]
    NotFound,
    /// The record was there at an earlier read and has been removed since. The job has ended, but
    /// its outcome is unknown.
    #[error("the job has ended, and its record has been removed")]
    Removed,
    /// The job is done, but its result is of another type.
    #[error("the job's result does not fit its type: {0}")]
    Decode(#[from] serde_json::Error),
    /// The broker failed.
    #[error("{0}")]
    Broker(#[from] BrokerError),
}

impl Producer {
    /// Waits until a job has ended, and returns its result. Polls the record: first after 2 ms,
    /// then less and less often, down to four times a second. A job that fails is waited for until
    /// it is not retried any more.
    ///
    /// The result is read from the job's record, which [`Retention`](crate::Retention) limits by
    /// age and by number. In a busy queue the record may be removed between two reads.
    ///
    /// A job that waits for another job of the same queue occupies its slot meanwhile. If all slots
    /// wait, nothing runs.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_queue::{JobId, Producer, WaitError};
    ///
    /// # async fn example(producer: Producer, id: JobId) -> Result<(), WaitError> {
    /// match producer.wait_for::<u64>("reports", &id, Duration::from_secs(30)).await {
    ///     Ok(rows) => println!("{rows} rows"),
    ///     Err(WaitError::TimedOut { .. }) => println!("it takes longer; ask again later"),
    ///     Err(error) => return Err(error),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`WaitError`] says how else the job ended, or that it has not ended. After a transient
    /// broker error, the read is repeated until the time is up.
    pub async fn wait_for<T: DeserializeOwned>(
        &self,
        queue: &str,
        id: &JobId,
        timeout: Duration,
    ) -> Result<T, WaitError> {
        let deadline = Instant::now() + timeout.min(LONGEST_WAIT);
        let mut pause = SHORTEST_PAUSE;
        let (mut last, mut was_seen) = (None, false);
        loop {
            // The first read is made even if the time-out is very short.
            let by = if last.is_none() { deadline.max(Instant::now() + LONGEST_PAUSE) } else { deadline };
            match timeout_at(by, look(&*self.broker, queue, id)).await {
                Ok(Ok(record)) if record.state.is_finished() => return finished(record),
                Ok(Ok(record)) => {
                    was_seen = true;
                    last = Some(Ok(record.state));
                }
                Ok(Err(WaitError::Broker(error))) if error.is_transient() => last = Some(Err(error)),
                Ok(Err(WaitError::NotFound)) if was_seen => return Err(WaitError::Removed),
                Ok(Err(error)) => return Err(error),
                Err(_) => {}
            }
            let now = Instant::now();
            if now >= deadline {
                return Err(match last {
                    Some(Ok(state)) => WaitError::TimedOut { state },
                    Some(Err(error)) => error.into(),
                    None => unanswered().into(),
                });
            }
            sleep(pause.min(deadline - now)).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }
}

async fn look(broker: &dyn Broker, queue: &str, id: &JobId) -> Result<JobRecord, WaitError> {
    broker.job(queue, id).await?.ok_or(WaitError::NotFound)
}

fn unanswered() -> BrokerError {
    let source = "no answer in time".into();
    BrokerError::Store { operation: "reading a job", transient: true, may_have_run: false, source }
}

fn finished<T: DeserializeOwned>(record: JobRecord) -> Result<T, WaitError> {
    let JobRecord { state, result, note, attempts, .. } = record;
    match state {
        JobState::Dead => {
            let error = attempts.into_iter().rev().find_map(|attempt| attempt.error).or(note);
            Err(WaitError::Dead { error: error.unwrap_or_else(|| "nothing is known of why".to_owned()) })
        }
        JobState::Cancelled => Err(WaitError::Cancelled { reason: note.unwrap_or_else(|| "on request".to_owned()) }),
        _ => Ok(serde_json::from_value(result.unwrap_or(Value::Null))?),
    }
}
