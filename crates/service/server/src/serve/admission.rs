//! Who has how many connections, and which of them makes room for the next.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tidegate_base::Seldom;
use tidegate_ratelimit::{Ipv6Prefix, TrustedProxies};
use tokio::sync::Notify;
use tokio::task::Id;
use tokio::time::Instant;

use super::ServeSettings;
use super::arrival::Arrivals;
use super::streams::Budget;

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
    shares: HashMap<String, Share>,
    places: HashMap<Id, Place>,
    /// Connections that idled when they were last looked at, the one that is to leave first at the end.
    idle: Vec<(Instant, Id)>,
    complaints: Seldom,
}

/// What one network has.
#[derive(Debug, Default)]
struct Share {
    /// Those that were let in and not asked to leave.
    count: usize,
    /// Those of them that are served.
    open: HashSet<Id>,
    /// Requests under way over HTTP/2, where one connection may have many.
    requests: Arc<AtomicUsize>,
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
            most_of_one: settings.bounds.max_connections_per_address,
            shares: HashMap::new(),
            places: HashMap::new(),
            idle: Vec::new(),
            complaints: Seldom::new(COMPLAINT),
        }
    }

    /// Counts a connection, or refuses it since its address has its share and uses all of it. Of a share that is not used the one
    /// that idles longest makes room: behind one address there may be many who know nothing of one another.
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
                    "an address has {} connections that are all busy, and gets no more; if it is a proxy, name it in TIDEGATE_TRUSTED_PROXIES",
                    self.most_of_one
                );
            }
            return None;
        }
        self.shares.entry(network.clone()).or_default().count += 1;
        Some(Ticket { network: Some(network) })
    }

    /// What the connection's address may have under way over HTTP/2: as many requests as it may have connections, so that it has
    /// no more of either for being clever.
    pub(super) fn budget(&self, ticket: &Ticket) -> Option<Budget> {
        let share = self.shares.get(ticket.network.as_ref()?)?;
        Some(Budget { used: Arc::clone(&share.requests), most: self.most_of_one })
    }

    /// From here on the connection is served.
    pub(super) fn served(&mut self, id: Id, ticket: Ticket, arrivals: Arrivals, leave: Arc<Notify>) {
        if let Some(share) = ticket.network.as_ref().and_then(|network| self.shares.get_mut(network)) {
            share.open.insert(id);
        }
        self.places.insert(id, Place { network: ticket.network, arrivals, leave });
    }

    /// The connection is closed.
    pub(super) fn gone(&mut self, id: Id) {
        self.uncount(id);
        self.places.remove(&id);
    }

    /// Asks a connection to leave: of the network that has most of them, the one that has been idle longest. Says whether there is one.
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

    /// It no longer counts: it leaves at once, or behind a request that came just now.
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
        let share = |place: &Place| Some(self.shares.get(place.network.as_ref()?)?.count);
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
