//! Renews leases, and stops the runs whose lease is lost or whose job is cancelled.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::interval::heartbeat_interval;
use crate::event::Event;
use crate::worker::lease_book::{RunId, StopReason};
use crate::worker::shared::Shared;
use tidegate_queue_broker::LeaseToken;

pub(super) async fn run(shared: &Shared) {
    let interval = heartbeat_interval(shared.lease);
    loop {
        tokio::time::sleep(interval).await;
        // Concurrently, so that a slow answer for one queue does not delay the others.
        join_all(shared.leases.by_queue().into_iter().map(|(queue, held)| renew(shared, queue, held, interval))).await;
    }
}

async fn renew(shared: &Shared, queue: Arc<str>, held: Vec<(RunId, LeaseToken)>, timeout: Duration) {
    let queue = &*queue;
    // The broker starts the new lease when it receives the heartbeat, which is not before `sent`.
    let sent = Instant::now();
    let tokens = held.iter().map(|(_, token)| token.clone()).collect();
    let call = shared.resources.broker.heartbeat(queue, tokens, shared.lease);
    let lost = match tokio::time::timeout(timeout, call).await {
        Ok(Ok(answer)) => {
            let (lost, cancelled): (HashSet<_>, HashSet<_>) =
                (answer.lost.iter().collect(), answer.cancelled.iter().collect());
            let (gone, kept): (Vec<_>, Vec<_>) = held.iter().partition(|(_, token)| lost.contains(token));
            shared.leases.renewed(kept.iter().map(|(run, _)| *run), sent);
            for (run, _) in kept.iter().filter(|(_, token)| cancelled.contains(token)) {
                shared.leases.stop(*run, StopReason::Cancelled);
            }
            gone
        }
        // Without an answer the runs continue, for any length of time: a store that is down has not
        // leased the jobs to another worker. If only this worker can't reach the store, another
        // worker may run the same jobs. The first answer reports it then: the newer lease is valid.
        Ok(Err(error)) => {
            shared.notify(&Event::BrokerFailed { queue, error: &error });
            Vec::new()
        }
        Err(_) => Vec::new(),
    };
    for (run, token) in lost {
        if shared.leases.stop(*run, StopReason::LeaseLost) {
            shared.notify(&Event::LeaseLost { queue, id: &token.id });
        }
    }
}
