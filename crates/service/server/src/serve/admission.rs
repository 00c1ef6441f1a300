//! Counts connections per client network, and chooses which connection makes room for a new one.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tidegate_base::LogThrottle;
use tidegate_ratelimit::{Ipv6Prefix, TrustedProxies};
use tokio::sync::Notify;
use tokio::task::Id;
use tokio::time::Instant;

use super::arrival::Arrivals;
use super::bounds::ServeSettings;
use super::streams::Budget;

/// Minimum time between two log lines about addresses at their limit.
const COMPLAINT: Duration = Duration::from_secs(10);
/// How many idle connections one scan collects. A scan visits all connections.
const AT_A_LOOK: usize = 64;

/// The connections that are open.
#[derive(Debug)]
pub(super) struct Admission {
    /// Addresses that many clients share.
    proxies: TrustedProxies,
    prefix: Ipv6Prefix,
    most_of_one: usize,
    /// By client network. Connections that are not counted have no entry.
    shares: HashMap<String, Share>,
    places: HashMap<Id, ConnectionShare>,
    /// Connections that were idle at the last scan. The last one is the first to leave.
    idle: Vec<(Instant, Id)>,
    complaints: LogThrottle,
}

/// The connections of one network.
#[derive(Debug, Default)]
struct Share {
    /// Admitted connections that were not asked to leave.
    count: usize,
    /// Connections of these that are being served.
    open: HashSet<Id>,
    /// HTTP/2 requests in flight. One connection may have many.
    requests: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct ConnectionShare {
    /// `None` if the connection is not counted.
    network: Option<String>,
    arrivals: Arrivals,
    leave: Arc<Notify>,
}

/// Proof that a connection was admitted.
#[derive(Debug)]
pub(super) struct Ticket {
    network: Option<String>,
}

impl Admission {
    pub(super) fn new(settings: &ServeSettings) -> Self {
        Self {
            proxies: settings.proxies.clone(),
            prefix: settings.ipv6_prefix,
            most_of_one: settings.bounds.max_connections_per_address,
            shares: HashMap::new(),
            places: HashMap::new(),
            idle: Vec::new(),
            complaints: LogThrottle::new(COMPLAINT),
        }
    }

    /// Counts a connection. Refuses it if its network has reached its limit and all of its
    /// connections are busy. If one is idle, the one that has been idle longest makes room: many
    /// clients that know nothing of each other may share one address.
    pub(super) fn admit(&mut self, peer: SocketAddr) -> Option<Ticket> {
        if self.proxies.contains(peer.ip()) {
            return Some(Ticket { network: None });
        }
        let network = self.prefix.key(peer.ip());
        if self.shares.get(&network).is_some_and(|share| share.count >= self.most_of_one)
            && !self.make_room_of(&network)
        {
            if let Some(unlogged) = self.complaints.count() {
                tracing::warn!(
                    address = network,
                    unlogged,
                    "an address has {} connections that are all busy; further ones are refused; if it is a proxy, add it to TIDEGATE_TRUSTED_PROXIES",
                    self.most_of_one
                );
            }
            return None;
        }
        self.shares.entry(network.clone()).or_default().count += 1;
        Some(Ticket { network: Some(network) })
    }

    /// Returns the limit on HTTP/2 requests in flight of the connection's network. It equals the
    /// limit on connections, so that HTTP/2 gives a client no advantage.
    pub(super) fn budget(&self, ticket: &Ticket) -> Option<Budget> {
        let share = self.shares.get(ticket.network.as_ref()?)?;
        Some(Budget { used: Arc::clone(&share.requests), most: self.most_of_one })
    }

    /// Registers a connection that is now being served.
    pub(super) fn served(&mut self, id: Id, ticket: Ticket, arrivals: Arrivals, leave: Arc<Notify>) {
        if let Some(share) = ticket.network.as_ref().and_then(|network| self.shares.get_mut(network)) {
            share.open.insert(id);
        }
        self.places.insert(id, ConnectionShare { network: ticket.network, arrivals, leave });
    }

    /// Removes a closed connection.
    pub(super) fn gone(&mut self, id: Id) {
        self.uncount(id);
        self.places.remove(&id);
    }

    /// Asks one connection to leave: the one that has been idle longest, in the network that has
    /// most connections. Returns whether there was one.
    pub(super) fn make_room(&mut self) -> bool {
        if self.idle.is_empty() {
            self.look();
        }
        while let Some((since, id)) = self.idle.pop() {
            if self.places.get(&id).is_some_and(|place| place.arrivals.idle_since() == Some(since)) {
                self.ask_to_leave(id);
                return true;
            }
        }
        false
    }

    fn make_room_of(&mut self, network: &str) -> bool {
        let Some(share) = self.shares.get(network) else { return false };
        let idle = share.open.iter().filter_map(|id| Some((self.places.get(id)?.arrivals.idle_since()?, *id)));
        let Some((_, id)) = idle.min_by_key(|(since, _)| *since) else { return false };
        self.ask_to_leave(id);
        true
    }

    /// The connection no longer counts. It leaves at once, or after a request that has just
    /// arrived.
    fn ask_to_leave(&mut self, id: Id) {
        self.uncount(id);
        if let Some(place) = self.places.get(&id) {
            place.leave.notify_one();
        }
    }

    fn uncount(&mut self, id: Id) {
        let Some(network) = self.places.get(&id).and_then(|place| place.network.clone()) else { return };
        if let Entry::Occupied(mut share) = self.shares.entry(network)
            && share.get_mut().open.remove(&id)
        {
            share.get_mut().count -= 1;
            if share.get().count == 0 {
                share.remove();
            }
        }
    }

    fn look(&mut self) {
        let share = |place: &ConnectionShare| Some(self.shares.get(place.network.as_ref()?)?.count);
        let idle = self.places.iter().filter_map(|(id, place)| {
            Some((Reverse(share(place).unwrap_or_default()), place.arrivals.idle_since()?, *id))
        });
        let mut idle: Vec<_> = idle.collect();
        let rank = |(share, since, _): &(Reverse<usize>, Instant, Id)| (*share, *since);
        if idle.len() > AT_A_LOOK {
            idle.select_nth_unstable_by_key(AT_A_LOOK, rank);
            idle.truncate(AT_A_LOOK);
        }
        idle.sort_unstable_by_key(|entry| Reverse(rank(entry)));
        self.idle.extend(idle.into_iter().map(|(_, since, id)| (since, id)));
    }
}

#[cfg(test)]
mod tests;
