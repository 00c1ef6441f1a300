//! Promoting, reclaiming, trimming, announcing. Every worker does it; the store makes it harmless.

use futures_util::future::join_all;
use tokio::time::MissedTickBehavior;

use super::{LONGEST_TICK, SHORTEST_TICK};
use crate::broker::Reclaim;
use crate::error::BrokerError;
use crate::event::Event;
use crate::worker::{QueueOptions, Shared, WorkerInfo};

/// Jobs promoted in one step: keeps each transaction short.
pub(crate) const PROMOTE_CHUNK: usize = 500;
/// Leases taken back, or finished jobs removed, in one step.
const CHUNK: usize = 200;

pub(super) async fn run(shared: &Shared, queues: &[(String, QueueOptions)], mut info: WorkerInfo) {
    let tick = (shared.lease / 6).clamp(SHORTEST_TICK, LONGEST_TICK);
    // From start to start: rounds on a slow disk must not look like a pause, which reclaims nothing.
    let mut ticks = tokio::time::interval(tick);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        info.running = shared.leases.len();
        if let Err(error) = shared.broker.announce(info.clone()).await {
            tracing::warn!(%error, "the worker could not be announced");
        }
        // Side by side: a queue with much to trim keeps no other waiting.
        join_all(queues.iter().map(|(queue, options)| async move {
            let reclaim =
                Reclaim { lease: shared.lease, pause: tick * 2, max_lost: options.max_lost_leases, limit: CHUNK };
            if let Err(error) = round(shared, queue, options, reclaim).await {
                shared.tell(&Event::BrokerFailed { queue, error: &error });
            }
        }))
        .await;
    }
}

async fn promote(shared: &Shared, queue: &str) -> Result<(), BrokerError> {
    while shared.broker.promote(queue, PROMOTE_CHUNK).await?.moved == PROMOTE_CHUNK {}
    Ok(())
}

async fn round(shared: &Shared, queue: &str, options: &QueueOptions, reclaim: Reclaim) -> Result<(), BrokerError> {
    // Told at the end: what is due in one part of the store must not keep leases elsewhere from being taken back.
    let promoted = promote(shared, queue).await;
    loop {
        let answer = shared.broker.reclaim(queue, reclaim).await?;
        let (ready, dead) = (answer.ready.len(), answer.dead.len());
        let taken = ready + dead + answer.cancelled.len();
        if taken > 0 {
            shared.tell(&Event::Reclaimed { queue, ready, dead });
        }
        if taken < CHUNK {
            break;
        }
    }
    promoted?;
    while shared.broker.prune(queue, options.retention, CHUNK).await? >= CHUNK {}
    Ok(())
}
