//! Promotes, reclaims, trims and announces. Every worker does this; the store makes repetition
//! harmless.
//!
//! An idle queue costs very little: a waiting loop promotes due jobs itself, leases are checked
//! when the next one expires, and only ended jobs are trimmed.

use std::time::Duration;

use futures_util::future::{join_all, join5};
use tokio::time::Instant;

use super::interval::heartbeat_interval;
use crate::event::Event;
use crate::group::tend;
use crate::worker::served::Served;
use crate::worker::shared::Shared;
use tidegate_queue_broker::{BrokerError, Reclaim, WorkerInfo};

/// Most jobs promoted in one step. Keeps each transaction short.
pub(crate) const PROMOTE_CHUNK: usize = 500;
/// Most leases reclaimed in one step.
const RECLAIM_CHUNK: usize = 200;
/// Most finished jobs removed in one step.
const PRUNE_CHUNK: usize = 1_000;

/// Time between two rounds of the work that a busy loop has no time for.
const BUSY_TICK: Duration = Duration::from_millis(250);
/// Number of jobs ended since the last trim that starts the next trim early.
const ENOUGH_TO_PRUNE: u64 = 1_000;
/// Time between two trims.
const PRUNE_TICK: Duration = Duration::from_secs(60);

/// Longest time between two checks of the leases: half of the time that counts as a pause.
const LONGEST_RECLAIM_TICK: Duration = Duration::from_secs(10);
const SHORTEST_RECLAIM_TICK: Duration = Duration::from_millis(25);

/// Time between two checks whether to announce this worker, and longest time between two
/// announcements. A worker with a shorter lease announces itself once per lease: after two leases
/// without an announcement it counts as lost.
const ANNOUNCE_TICK: Duration = Duration::from_secs(5);
const LONGEST_SILENCE: Duration = Duration::from_secs(15);

pub(super) async fn run(shared: &Shared, queues: &[Served], info: WorkerInfo) {
    // Concurrently: a queue with much to trim does not delay another.
    let names: Vec<String> = queues.iter().map(|served| served.queue.clone()).collect();
    join5(
        announce(shared, info),
        join_all(queues.iter().map(|queue| take_back(shared, queue))),
        join_all(queues.iter().map(|queue| promote(shared, queue))),
        join_all(queues.iter().map(|queue| trim(shared, queue))),
        tend(&*shared.resources.broker, &shared.ended_members, &names),
    )
    .await;
}

async fn announce(shared: &Shared, mut info: WorkerInfo) {
    let tick = heartbeat_interval(shared.lease).min(ANNOUNCE_TICK);
    let longest_silence = LONGEST_SILENCE.min(shared.lease);
    let mut last: Option<(usize, Instant)> = None;
    loop {
        let running = shared.leases.len();
        if last.is_none_or(|(then, at)| then != running || at.elapsed() >= longest_silence) {
            info.running = running;
            match shared.resources.broker.announce(info.clone()).await {
                Ok(()) => last = Some((running, Instant::now())),
                Err(error) => tracing::warn!(%error, "the worker could not be announced"),
            }
        }
        tokio::time::sleep(tick).await;
    }
}

/// Reclaims leases that have expired.
async fn take_back(shared: &Shared, Served { queue, options, .. }: &Served) {
    let tick = (shared.lease / 4).min(LONGEST_RECLAIM_TICK);
    let max_lost = options.max_lost_leases;
    let request = Reclaim { lease: shared.lease, pause: tick * 2, max_lost, limit: RECLAIM_CHUNK };
    loop {
        let next = match shared.resources.broker.reclaim(queue, request).await {
            Ok(answer) => {
                let (ready, dead) = (answer.ready.len(), answer.dead.len());
                let taken = ready + dead + answer.cancelled.len();
                if taken > 0 {
                    shared.notify(&Event::Reclaimed { queue, ready, dead });
                }
                if taken >= RECLAIM_CHUNK { Duration::ZERO } else { answer.next_in.unwrap_or(tick) }
            }
            Err(error) => {
                shared.notify(&Event::BrokerFailed { queue, error: &error });
                tick
            }
        };
        if !next.is_zero() {
            tokio::time::sleep(next.clamp(SHORTEST_RECLAIM_TICK.min(tick), tick)).await;
        }
    }
}

/// Promotes due jobs while the loop is too busy to do it.
async fn promote(shared: &Shared, Served { queue, state, .. }: &Served) {
    loop {
        while !state.is_waiting() && ok_or_notify(shared, queue, moved(shared, queue).await) == Some(PROMOTE_CHUNK) {}
        tokio::time::sleep(BUSY_TICK).await;
    }
}

async fn moved(shared: &Shared, queue: &str) -> Result<usize, BrokerError> {
    shared.resources.broker.promote(queue, PROMOTE_CHUNK).await.map(|promoted| promoted.moved)
}

/// Trims ended jobs. Runs on its own, since there may be many, and due jobs must not wait for it.
async fn trim(shared: &Shared, Served { queue, options, state }: &Served) {
    let mut trimmed = (Instant::now(), 0);
    loop {
        let ended = state.ended();
        if trimmed.0.elapsed() >= PRUNE_TICK || ended - trimmed.1 >= ENOUGH_TO_PRUNE {
            let went = shared.resources.broker.prune(queue, options.retention, PRUNE_CHUNK).await;
            match ok_or_notify(shared, queue, went) {
                Some(PRUNE_CHUNK..) => continue,
                Some(_) => trimmed = (Instant::now(), ended),
                None => {}
            }
        }
        tokio::time::sleep(BUSY_TICK).await;
    }
}

/// Reports a broker error to the observer.
fn ok_or_notify<T>(shared: &Shared, queue: &str, answer: Result<T, BrokerError>) -> Option<T> {
    answer.map_err(|error| shared.notify(&Event::BrokerFailed { queue, error: &error })).ok()
}
