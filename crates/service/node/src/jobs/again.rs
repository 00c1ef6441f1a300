//! How a job goes on after an error of the database.

use std::time::Duration;

use tidegate_queue::Outcome;
use tidegate_store::StoreError;

/// How long a job waits if the database can't be written now.
pub(super) const STORE_PAUSE: Duration = Duration::from_secs(5);

/// Retries a job after a database error. A full disk or a busy database is not the job's fault and
/// does not count as an attempt.
pub(super) fn again(error: &StoreError) -> Outcome {
    if error.is_transient() { Outcome::snooze(STORE_PAUSE) } else { Outcome::retry(error) }
}
