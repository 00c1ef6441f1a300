//! Removes uploads that no job will read any more.

use std::sync::Arc;
use std::time::Duration;

use tidegate_queue::{Broker, BrokerError, Job, JobId, State};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::jobs::ImportSchedules;
use crate::spool::Spool;

/// An upload is left alone for so long: its job may only be about to be enqueued.
const GRACE: Duration = Duration::from_secs(3600);
const PERIOD: Duration = Duration::from_secs(3600);

/// Sweeps now and every hour, until `shutdown`.
pub(crate) async fn run(spool: Spool, broker: Arc<dyn Broker>, shutdown: CancellationToken) {
    loop {
        if let Err(error) = sweep(&spool, &*broker).await {
            tracing::warn!(%error, "the spool can't be swept now");
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    Spool(#[from] std::io::Error),
    #[error(transparent)]
    Queue(#[from] BrokerError),
}

async fn sweep(spool: &Spool, broker: &dyn Broker) -> Result<(), SweepError> {
    for name in spool.older_than(GRACE, clock::now().into()).await? {
        let Ok(id) = JobId::new(&name) else { continue };
        let state = broker.job(ImportSchedules::QUEUE, &id).await?.map(|job| job.state);
        // A dead job may be tried again by an operator, and needs its file then.
        if matches!(state, None | Some(State::Done | State::Cancelled)) {
            tracing::info!(upload = name, "removed an upload that no job reads any more");
            spool.remove(&name).await?;
        }
    }
    Ok(())
}
