//! The pools of connections: as they are shown, judged and counted.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use serde_json::{Value, json};
use tidegate_perfmon::{HealthConfig, Totals};

use super::exposition::Family;
use super::{Board, Section, Table};
use crate::store::{PoolState, WatchedPool};

/// Shows them on the board, and judges by how many connections are in use in all.
pub(super) fn hang_up(pools: Vec<WatchedPool>, board: &Board, limits: HealthConfig) {
    let (judged, counted) = (pools.clone(), pools.clone());
    board.section(Arc::new(Pools(pools)));
    board.readings(move || vec![limits.pool(judged.iter().map(|pool| pool.state().in_use).sum())]);
    board.figures(move || Box::new(Figures(counted.iter().map(read).collect())));
}

fn read(pool: &WatchedPool) -> (PoolState, Totals) {
    (pool.state(), pool.acquired().totals())
}

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
        let row = |pool: &WatchedPool| {
            let state = pool.state();
            let numbers = [u64::from(state.max), state.open, state.in_use, state.waiting, state.failed];
            [state.name.to_owned()].into_iter().chain(numbers.map(|number| number.to_string())).collect()
        };
        Some(Table {
            columns: &["name", "max", "open", "in_use", "waiting", "failed"],
            rows: self.0.iter().take(limit).map(row).collect(),
        })
    }
}

fn item(pool: &WatchedPool) -> Value {
    let (state, acquired) = read(pool);
    #[expect(clippy::cast_precision_loss, reason = "a mean")]
    let mean = (acquired.count > 0).then(|| acquired.sum_seconds / acquired.count as f64 * 1_000.0);
    json!({
        "name": state.name,
        "max": state.max,
        "open": state.open,
        "in_use": state.in_use,
        "waiting": state.waiting,
        "failed": state.failed,
        "acquired": acquired.count,
        "acquire_mean_ms": mean,
        "acquire_max_ms": pool.acquired().longest().as_secs_f64() * 1_000.0,
    })
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
