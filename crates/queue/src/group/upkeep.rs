//! Completing groups and forgetting those that have. Every worker does it; that it happens once is seen to where it is done.

use std::time::Duration;

use rand::RngExt;
use tokio::time::{Instant, sleep, sleep_until};

use super::error::GroupError;
use super::groups::forget;
use super::members::EndedMembers;
use super::store::{COMPLETED, Entry, OPEN};
use crate::broker::Broker;
use crate::id::GroupId;

/// Between a member's end and the look at its group: ends that come together count as one.
const GATHER: Duration = Duration::from_millis(100);
/// Between two looks at open groups.
const SWEEP_TICK: Duration = Duration::from_secs(5);
/// The same where there are none.
const IDLE_TICK: Duration = Duration::from_secs(30);
/// Groups looked at in one sweep; of more, others come next time.
const SWEEP_CHUNK: usize = 64;
/// Between two looks at completed groups.
const FORGET_TICK: Duration = Duration::from_secs(600);

/// How long a completed group is kept.
const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);
/// How many completed groups are kept.
const KEPT: usize = 1_000;

/// Looks at the groups of members that have ended here, and now and then at all open groups of `queues`. Never ends.
pub(crate) async fn tend(broker: &dyn Broker, ended: &EndedMembers, queues: &[String]) {
    let mut next_sweep = Instant::now();
    let mut next_forgetting = Instant::now();
    loop {
        tokio::select! {
            () = ended.noted() => {
                sleep(GATHER).await;
                for (queue, group) in ended.take() {
                    settled(broker, &queue, &group).await;
                }
            }
            () = sleep_until(next_sweep) => {
                let open = told(sweep(broker, queues).await).unwrap_or_default();
                next_sweep = Instant::now() + if open == 0 { IDLE_TICK } else { SWEEP_TICK };
                if next_forgetting <= Instant::now() {
                    told(forget_old(broker).await);
                    next_forgetting = Instant::now() + FORGET_TICK;
                }
            }
        }
    }
}

/// Completes a group of which a member has ended, if it was the last. What fails is left to the sweep.
pub(crate) async fn settled(broker: &dyn Broker, queue: &str, id: &GroupId) {
    let look = async {
        match Entry::find(broker, id, OPEN).await? {
            Some(entry) if entry.body.queue == queue => entry.complete(broker).await,
            _ => Ok(false),
        }
    };
    told(look.await);
}

/// Completes open groups of `queues` that nobody saw end. Returns how many groups are open, in all queues.
pub(super) async fn sweep(broker: &dyn Broker, queues: &[String]) -> Result<usize, GroupError> {
    let open = broker.documents(OPEN).await?;
    let count = open.len();
    let mut sealed: Vec<Entry> = Vec::new();
    for (name, document) in &open {
        let Ok(id) = GroupId::new(name) else { continue };
        let Some(entry) = told(Entry::read(id, document)) else { continue };
        if entry.body.sealed_at.is_some() && queues.contains(&entry.body.queue) {
            sealed.push(entry);
        }
    }
    if sealed.len() > SWEEP_CHUNK {
        let start = rand::rng().random_range(0..sealed.len());
        sealed.rotate_left(start);
    }
    for entry in sealed.iter().take(SWEEP_CHUNK) {
        // One that can't complete keeps no other from it.
        told(entry.complete(broker).await);
    }
    Ok(count)
}

/// Forgets what completed long ago, and the oldest of too many.
pub(super) async fn forget_old(broker: &dyn Broker) -> Result<usize, GroupError> {
    let now = broker.now().await?;
    let mut completed = Vec::new();
    for (name, document) in broker.documents(COMPLETED).await? {
        let Ok(id) = GroupId::new(&name) else { continue };
        let Some(entry) = told(Entry::read(id, &document)) else { continue };
        let Some(end) = &entry.body.end else { continue };
        completed.push((end.at, entry));
    }
    completed.sort_unstable_by_key(|(at, _)| std::cmp::Reverse(*at));
    let mut forgotten = 0;
    for (nth, (at, entry)) in completed.iter().enumerate() {
        if nth >= KEPT || now.since(*at) >= KEPT_FOR {
            forgotten += usize::from(forget(broker, entry, COMPLETED).await?);
        }
    }
    Ok(forgotten)
}

/// Upkeep goes on whatever fails: it comes round again.
fn told<T>(result: Result<T, GroupError>) -> Option<T> {
    result.inspect_err(|error| tracing::warn!(%error, "groups could not be looked after")).ok()
}
