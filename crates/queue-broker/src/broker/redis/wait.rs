//! Waiting for work: check, then sleep until a token arrives, a job is due, or the next check is
//! due.
//!
//! While callers wait, one task per partition takes the tokens. So waits that start and end quickly
//! cost no connection. A local timer handles due times, since an idle server is late.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join_all, select_all, try_join_all};
use tokio::time::Instant;

use super::broker::RedisBroker;
use super::keys::PartitionKeys;
use super::listener::{GiveBack, Signal, Waiting, look};
use super::queue::Queue;
use crate::broker::Wake;
use crate::error::BrokerError;

/// Longest sleep. If a process takes a token and then crashes, the maintenance of any worker adds a
/// new one. This limit is for queues without a worker.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// Time between two checks whether the registry contains a queue now.
const REGISTRY_ROUND: Duration = Duration::from_secs(3);
/// Longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

impl RedisBroker {
    pub(super) async fn wait_for(&self, names: &[String], timeout: Duration) -> Result<Wake, BrokerError> {
        let deadline = Instant::now() + timeout.min(LONGEST_WAIT);
        loop {
            let queues = try_join_all(names.iter().map(|name| self.queue(name))).await?;
            let waits: Vec<Waiting> = keys(&queues)
                .map(|keys| Waiting::begin(self.listeners.listener(&self.client, &self.scripts, keys)))
                .collect();
            // Before the check, so that no token between the check and the sleep is missed.
            let mut signals: Vec<_> = waits.iter().map(|Waiting(listener)| listener.signal.subscribe()).collect();
            let looks = keys(&queues).map(|keys| look(&self.client, &self.scripts, keys, GiveBack::No));
            let mut next_due = LONGEST_SLEEP;
            let mut is_due = false;
            // An unreachable shard does not hide the jobs of the others.
            let (mut is_answered, mut failure) = (false, None);
            for look in join_all(looks).await {
                let (ready, due) = match look {
                    Ok(look) => look,
                    Err(error) => {
                        failure = Some(error);
                        continue;
                    }
                };
                is_answered = true;
                if ready {
                    return Ok(Wake::Ready);
                }
                is_due |= due == Some(Duration::ZERO);
                next_due = next_due.min(due.unwrap_or(LONGEST_SLEEP));
            }
            if let (Some(error), false) = (failure, is_answered) {
                return Err(error);
            }
            if is_due {
                return Ok(Wake::Due);
            }
            let now = Instant::now();
            if now >= deadline {
                // A caller without time to wait wants the current state, not a notification from
                // before the check.
                return Ok(Wake::Timeout);
            }
            let slice = now + next_due;
            let changes = signals.iter_mut().map(|signal| {
                Box::pin(async {
                    match signal.changed().await {
                        Ok(()) => *signal.borrow(),
                        Err(_) => Signal::Look,
                    }
                })
            });
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(slice.min(deadline)) => {
                    if slice >= deadline {
                        return Ok(Wake::Timeout);
                    }
                }
                () = self.registration(&queues) => {}
                // Lazily, since without waits there is nothing to select from.
                (what, _, _) = async { select_all(changes).await }, if !waits.is_empty() => {
                    if what == Signal::Ready {
                        return Ok(Wake::Ready);
                    }
                }
            }
        }
    }

    /// Returns when one of the unregistered queues has been created. Never returns if all were
    /// registered. The process that creates a queue may use more partitions than are listened to.
    async fn registration(&self, queues: &[Arc<Queue>]) {
        let unknown: Vec<&str> =
            queues.iter().filter(|queue| !queue.is_registered()).map(|queue| queue.name.as_str()).collect();
        if unknown.is_empty() {
            return pending().await;
        }
        loop {
            tokio::time::sleep(REGISTRY_ROUND).await;
            let found = join_all(unknown.iter().map(|name| self.queue(name))).await;
            if found.iter().flatten().any(|queue| queue.is_registered()) {
                return;
            }
        }
    }
}

fn keys(queues: &[Arc<Queue>]) -> impl Iterator<Item = &PartitionKeys> {
    queues.iter().flat_map(|queue| &queue.partitions).map(|partition| &partition.keys)
}
