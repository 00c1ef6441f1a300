//! Detects when Redis is available again.

use std::time::Duration;

use fred::types::Value as Fred;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::availability::Availability;
use crate::error::Error;
use crate::shards::{Shard, Shards};
use crate::slot;

const STEP: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_millis(500);
/// A connection without an answer for this time is replaced. The server may be gone without closing
/// it, or it may be a hung primary that the Sentinels have replaced.
const SILENCE: Duration = Duration::from_secs(2);

/// Runs next to a client until it is aborted.
pub(super) async fn run(shards: Shards, breaker: Availability, mut outages: mpsc::Receiver<u16>) {
    let mut changes = shards.version();
    while outages.recv().await.is_some() {
        let mut failures = 0_u32;
        let mut silent_since = Instant::now();
        while !breaker.is_available() {
            let silent = round(&shards, &breaker).await;
            if silent_since.elapsed() >= SILENCE {
                silent.iter().for_each(|shard| shard.connection().reconnect());
                silent_since = Instant::now();
            }
            if silent.is_empty() && breaker.is_available() {
                break;
            }
            failures += 1;
            tokio::select! {
                () = tokio::time::sleep((STEP * failures).min(LONGEST)) => {}
                // A new primary is probed immediately.
                Ok(()) = changes.changed() => {}
            }
        }
    }
}

/// Probes each unavailable shard once, and closes the flags of its slots if it answers. Returns
/// those that don't answer.
async fn round(shards: &Shards, breaker: &Availability) -> Vec<Shard> {
    let mut back: Vec<Shard> = Vec::new();
    let mut out: Vec<Shard> = Vec::new();
    for slot in breaker.all_open() {
        let Some(shard) = shards.of(slot) else {
            shards.hint();
            continue;
        };
        if out.iter().any(|other| other.is(&shard)) {
            continue;
        }
        if back.iter().any(|other| other.is(&shard)) {
            breaker.close(slot);
        } else if answers(shards, slot).await {
            breaker.close(slot);
            back.push(shard);
        } else {
            // The shard's other slots are opened too, so that each does not need its own time-out.
            shards.slots_of(&shard).into_iter().for_each(|slot| breaker.open(slot));
            out.push(shard);
        }
    }
    out
}

/// Whether the slot's server accepts writes. The probe is a write that changes nothing, since a
/// replica would answer reads.
async fn answers(shards: &Shards, slot: u16) -> bool {
    let key = format!("tidegate:probe:{{{}}}", slot::tag_in(slot));
    match shards.send(slot, "UNLINK", vec![Fred::from(key)]).await {
        Ok(_) => true,
        // Any other error is an answer.
        Err(error) => !Error::from_fred(&error).is_outage(),
    }
}
