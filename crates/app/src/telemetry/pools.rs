//! The pools of connections: as they are shown, judged and counted.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use serde_json::{Value, json};
use tidegate_perfmon::{HealthConfig, Reading, Totals};

use super::exposition::Family;
use super::{Board, Section, Table};
use crate::store::{PoolState, WatchedPool};

/// Whoever waits longer for a connection waits for something that hangs, or for far too many others.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Shows them on the board, and judges by how many connections are in use in all, and how long somebody waits for one.
pub(super) fn hang_up(pools: Vec<WatchedPool>, board: &Board, limits: HealthConfig) {
    let (judged, counted) = (pools.clone(), pools.clone());
    board.section(Arc::new(Pools(pools)));
    board.readings(move || {
        let states = || judged.iter().map(WatchedPool::state);
        let longest = states().map(|pool| pool.longest_wait).max().unwrap_or_default();
        vec![limits.pool(states().map(|pool| pool.in_use).sum()), wait(longest)]
    });
    board.figures(move || Box::new(Figures(counted.iter().map(read).collect())));
}

/// Someone has waited for a connection for so long, and still does. Few connections in use say nothing of a pool that has
/// but one.
fn wait(longest: Duration) -> Reading {
    Reading::new("pool_wait", longest.as_secs_f64(), LONGEST_WAIT.as_secs_f64()).unit("s")
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
