//! Deadline until which a value that a caller sets may still be stored.
//!
//! Unlike a load, no fence protects such a write. A connection that hangs could deliver it after
//! its sender has given up and deleted the key, and after others have stored something newer. So
//! the write carries its own deadline: the moment when its sender gives up, by the clock of the
//! server that it goes to.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::{join3, try_join_all};
use tidegate_redis::{Arg, Client, Error, Topology};
use tokio::time::Instant;

use super::new::{Failure, New};
use super::tier::{RedisTier, millis};
use crate::key::Key;

/// For the servers of some keys: their time at which the sender gives up, in µs.
pub(super) struct Bounds {
    /// By the name of the server; empty if there is only one.
    by_server: HashMap<String, u64>,
}

impl Bounds {
    /// Zero, which has passed, if the server was not queried.
    pub(super) fn of(&self, tier: &RedisTier, name: &str) -> u64 {
        self.by_server.get(&tier.server_of(name)).copied().unwrap_or_default()
    }
}

/// Value that a caller sets, in the form that the scripts take.
pub(super) struct Bounded {
    /// The names of the value and of its fence.
    pub(super) keys: [String; 2],
    pub(super) entry: Arg,
    /// Time that Redis keeps it, in ms.
    pub(super) ttl: Arg,
    /// Deadline until which it may be stored, in µs of the server's clock.
    pub(super) bound: Arg,
}

impl RedisTier {
    /// Returns the value to store, valid for `left`. One round trip, with all queries at once.
    pub(super) async fn bounded(&self, key: &Key, new: New, left: Duration) -> Result<Bounded, Failure> {
        let keys = [self.names.value(key), self.names.fence(key)];
        let names = [keys[0].as_str()];
        let (generations, bounds) = (self.generations(&new.tags, new.ttl), self.bounds(&names, left));
        let (tags, epoch, bounds) = join3(generations, self.open_epoch(), bounds).await;
        let (tags, bound) = (tags?, bounds?.of(self, &keys[0]));
        let (epoch, ttl) = (epoch?, millis(new.ttl));
        let entry = new.encode(&epoch, tags)?;
        Ok(Bounded { keys, entry: entry.into(), ttl, bound: bound.into() })
    }

    /// Queries the servers of these keys for their time, and adds the time that is left.
    pub(super) async fn bounds(&self, names: &[&str], left: Duration) -> Result<Bounds, Error> {
        let begun = Instant::now();
        let mut asked: HashMap<String, &str> = HashMap::new();
        for name in names {
            asked.entry(self.server_of(name)).or_insert(name);
        }
        let times = asked.into_iter().map(|(server, name)| async move {
            let time = self.time_of(name).await?;
            // The reply is older than now by at most its travel time.
            let left = left.saturating_sub(begun.elapsed());
            Ok::<_, Error>((server, time.saturating_add(u64::try_from(left.as_micros()).unwrap_or(u64::MAX))))
        });
        Ok(Bounds { by_server: try_join_all(times).await?.into_iter().collect() })
    }

    /// Returns the clock of the server that has this key, in µs.
    pub(super) async fn time_of(&self, name: &str) -> Result<u64, Error> {
        self.client.run(&self.scripts.time, &[name], Vec::new()).await?.as_count()
    }

    /// Returns the name of the server that has a key. Empty if there is only one. If the server is
    /// not known, each slot has a name of its own: no two servers share a name, and one server's
    /// clock says nothing about another's.
    pub(super) fn server_of(&self, name: &str) -> String {
        if self.client.topology() != Topology::Cluster {
            return String::new();
        }
        let primary = self.client.primary_of(name);
        primary.map_or_else(|| format!("slot {}", Client::slot_of(name)), |node| node.to_string())
    }
}
