//! Keys that are always admitted, and keys that are always refused.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use async_trait::async_trait;
#[cfg(feature = "tower")]
use ipnet::IpNet;

use super::{Limiter, LimiterDecorator};
#[cfg(feature = "tower")]
use crate::identity::{canonical, network_of};
use crate::key::ensure_short;
use crate::stats::LimiterStats;
use crate::{BlockPolicy, CheckError, Decision};

/// An element of a list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Listed {
    /// Exactly this key.
    Key(String),
    /// Every key that is an address or a subnet within that network, as [`key_for`](crate::key_for)
    /// produces them. A network of IPv4-mapped addresses is treated as the IPv4 network.
    ///
    /// If the network is narrower than the key, for example `2001:db8::1/128` where keys are /64
    /// networks, a deny list entry denies the whole key, because the limiter cannot distinguish
    /// addresses within a key. An allow list entry does not match.
    ///
    /// Every key that parses as an address is treated as an address, so a text that the client
    /// chooses must not be used as a key unchanged. A [`RequestKey`](crate::RequestKey) keeps the
    /// two apart.
    #[cfg(feature = "tower")]
    Network(IpNet),
}

/// The decision of the lists for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Admitted without a charge.
    Allow,
    /// Refused.
    Deny,
}

/// An allow list and a deny list that can be changed while in use. A key on both lists is denied.
/// Clones share the lists.
///
/// A lookup takes no lock. It costs one hash lookup in each list. If a list contains networks, the
/// key is also parsed as an address and compared with each network. A change copies both lists.
#[derive(Clone, Default)]
pub struct KeyLists {
    lists: Arc<ArcSwap<Both>>,
}

#[derive(Clone, Default)]
struct Both {
    allowed: List,
    denied: List,
}

#[derive(Clone, Default)]
struct List {
    keys: HashSet<String>,
    #[cfg(feature = "tower")]
    networks: HashSet<IpNet>,
}

impl List {
    fn insert(&mut self, listed: Listed) -> bool {
        match listed {
            Listed::Key(key) => self.keys.insert(key),
            #[cfg(feature = "tower")]
            Listed::Network(network) => self.networks.insert(canonical(network).trunc()),
        }
    }

    fn remove(&mut self, listed: &Listed) -> bool {
        match listed {
            Listed::Key(key) => self.keys.remove(key),
            #[cfg(feature = "tower")]
            Listed::Network(network) => self.networks.remove(&canonical(*network).trunc()),
        }
    }

    fn listed(&self) -> impl Iterator<Item = Listed> {
        let keys = self.keys.iter().cloned().map(Listed::Key);
        #[cfg(feature = "tower")]
        let keys = keys.chain(self.networks.iter().copied().map(Listed::Network));
        keys
    }
}

impl Both {
    fn verdict(&self, key: &str) -> Option<Verdict> {
        if self.denied.keys.contains(key) {
            return Some(Verdict::Deny);
        }
        let is_allowed = self.allowed.keys.contains(key);
        #[cfg(feature = "tower")]
        if !(self.allowed.networks.is_empty() && self.denied.networks.is_empty())
            && let Some(network) = network_of(key)
        {
            let overlaps = |listed: &IpNet| listed.contains(&network) || network.contains(listed);
            if self.denied.networks.iter().any(overlaps) {
                return Some(Verdict::Deny);
            }
            if self.allowed.networks.iter().any(|listed| listed.contains(&network)) {
                return Some(Verdict::Allow);
            }
        }
        is_allowed.then_some(Verdict::Allow)
    }
}

impl KeyLists {
    /// Two empty lists.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an element to the allow list. Returns whether it was not on the list before.
    pub fn allow(&self, listed: &Listed) -> bool {
        self.change(|lists| lists.allowed.insert(listed.clone()))
    }

    /// Adds an element to the deny list. Returns whether it was not on the list before.
    pub fn deny(&self, listed: &Listed) -> bool {
        self.change(|lists| lists.denied.insert(listed.clone()))
    }

    /// Removes an element from both lists. Returns whether it was on one of them.
    pub fn remove(&self, listed: &Listed) -> bool {
        self.change(|lists| lists.allowed.remove(listed) | lists.denied.remove(listed))
    }

