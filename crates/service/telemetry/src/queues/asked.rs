//! Queries the job store at each scrape.

use std::sync::Arc;

use futures_util::FutureExt;
use prometheus_client::collector::Collector;
use tidegate_model::queues::{QUEUES, is_served_by};
use tidegate_queue::{Broker, BrokerError, QueueOverview};

use super::figures::{QueueFigures, QueueReading, RunFigures};
use super::runs::JobWatch;
use crate::Sources;

/// Registers the metrics of the queues, and of the worker of this process.
pub(crate) fn register(sources: &Sources, broker: &Arc<dyn Broker>, watch: &Arc<JobWatch>) {
    let broker = Arc::clone(broker);
    sources.asked("queues", move || {
        let broker = Arc::clone(&broker);
        async move { Some(Box::new(QueueFigures { queues: read(&*broker).await.ok()? }) as Box<dyn Collector>) }.boxed()
    });
    let watch = Arc::clone(watch);
    sources.figures(move || Box::new(RunFigures { runs: watch.queues(), found_full: watch.found_full_times() }));
}

async fn read(broker: &dyn Broker) -> Result<Vec<QueueReading>, BrokerError> {
    let (workers, now) = (broker.workers().await?, broker.now().await?);
    let mut queues = Vec::new();
    for (&queue, QueueOverview { counts, .. }) in QUEUES.iter().zip(broker.overviews(QUEUES).await?) {
        let serving = workers.iter().filter(|worker| is_served_by(queue, worker, now)).count();
        queues.push(QueueReading { queue, counts, workers: u64::try_from(serving).unwrap_or(u64::MAX) });
    }
    Ok(queues)
}
