//! Keeping leases alive, and hearing of those that are not.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::LONGEST_TICK;
use super::lease_book::StopReason;
use crate::clock::Monotonic;
use crate::event::Event;
use crate::lease::LeaseToken;
use crate::worker::Shared;

pub(super) async fn run(shared: &Shared) {
    let interval = (shared.lease / 3).min(LONGEST_TICK);
    loop {
        tokio::time::sleep(interval).await;
        // Side by side, so that no queue's answer is waited for before the next queue is heard of.
        join_all(shared.leases.by_queue().into_iter().map(|(queue, tokens)| beat(shared, queue, tokens, interval)))
            .await;
    }
}

async fn beat(shared: &Shared, queue: Arc<str>, tokens: Vec<LeaseToken>, patience: Duration) {
    let queue = &*queue;
    // The lease runs from when the broker took the beat, which is not before it was sent.
    let sent = Monotonic::now();
    let call = shared.broker.heartbeat(queue, tokens.clone(), shared.lease);
    let lost = match tokio::time::timeout(patience, call).await {
        Ok(Ok(answer)) => {
            let alive: Vec<_> = tokens.into_iter().filter(|token| !answer.lost.contains(token)).collect();
            shared.leases.renewed(&alive, sent);
            for token in &answer.cancelled {
                shared.leases.stop(token, StopReason::Cancelled);
            }
            answer.lost
        }
        // Unheard, they go on, for however long: a store that stands still has not given them to anybody. Where it is only
        // out of our reach, somebody else may run them too, and the first answer will tell: the newer lease counts.
        Ok(Err(error)) => {
            shared.tell(&Event::BrokerFailed { queue, error: &error });
            Vec::new()
        }
        Err(_) => Vec::new(),
    };
    for token in lost {
        if shared.leases.stop(&token, StopReason::LeaseLost) {
            shared.tell(&Event::LeaseLost { queue, id: &token.id });
        }
    }
}
