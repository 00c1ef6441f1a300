//! Finds out when Redis is back.

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
/// A connection that gives no answer for so long is made anew: the other side may be gone without a word, or may be a
/// primary that hangs while its Sentinels have chosen another.
const SILENCE: Duration = Duration::from_secs(2);

/// Runs beside a client until it is aborted.
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
                // A new primary is worth a look at once.
                Ok(()) = changes.changed() => {}
            }
        }
    }
}

/// Asks each shard that is out, once, and closes its slots if it answers. Returns those that don't.
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
            // The shard's other slots need not find out by a time-out each.
            shards.slots_of(&shard).into_iter().for_each(|slot| breaker.open(slot));
            out.push(shard);
        }
    }
    out
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
