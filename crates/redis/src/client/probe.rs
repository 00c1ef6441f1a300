//! Finds out when Redis is back.

use std::time::Duration;

use fred::types::Value as Fred;
use tokio::sync::mpsc;

use crate::availability::Availability;
use crate::error::Error;
use crate::shards::{Shard, Shards};
use crate::slot;

const STEP: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_millis(500);

/// Runs beside a client until it is aborted.
pub(super) async fn run(shards: Shards, breaker: Availability, mut outages: mpsc::Receiver<u16>) {
    let mut changes = shards.version();
    while outages.recv().await.is_some() {
        let mut failures = 0_u32;
        while !breaker.is_available() {
            round(&shards, &breaker).await;
            if breaker.is_available() {
                break;
            }
            failures += 1;
            tokio::select! {
                () = tokio::time::sleep((STEP * failures).min(LONGEST)) => {}
                // A new primary is worth a look at once.
                Ok(()) = changes.changed() => {}
            }
        }
    }
}

/// Asks each shard that is out, once.
async fn round(shards: &Shards, breaker: &Availability) {
    let mut asked: Vec<(Shard, bool)> = Vec::new();
    for slot in breaker.all_open() {
        let known = shards.of(slot).and_then(|shard| asked.iter().find(|(other, _)| other.is(&shard)));
        let is_back = match known {
            Some((_, is_back)) => *is_back,
            None => {
                let is_back = answers(shards, slot).await;
                // Looked up again, since the slot may have moved while it was asked.
                if let Some(shard) = shards.of(slot) {
                    if !is_back {
                        // The shard's other slots need not find out by a time-out each.
                        shards.slots_of(&shard).into_iter().for_each(|slot| breaker.open(slot));
                    }
                    asked.push((shard, is_back));
                }
                is_back
            }
        };
        if is_back {
            breaker.close(slot);
        }
    }
}

/// Whether the slot's server takes writes. The probe is a write that writes nothing, since a replica answers reads.
async fn answers(shards: &Shards, slot: u16) -> bool {
    let key = format!("tidegate:probe:{{{}}}", slot::tag_in(slot));
    match shards.send(slot, "UNLINK", vec![Fred::from(key)]).await {
        Ok(_) => true,
        // Any other error is an answer.
        Err(error) => !Error::from_fred(&error).is_outage(),
    }
}
