//! Promoting, reclaiming, trimming, announcing. Every worker does it; the store makes it harmless.
//!
//! An idle queue costs next to nothing: what a waiting loop sees to itself is left to it, leases are looked at when the
//! next one runs out, and only what has ended is trimmed.

use std::time::Duration;

use futures_util::future::{join_all, join4};
use tokio::time::Instant;

use super::{Served, beat_of};
use crate::broker::Reclaim;
use crate::error::BrokerError;
use crate::event::Event;
use crate::group::tend;
use crate::worker::{Shared, WorkerInfo};

/// Jobs promoted in one step: keeps each transaction short.
pub(crate) const PROMOTE_CHUNK: usize = 500;
/// Leases taken back in one step.
const RECLAIM_CHUNK: usize = 200;
/// Finished jobs removed in one step.
const PRUNE_CHUNK: usize = 1_000;

/// Between two looks at what a busy loop has no time for.
const BUSY_TICK: Duration = Duration::from_millis(250);
/// Jobs that ended since the last trim, for which the next one doesn't wait until it is time.
const ENOUGH_TO_PRUNE: u64 = 1_000;
/// Between two trims.
const PRUNE_TICK: Duration = Duration::from_secs(60);

/// Longest time between two looks at leases: half of what counts as a pause.
const LONGEST_RECLAIM_TICK: Duration = Duration::from_secs(10);
const SHORTEST_RECLAIM_TICK: Duration = Duration::from_millis(25);

/// Between two looks at what to say of this worker, and longest time without a word.
const ANNOUNCE_TICK: Duration = Duration::from_secs(5);
const LONGEST_SILENCE: Duration = Duration::from_secs(15);

pub(super) async fn run(shared: &Shared, queues: &[Served], info: WorkerInfo) {
    // Side by side: a queue with much to trim keeps no other waiting.
    let names: Vec<String> = queues.iter().map(|served| served.queue.clone()).collect();
    join4(
        announce(shared, info),
        join_all(queues.iter().map(|queue| take_back(shared, queue))),
        join_all(queues.iter().map(|queue| tidy(shared, queue))),
        tend(&*shared.broker, &shared.ended_members, &names),
    )
    .await;
}

async fn announce(shared: &Shared, mut info: WorkerInfo) {
    let tick = beat_of(shared.lease).min(ANNOUNCE_TICK);
    let mut last: Option<(usize, Instant)> = None;
    loop {
        let running = shared.leases.len();
        if last.is_none_or(|(then, at)| then != running || at.elapsed() >= LONGEST_SILENCE) {
            info.running = running;
            match shared.broker.announce(info.clone()).await {
                Ok(()) => last = Some((running, Instant::now())),
                Err(error) => tracing::warn!(%error, "the worker could not be announced"),
            }
        }
        tokio::time::sleep(tick).await;
    }
}

/// Takes back leases when they have run out.
async fn take_back(shared: &Shared, Served { queue, options, .. }: &Served) {
    let tick = (shared.lease / 4).min(LONGEST_RECLAIM_TICK);
    let max_lost = options.max_lost_leases;
    let request = Reclaim { lease: shared.lease, pause: tick * 2, max_lost, limit: RECLAIM_CHUNK };
    loop {
        let next = match shared.broker.reclaim(queue, request).await {
            Ok(answer) => {
                let (ready, dead) = (answer.ready.len(), answer.dead.len());
                let taken = ready + dead + answer.cancelled.len();
                if taken > 0 {
                    shared.tell(&Event::Reclaimed { queue, ready, dead });
                }
                if taken >= RECLAIM_CHUNK { Duration::ZERO } else { answer.next_in.unwrap_or(tick) }
            }
            Err(error) => {
                shared.tell(&Event::BrokerFailed { queue, error: &error });
                tick
            }
        };
        if !next.is_zero() {
            tokio::time::sleep(next.clamp(SHORTEST_RECLAIM_TICK.min(tick), tick)).await;
        }
    }
}

/// Makes ready what is due while the loop is too busy to look, and trims what has ended.
async fn tidy(shared: &Shared, Served { queue, options, state }: &Served) {
    let mut pruned = (Instant::now(), state.ended());
    loop {
        if let Err(error) = async {
            if !state.is_waiting() {
                while shared.broker.promote(queue, PROMOTE_CHUNK).await?.moved == PROMOTE_CHUNK {}
            }
            let ended = state.ended();
            let is_time = pruned.0.elapsed() >= PRUNE_TICK;
            if is_time || ended - pruned.1 >= ENOUGH_TO_PRUNE {
                while shared.broker.prune(queue, options.retention, PRUNE_CHUNK).await? >= PRUNE_CHUNK {}
                pruned = (Instant::now(), ended);
            }
            Ok::<_, BrokerError>(())
        }
        .await
        {
            shared.tell(&Event::BrokerFailed { queue, error: &error });
        }
        tokio::time::sleep(BUSY_TICK).await;
    }
}
