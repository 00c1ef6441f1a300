//! Write-behind on a cluster, and over failovers.

use std::time::Duration;

use tidegate_cache::{Increments, Json, WriteBehind, WriteBehindOptions};
use tidegate_testkit::redis::{Cluster, Sentinels};
use tidegate_testkit::{poll_until, scale};

use crate::ground::{NEVER, SOON, Store, cached, key};
use crate::redis::{durable, keyspace};

/// Names in slots of all primaries.
const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
/// Longer than a failover takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);

fn options(name: &str) -> WriteBehindOptions {
    WriteBehindOptions::new(name).every(NEVER).pauses(Duration::from_millis(20), Duration::from_millis(200))
}

/// One use on one node, with its acknowledged writes and those with an unknown outcome.
struct Use {
    rows: WriteBehind<u64>,
    views: Increments,
    store: Store,
    acknowledged: i64,
    open: i64,
}

impl Use {
    async fn at(url: &str, name: &str) -> Self {
        let (client, store) = (durable(url).await, Store::default());
        let rows = WriteBehind::on_redis(cached(), Json::new(), store.clone(), &client, &keyspace(), options(name));
        let views = Increments::on_redis(store.clone(), &client, &keyspace(), options(name));
        Self { rows: rows.unwrap(), views: views.unwrap(), store, acknowledged: 0, open: 0 }
    }

    /// Counts once, and writes this value. Repeats until both are accepted, as a program would
    /// after an outage.
    async fn write(&mut self, value: u64) {
        poll_until(LONG, async || {
            match self.views.add(&key(1), 1).await {
                Ok(()) => self.acknowledged += 1,
                Err(error) => {
                    self.open += i64::from(error.may_have_run());
                    return None;
                }
            }
            Some(())
        })
        .await
        .unwrap();
        poll_until(LONG, async || self.rows.write(&key(1), value).await.ok().map(|_| ())).await.unwrap();
    }

    async fn flush(&self) {
        self.rows.flush(LONG).await.unwrap();
        self.views.flush(LONG).await.unwrap();
    }

    /// No write is counted twice, and none is lost, as far as the servers lost none.
    fn check(&self, value: u64, at_least: i64) {
        let total = self.store.total(1);
        let possible = at_least..=self.acknowledged + self.open;
        assert!(possible.contains(&total), "{total} is not in {possible:?}");
        assert_eq!(self.store.row(1), Some(value));
    }
}

#[tokio::test]
async fn on_a_cluster_and_over_a_failover_of_one_primary() {
    let cluster = Cluster::start().await;
    let url = cluster.url();
    let mut uses = Vec::new();
    for name in NAMES {
        uses.push(Use::at(&url, name).await);
    }
    for round in 1..=4_u64 {
        for one in &mut uses {
            one.write(round).await;
            if round % 2 == 0 {
                one.flush().await;
                one.check(round, one.acknowledged);
            }
        }
        if round == 1 {
            // An orderly failover, so that nothing is lost: pending writes are on the new primary.
            cluster.failover(3).await;
        }
    }
}

#[tokio::test]
async fn through_sentinel_and_over_failovers_nothing_is_counted_twice_or_turned_back() {
    let mut sentinels = Sentinels::start().await;
    let url = sentinels.url();
    let mut one = Use::at(&url, "a").await;
    for round in 1..=scale(1, 5) as u64 {
        for nth in 0..20 {
            one.write(round * 100 + nth).await;
            if nth % 7 == 0 {
                poll_until(LONG, async || one.views.flush(SOON).await.ok()).await.unwrap();
            }
        }
        let flushed = one.store.total(1);
        sentinels.failover().await;
        // Later writes are there for certain, and earlier increments are added once.
        one.write(round * 100 + 99).await;
        one.flush().await;
        one.check(round * 100 + 99, flushed + 1);
    }
}
