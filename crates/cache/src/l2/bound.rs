//! Until when what a caller sets may still be stored.
//!
//! Nothing fences it, as a load is. So a connection that hangs could deliver it when its sender has long given up, has had
//! the key deleted, and others have stored something newer. It says itself until when it counts, by the clock of the server
//! that it goes to: until its sender gives up.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::try_join_all;
use tidegate_redis::{Error, Topology};
use tokio::time::Instant;

use super::tier::RedisTier;

/// For the servers of some keys, their time at which the sender gives up, in µs.
pub(super) struct Bounds {
    /// By the name of the server; one without a name where there is only one.
    by_server: HashMap<String, u64>,
}

impl Bounds {
    /// Zero, which has passed, where the server was not asked.
    pub(super) fn of(&self, tier: &RedisTier, name: &str) -> u64 {
        self.by_server.get(&tier.server_of(name)).copied().unwrap_or_default()
    }
}

impl RedisTier {
    /// Asks the servers of these keys for their time, and counts from there what is left now.
    pub(super) async fn bounds(&self, names: &[&str], left: Duration) -> Result<Bounds, Error> {
        let begun = Instant::now();
        let mut asked: HashMap<String, &str> = HashMap::new();
        for name in names {
            asked.entry(self.server_of(name)).or_insert(name);
        }
        let times = asked.into_iter().map(|(server, name)| async move {
            let time = self.time_of(name).await?;
            // The answer is older than now by the way here at most.
            let left = left.saturating_sub(begun.elapsed());
            Ok::<_, Error>((server, time.saturating_add(u64::try_from(left.as_micros()).unwrap_or(u64::MAX))))
        });
        Ok(Bounds { by_server: try_join_all(times).await?.into_iter().collect() })
    }

    /// What the clock of the server that has this key shows, in µs.
    pub(super) async fn time_of(&self, name: &str) -> Result<u64, Error> {
        self.client.run(&self.scripts.time, &[name], Vec::new()).await?.as_count()
    }

    /// The name of the server that has a key; none where there is only one.
    pub(super) fn server_of(&self, name: &str) -> String {
        if self.client.topology() != Topology::Cluster {
            return String::new();
        }
        self.client.primary_of(name).map(|node| node.to_string()).unwrap_or_default()
    }
}
