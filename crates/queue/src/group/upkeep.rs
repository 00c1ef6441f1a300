//! Completes groups and removes old ones. Every worker does this; `GroupEntry::complete` takes
//! effect once.

use std::time::Duration;

use rand::RngExt;
use tokio::time::{Instant, sleep, sleep_until};

use super::error::GroupError;
use super::groups::forget;
use super::members::EndedMembers;
use super::store::GroupEntry;
use tidegate_queue_broker::{
    Broker, GroupId,
    internal::{COMPLETED, OPEN},
};

/// Time between a member's end and the check of its group, so that ends close together cost one
/// check.
const GATHER: Duration = Duration::from_millis(100);
/// Time between two checks of the open groups.
const SWEEP_TICK: Duration = Duration::from_secs(5);
/// The same if there are none.
const IDLE_TICK: Duration = Duration::from_secs(30);
/// Most groups checked in one sweep. If there are more, each sweep starts at a random one.
const SWEEP_CHUNK: usize = 64;
/// Time between two checks of the completed groups.
const FORGET_TICK: Duration = Duration::from_secs(600);

/// How long a completed group is kept.
const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);
/// How many completed groups are kept.
const KEPT: usize = 1_000;

/// Checks the groups whose members ended in this worker, and periodically all open groups of
/// `queues`. Never returns.
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
                let open = ok_or_log(sweep(broker, queues).await).unwrap_or_default();
                next_sweep = Instant::now() + if open == 0 { IDLE_TICK } else { SWEEP_TICK };
                if next_forgetting <= Instant::now() {
                    ok_or_log(forget_old(broker).await);
                    next_forgetting = Instant::now() + FORGET_TICK;
                }
            }
        }
    }
}

/// Completes the group of a member that has ended, if it was the last. Failures are left to the
/// sweep.
pub(crate) async fn settled(broker: &dyn Broker, queue: &str, id: &GroupId) {
    let look = async {
        match GroupEntry::find(broker, id, OPEN).await? {
            Some(entry) if entry.body.queue == queue => entry.complete(broker).await,
            _ => Ok(false),
        }
    };
    ok_or_log(look.await);
}

/// Completes open groups of `queues` whose end was missed. Returns the number of open groups in all
/// queues.
pub(super) async fn sweep(broker: &dyn Broker, queues: &[String]) -> Result<usize, GroupError> {
    let open = broker.documents(OPEN).await?;
    let count = open.len();
    let mut sealed: Vec<GroupEntry> = Vec::new();
    for (name, document) in &open {
        let Ok(id) = GroupId::new(name) else { continue };
        let Some(entry) = ok_or_log(GroupEntry::read(id, document)) else { continue };
        if entry.body.sealed_at.is_some() && queues.contains(&entry.body.queue) {
            sealed.push(entry);
        }
    }
    if sealed.len() > SWEEP_CHUNK {
        let start = rand::rng().random_range(0..sealed.len());
        sealed.rotate_left(start);
    }
    for entry in sealed.iter().take(SWEEP_CHUNK) {
        // A group that can't be completed does not stop the others.
        ok_or_log(entry.complete(broker).await);
    }
    Ok(count)
}

/// Removes completed groups that are too old, and the oldest if there are too many.
pub(super) async fn forget_old(broker: &dyn Broker) -> Result<usize, GroupError> {
    let now = broker.now().await?;
    let mut completed = Vec::new();
    for (name, document) in broker.documents(COMPLETED).await? {
        let Ok(id) = GroupId::new(&name) else { continue };
        let Some(entry) = ok_or_log(GroupEntry::read(id, &document)) else { continue };
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

/// Logs an error. Maintenance continues: the next round tries again.
fn ok_or_log<T>(result: Result<T, GroupError>) -> Option<T> {
    result.inspect_err(|error| tracing::warn!(%error, "groups could not be looked after")).ok()
}
