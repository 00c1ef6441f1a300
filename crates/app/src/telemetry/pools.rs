//! The pools of connections: as they are shown, judged and counted.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use serde_json::{Value, json};
use tidegate_perfmon::{HealthConfig, Reading, Totals};

use super::exposition::Family;
use super::{Board, Named, Section, Table};
use crate::store::{PoolState, WatchedPool};

/// Shows them on the board, and judges by how many connections are in use in all, and how long somebody waits for one.
pub(super) fn hang_up(pools: Vec<WatchedPool>, board: &Board, limits: HealthConfig) {
    let (judged, counted) = (pools.clone(), pools.clone());
    board.section(Arc::new(Pools(pools)));
    board.readings(READINGS, move || readings(&judged.iter().map(WatchedPool::state).collect::<Vec<_>>(), &limits));
    board.figures(move || Box::new(Figures(counted.iter().map(read).collect())));
}

const READINGS: &[Named] = &[Named::warning("pool_wait"), Named::critical("pool_stuck")];

fn readings(pools: &[PoolState], limits: &HealthConfig) -> Vec<Reading> {
    let longest = pools.iter().map(|pool| pool.longest_wait).max().unwrap_or_default();
    let mut readings = vec![limits.pool_wait(longest), limits.pool_stuck(longest)];
    // What the pools can't come to would only be a good point that nobody earned.
    if pools.iter().map(|pool| u64::from(pool.max)).sum::<u64>() > limits.pool_connections {
        readings.push(limits.pool(pools.iter().map(|pool| pool.in_use).sum()));
    }
    readings
}

fn read(pool: &WatchedPool) -> (PoolState, Totals) {
    (pool.state(), pool.acquired().totals())
}

const COLUMNS: &[&str] = &[
    "name",
    "max",
    "open",
    "in_use",
    "waiting",
    "longest_wait_ms",
    "failed",
    "acquired",
    "acquire_mean_ms",
    "acquire_max_ms",
];

struct Pools(Vec<WatchedPool>);

impl Section for Pools {
    fn name(&self) -> &'static str {
        "pools"
    }

    fn json(&self, limit: usize) -> Value {
        let items: Vec<_> = self.0.iter().take(limit).map(item).collect();
        json!({ "items": items })
    }

    fn table(&self, limit: usize) -> Option<Table> {
        Some(Table::of(COLUMNS, &self.json(limit)["items"]))
    }
}

fn item(pool: &WatchedPool) -> Value {
    let (state, acquired) = read(pool);
    json!({
        "name": state.name,
        "max": state.max,
        "open": state.open,
        "in_use": state.in_use,
        "waiting": state.waiting,
        "longest_wait_ms": state.longest_wait.as_secs_f64() * 1_000.0,
        "failed": state.failed,
        "acquired": acquired.count,
        "acquire_mean_ms": mean(&acquired),
        // Since the start, as all of it but what is so now. Nobody has waited for nothing.
        "acquire_max_ms": (acquired.count > 0).then(|| pool.acquired().longest().as_secs_f64() * 1_000.0),
    })
}

fn mean(times: &Totals) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a mean")]
    let count = times.count as f64;
    (times.count > 0).then(|| times.sum_seconds / count * 1_000.0)
}

/// All pools at one moment.
#[derive(Debug)]
struct Figures(Vec<(PoolState, Totals)>);

/// A figure of a pool: its metric, what it is, where it comes from.
type Gauge = (&'static str, &'static str, fn(&PoolState) -> u64);

const GAUGES: &[Gauge] = &[
    ("tidegate_db_pool_max_connections", "Connections that the pool may open", |pool| u64::from(pool.max)),
    ("tidegate_db_pool_connections", "Open connections", |pool| pool.open),
    ("tidegate_db_pool_in_use", "Connections that somebody uses", |pool| pool.in_use),
    ("tidegate_db_pool_waiting", "Who waits for a connection", |pool| pool.waiting),
];

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, value) in GAUGES {
            let mut family = Family::new(&mut encoder, name, help, MetricType::Gauge)?;
            for (pool, _) in &self.0 {
                family.gauge(&[("pool", pool.name)], value(pool))?;
            }
        }
        let failures = "Waits for a connection that ended without one";
        let mut family = Family::new(&mut encoder, "tidegate_db_pool_failures", failures, MetricType::Counter)?;
        for (pool, _) in &self.0 {
            family.counter(&[("pool", pool.name)], pool.failed)?;
        }
        let waits = "Time until a connection was there";
        let mut family = Family::new(&mut encoder, "tidegate_db_pool_acquire_seconds", waits, MetricType::Histogram)?;
        for (pool, acquired) in &self.0 {
            family.histogram(&[("pool", pool.name)], acquired)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidegate_perfmon::{Health, HealthMonitor};

    use super::*;

    fn pool(name: &'static str, max: u32, in_use: u64, longest_wait: Duration) -> PoolState {
        PoolState { name, max, open: in_use, in_use, waiting: 1, longest_wait, failed: 0 }
    }

    fn judge(waited_ms: u64) -> Health {
        let pools = [pool("app-read", 4, 0, Duration::ZERO), pool("app-write", 1, 1, Duration::from_millis(waited_ms))];
        let calm = (0..8).map(|_| Reading::new("calm", 0.0, 1.0));
        let limits = HealthConfig::default();
        HealthMonitor::new(&limits).evaluate(calm.chain(readings(&pools, &limits))).status
    }

    #[test]
    fn a_writer_that_hangs_takes_the_node_out_of_service() {
        let expected = [
            (0, Health::Healthy),
            (900, Health::Healthy),
            (1_100, Health::Degraded),
            (4_900, Health::Degraded),
            (7_500, Health::Unhealthy),
            (18_000, Health::Unhealthy),
        ];
        for (waited, expected) in expected {
            assert_eq!(judge(waited), expected, "{waited} ms");
        }
    }

    #[test]
    fn a_limit_that_the_pools_cannot_reach_is_no_reading() {
        let names = |max, limits: &HealthConfig| {
            let read =
                readings(&[pool("app-read", max, 3, Duration::ZERO), pool("app-write", 1, 1, Duration::ZERO)], limits);
            HealthMonitor::new(limits)
                .evaluate(read)
                .components
                .iter()
                .map(|of| of.name.to_string())
                .collect::<Vec<_>>()
        };
        let narrow = HealthConfig { pool_connections: 3, ..HealthConfig::default() };
        assert_eq!(names(4, &HealthConfig::default()), ["pool_wait", "pool_stuck"]);
        assert_eq!(names(4, &narrow), ["pool_wait", "pool_stuck", "pool_in_use"]);
        assert_eq!(names(100, &HealthConfig::default()), ["pool_wait", "pool_stuck", "pool_in_use"]);
    }
}
