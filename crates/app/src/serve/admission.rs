//! Who has how many connections, and which of them makes room for the next.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tidegate_ratelimit::{Ipv6Prefix, TrustedProxies};
use tokio::sync::Notify;
use tokio::task::Id;
use tokio::time::Instant;

use super::ServeSettings;
use super::arrival::Arrivals;
use crate::telemetry::Seldom;

/// Between two lines of the log about addresses that have their share.
const COMPLAINT: Duration = Duration::from_secs(10);
/// How many are found at one look at all connections, which costs as much as there are.
const AT_A_LOOK: usize = 64;

/// The connections that are open.
#[derive(Debug)]
pub(super) struct Admission {
    /// Where many clients lie behind one address.
    proxies: TrustedProxies,
    prefix: Ipv6Prefix,
    most_of_one: usize,
    /// By the client's network. Who has none is not in it.
    shares: HashMap<String, usize>,
    places: HashMap<Id, Place>,
    /// Connections that idled when they were last looked at, the one that did so longest at the end.
    idle: Vec<(Instant, Id)>,
    complaints: Seldom,
}

#[derive(Debug)]
struct Place {
    /// None of one that isn't counted.
    network: Option<String>,
    arrivals: Arrivals,
    leave: Arc<Notify>,
}

/// What a connection holds while it is open.
#[derive(Debug)]
pub(super) struct Ticket {
    network: Option<String>,
}

impl Admission {
    pub(super) fn new(settings: &ServeSettings) -> Self {
        Self {
            proxies: settings.proxies.clone(),
            prefix: settings.ipv6_prefix,
            most_of_one: settings.http.max_connections_per_address,
            shares: HashMap::new(),
            places: HashMap::new(),
            idle: Vec::new(),
            complaints: Seldom::new(COMPLAINT),
        }
    }

    /// Counts a connection, or refuses it since its address has its share.
    pub(super) fn admit(&mut self, peer: SocketAddr) -> Option<Ticket> {
        if self.proxies.contains(peer.ip()) {
            return Some(Ticket { network: None });
        }
        let network = self.prefix.key(peer.ip());
        let share = self.shares.entry(network.clone()).or_default();
        if *share < self.most_of_one {
            *share += 1;
            return Some(Ticket { network: Some(network) });
        }
        if let Some(unlogged) = self.complaints.count() {
            tracing::warn!(
                address = network,
                unlogged,
                "an address has {} connections open, and gets no more; if it is a proxy, name it in TIDEGATE_TRUSTED_PROXIES",
                self.most_of_one
            );
        }
        None
    }

    /// From here on the connection is served.
    pub(super) fn served(&mut self, id: Id, ticket: Ticket, arrivals: Arrivals, leave: Arc<Notify>) {
        self.places.insert(id, Place { network: ticket.network, arrivals, leave });
    }

    /// The connection is closed.
    pub(super) fn gone(&mut self, id: Id) {
        let Some(network) = self.places.remove(&id).and_then(|place| place.network) else { return };
        if let Entry::Occupied(mut share) = self.shares.entry(network) {
            *share.get_mut() -= 1;
            if *share.get() == 0 {
                share.remove();
            }
        }
    }

    /// Asks the connection to leave that has been idle longest; says whether there is one.
    pub(super) fn make_room(&mut self) -> bool {
        if self.idle.is_empty() {
            self.look();
        }
        while let Some((since, id)) = self.idle.pop() {
            if let Some(place) = self.places.get(&id)
                && place.arrivals.idle_since() == Some(since)
            {
                place.leave.notify_one();
                return true;
            }
        }
        false
    }

    fn look(&mut self) {
        let idle = self.places.iter().filter_map(|(id, place)| Some((place.arrivals.idle_since()?, *id)));
        self.idle.extend(idle);
        if self.idle.len() > AT_A_LOOK {
            self.idle.select_nth_unstable_by_key(AT_A_LOOK, |(since, _)| *since);
            self.idle.truncate(AT_A_LOOK);
        }
        self.idle.sort_unstable_by_key(|(since, _)| Reverse(*since));
    }
}

#[cfg(test)]
mod tests;
