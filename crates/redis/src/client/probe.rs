//! Finds out when Redis is back.

use std::collections::HashMap;
use std::time::Duration;

use fred::clients::{Client as FredClient, WithOptions};
use fred::interfaces::{ClientLike, ClusterInterface, EventInterface};
use fred::types::cluster::ClusterRouting;
use fred::types::config::Server;
use fred::types::{ClusterHash, Value as Fred};
use tokio::sync::mpsc;

use super::custom;
use crate::availability::Availability;
use crate::error::Error;
use crate::slot;

const STEP: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_millis(500);

/// Runs beside a client until it is aborted.
pub(super) async fn run(fred: WithOptions<FredClient>, breaker: Availability, mut outages: mpsc::Receiver<u16>) {
    while outages.recv().await.is_some() {
        let mut reconnected = fred.reconnect_rx();
        let mut failures = 0_u32;
        while breaker.first_open().is_some() {
            round(&fred, &breaker).await;
            if breaker.is_available() {
                break;
            }
            failures += 1;
            tokio::select! {
                () = tokio::time::sleep((STEP * failures).min(LONGEST)) => {}
                // A new connection is worth a look at once; a lagging receiver still means that there is one.
                _ = reconnected.recv() => {}
            }
        }
    }
}

/// Asks each shard that is out, once.
async fn round(fred: &WithOptions<FredClient>, breaker: &Availability) {
    let mut routing = fred.cached_cluster_state();
    let mut asked: HashMap<Option<Server>, bool> = HashMap::new();
    for slot in breaker.all_open() {
        let is_back = match asked.get(&server_of(routing.as_ref(), slot)) {
            Some(is_back) => *is_back,
            None => {
                let is_back = answers(fred, slot).await;
                // The slot may have moved while it was asked.
                routing = fred.cached_cluster_state();
                let server = server_of(routing.as_ref(), slot);
                if !is_back {
                    open_shard(routing.as_ref(), breaker, server.as_ref());
                }
                asked.insert(server, is_back);
                is_back
            }
        };
        if is_back {
            breaker.close(slot);
        }
    }
}

/// Whether the slot's server takes writes. The probe is a write that writes nothing, since a replica answers reads.
async fn answers(fred: &WithOptions<FredClient>, slot: u16) -> bool {
    let key = format!("tidegate:probe:{{{}}}", slot::tag_in(slot));
    let answer: Result<Fred, _> = fred.custom(custom("UNLINK", ClusterHash::Custom(slot)), vec![Fred::from(key)]).await;
    match answer {
        Ok(_) => true,
        // Any other error is an answer.
        Err(error) => !Error::from_fred(&error).is_outage(),
    }
}

fn server_of(routing: Option<&ClusterRouting>, slot: u16) -> Option<Server> {
    routing?.get_server(slot).cloned()
}

/// The shard's other slots need not find out by a time-out each.
fn open_shard(routing: Option<&ClusterRouting>, breaker: &Availability, server: Option<&Server>) {
    let (Some(server), Some(routing)) = (server, routing) else { return };
    for range in routing.slots().iter().filter(|range| range.primary == *server) {
        for slot in range.start..=range.end {
            breaker.open(slot);
        }
    }
}
