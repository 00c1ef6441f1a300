//! Jobs that are enqueued once in each period.

use std::time::Duration;

use tidegate_base::clock;
use tidegate_queue::{EnqueueError, EnqueueOptions, Job, JobId, Producer};
use tokio_util::sync::CancellationToken;

/// A job for each whole period.
pub(crate) trait Regular: Job + Default + Send + Sync + 'static {
    /// Prefix of its ids: letters and digits.
    const NAME: &'static str;
    /// The period.
    const PERIOD: Duration;
}

/// Enqueues a job at the start of each period, until `stop`. If several processes do so, each
/// period still has one job, since its id contains the time.
pub(crate) async fn keep_enqueueing<J: Regular>(producer: Producer, stop: CancellationToken) {
    let period = u64::try_from(J::PERIOD.as_millis()).unwrap_or(u64::MAX);
    loop {
        let next = clock::unix_ms() / period + 1;
        let wait = Duration::from_millis((next * period).saturating_sub(clock::unix_ms()));
        if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
            return;
        }
        if let Err(error) = enqueue::<J>(&producer, next).await {
            tracing::warn!(%error, kind = J::KIND, "a regular job can't be enqueued: it waits for its next period");
        }
    }
}

pub(super) async fn enqueue<J: Regular>(producer: &Producer, time: u64) -> Result<(), EnqueueError> {
    let id = JobId::new(format!("{}-{time}", J::NAME)).expect("an id of letters and digits");
    producer.enqueue_with(&J::default(), EnqueueOptions::new().id(id)).await.map(|_| ())
}
