//! Keeping leases alive, and hearing of those that are not.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::beat_of;
use super::lease_book::{RunId, StopReason};
use crate::clock::Monotonic;
use crate::event::Event;
use crate::lease::LeaseToken;
use crate::worker::Shared;

pub(super) async fn run(shared: &Shared) {
    let interval = beat_of(shared.lease);
    loop {
        tokio::time::sleep(interval).await;
        // Side by side, so that no queue's answer is waited for before the next queue is heard of.
        join_all(shared.leases.by_queue().into_iter().map(|(queue, held)| beat(shared, queue, held, interval))).await;
    }
}

async fn beat(shared: &Shared, queue: Arc<str>, held: Vec<(RunId, LeaseToken)>, patience: Duration) {
    let queue = &*queue;
    // The lease runs from when the broker took the beat, which is not before it was sent.
    let sent = Monotonic::now();
    let tokens = held.iter().map(|(_, token)| token.clone()).collect();
    let call = shared.broker.heartbeat(queue, tokens, shared.lease);
    let lost = match tokio::time::timeout(patience, call).await {
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
        // Unheard, they go on, for however long: a store that stands still has not given them to anybody. Where it is only
        // out of our reach, somebody else may run them too, and the first answer will tell: the newer lease counts.
        Ok(Err(error)) => {
            shared.tell(&Event::BrokerFailed { queue, error: &error });
            Vec::new()
        }
        Err(_) => Vec::new(),
    };
    for (run, token) in lost {
        if shared.leases.stop(*run, StopReason::LeaseLost) {
            shared.tell(&Event::LeaseLost { queue, id: &token.id });
        }
    }
}