    /// Replaces both lists atomically.
    pub fn replace(&self, allowed: impl IntoIterator<Item = Listed>, denied: impl IntoIterator<Item = Listed>) {
        let mut lists = Both::default();
        for listed in allowed {
            lists.allowed.insert(listed);
        }
        for listed in denied {
            lists.denied.insert(listed);
        }
        self.lists.store(Arc::new(lists));
    }

    /// The elements of the allow list, in arbitrary order.
    pub fn allowed(&self) -> Vec<Listed> {
        self.lists.load().allowed.listed().collect()
    }

    /// The elements of the deny list, in arbitrary order.
    pub fn denied(&self) -> Vec<Listed> {
        self.lists.load().denied.listed().collect()
    }

    /// The decision of the lists for a key. `None` if no list contains it.
    pub fn verdict(&self, key: &str) -> Option<Verdict> {
        self.lists.load().verdict(key)
    }

    fn change(&self, change: impl Fn(&mut Both) -> bool) -> bool {
        let mut changed = false;
        self.lists.rcu(|lists| {
            let mut lists = Both::clone(lists);
            changed = change(&mut lists);
            lists
        });
        changed
    }
}

impl fmt::Debug for KeyLists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyLists").field("allowed", &self.allowed()).field("denied", &self.denied()).finish()
    }
}

/// A limiter with [`KeyLists`] in front. The inner limiter decides on keys that are not on a list.
///
/// A key on the allow list is admitted for any cost and never charged. A key on the deny list is
/// refused; the denial shows the maximum block ([`BlockPolicy::MAX`]). Neither calls the inner
/// limiter or changes its states. [`reset`](Limiter::reset), [`block`](Limiter::block) and
/// [`unblock`](Limiter::unblock) are forwarded for every key.
#[derive(Debug)]
pub struct Exempt<L> {
    limiter: L,
    lists: KeyLists,
    allowed: AtomicU64,
    denied: AtomicU64,
}

impl<L: Limiter> Exempt<L> {
    /// Adds `lists` to `limiter`.
    pub fn new(limiter: L, lists: KeyLists) -> Self {
        Self { limiter, lists, allowed: AtomicU64::new(0), denied: AtomicU64::new(0) }
    }

    /// The lists, which can be changed through this reference.
    pub fn lists(&self) -> &KeyLists {
        &self.lists
    }

    /// The decision of the lists. `None` if no list contains the key.
    fn listed(&self, key: &str) -> Result<Option<Decision>, CheckError> {
        let Some(verdict) = self.lists.verdict(key) else { return Ok(None) };
        ensure_short(key)?;
        let allowed = Decision::uncounted(self.limiter.quota());
        Ok(Some(match verdict {
            Verdict::Allow => allowed,
            Verdict::Deny => allowed.blocked(BlockPolicy::MAX),
        }))
    }
}

#[async_trait]
impl<L: Limiter> LimiterDecorator for Exempt<L> {
    type Inner = L;

    fn inner(&self) -> &L {
        &self.limiter
    }

    async fn check(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        let Some(decision) = self.listed(key)? else { return self.limiter.check(key, cost).await };
        let counter = if decision.is_allowed() { &self.allowed } else { &self.denied };
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(decision)
    }

    async fn peek(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        match self.listed(key)? {
            Some(decision) => Ok(decision),
            None => self.limiter.peek(key, cost).await,
        }
    }

    async fn penalty(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        match self.listed(key)? {
            Some(decision) => Ok(decision),
            None => self.limiter.penalty(key, cost).await,
        }
    }

    async fn reward(&self, key: &str, amount: u64) -> Result<Decision, CheckError> {
        match self.listed(key)? {
            Some(decision) => Ok(decision),
            None => self.limiter.reward(key, amount).await,
        }
    }

    /// Nothing is known of a key that the allow list may hold.
    fn known_denial(&self, _key: &str, _cost: u64) -> Option<Decision> {
        None
    }

    /// The statistics of the inner limiter, plus the decisions of the lists.
    fn stats(&self) -> LimiterStats {
        let mut stats = self.limiter.stats();
        stats.allowed += self.allowed.load(Ordering::Relaxed);
        stats.denied += self.denied.load(Ordering::Relaxed);
        stats
    }
}
