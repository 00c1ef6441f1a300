//! Section, readings and metrics of the connection pools.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use serde_json::{Value, json};
use tidegate_perfmon::{HealthConfig, Reading, Totals};
use tidegate_store::{PoolState, WatchedPool};

use super::exposition::Family;
use super::{Named, Section, Sources, Table};

/// Registers them, and judges the pools by the connections in use and the longest wait.
pub(super) fn register(pools: Vec<WatchedPool>, sources: &Sources, limits: HealthConfig) {
    let (judged, counted) = (pools.clone(), pools.clone());
    sources.section(Arc::new(Pools(pools)));
    let in_use = InUse::default();
    sources.readings(READINGS, move || {
        let pools: Vec<_> = judged.iter().map(WatchedPool::state).collect();
        readings(&pools, &in_use.least(&pools), &limits)
    });
    sources.figures(move || Box::new(Figures(counted.iter().map(read).collect())));
}

const READINGS: &[Named] = &[Named::warning("pool_wait"), Named::critical("pool_stuck"), Named::warning("pool_in_use")];

/// Number of readings, one each second, in which a pool must be nearly full. A short burst can fill
/// a small pool.
const LATELY: usize = 10;

/// Connections in use of each pool at the last readings.
#[derive(Debug, Default)]
struct InUse(Mutex<VecDeque<Vec<u64>>>);

impl InUse {
    /// Adds a reading. Returns the lowest use of each pool over the last readings.
    fn least(&self, pools: &[PoolState]) -> Vec<u64> {
        let mut readings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        readings.push_back(pools.iter().map(|pool| pool.in_use).collect());
        if readings.len() < LATELY {
            return vec![0; pools.len()];
        }
        let over = readings.len() - LATELY;
        readings.drain(..over);
        let least = |pool: usize| readings.iter().filter_map(|reading| reading.get(pool)).min().copied();
        (0..pools.len()).map(|pool| least(pool).unwrap_or(0)).collect()
    }
}

/// `in_use` is the recent number of connections in use of each pool.
fn readings(pools: &[PoolState], in_use: &[u64], limits: &HealthConfig) -> Vec<Reading> {
    let longest = pools.iter().map(|pool| pool.longest_wait).max().unwrap_or_default();
    let mut readings = vec![limits.pool_wait(longest), limits.pool_stuck(longest)];
    // A pool of one connection is full whenever it is used, so only waits count there.
    let shared = pools.iter().zip(in_use).filter(|(pool, _)| pool.max > 1);
    let share = |(pool, in_use): &(&PoolState, &u64)| **in_use * 1_000 / u64::from(pool.max);
    if let Some((pool, in_use)) = shared.max_by_key(share) {
        readings.push(limits.pool(pool.name, *in_use, pool.max.into()));
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
        // Since the start, like the other values except the current ones. `None` if there was no
        // wait.
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

/// A metric of a pool: its name, its help text and its source.
type Gauge = (&'static str, &'static str, fn(&PoolState) -> u64);

const GAUGES: &[Gauge] = &[
    ("tidegate_db_pool_max_connections", "Maximum number of connections of the pool", |pool| u64::from(pool.max)),
    ("tidegate_db_pool_connections", "Open connections", |pool| pool.open),
    ("tidegate_db_pool_in_use", "Connections in use", |pool| pool.in_use),
    ("tidegate_db_pool_waiting", "Callers that wait for a connection", |pool| pool.waiting),
];

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, value) in GAUGES {
            let mut family = Family::new(&mut encoder, name, help, MetricType::Gauge)?;
            for (pool, _) in &self.0 {
                family.gauge(&[("pool", pool.name)], value(pool))?;
            }
        }
        let failures = "Waits for a connection that failed";
        let mut family = Family::new(&mut encoder, "tidegate_db_pool_failures", failures, MetricType::Counter)?;
        for (pool, _) in &self.0 {
            family.counter(&[("pool", pool.name)], pool.failed)?;
        }
        let waits = "Time until a connection was acquired";
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
        HealthMonitor::new(&limits).evaluate(calm.chain(readings(&pools, &[0, 1], &limits))).status
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

    /// Judges a pool with the default limits after these seconds. Returns whether the limit is
    /// exceeded, and the message.
    fn judge_in_use(max: u32, seconds: &[u64]) -> Option<(bool, String)> {
        let (in_use, limits) = (InUse::default(), HealthConfig::default());
        let mut judged = None;
        for used in seconds {
            let pools = [pool("replica", 100, 1, Duration::ZERO), pool("app", max, *used, Duration::ZERO)];
            let readings = readings(&pools, &in_use.least(&pools), &limits);
            let report = HealthMonitor::new(&limits).evaluate(readings);
            let found = report.components.iter().any(|component| component.name == "pool_in_use");
            let reason = report.reasons.iter().find(|reason| reason.component == "pool_in_use");
            let exceeds = reason.filter(|reason| reason.message.contains(", above "));
            judged = found.then(|| (exceeds.is_some(), exceeds.map(|told| told.message.clone()).unwrap_or_default()));
        }
        judged
    }

    #[test]
    fn a_pool_of_the_default_size_that_stays_nearly_full_is_warned_of() {
        for (max, used) in [(20, 17), (4, 4), (10, 9), (100, 81)] {
            let (exceeds, message) = judge_in_use(max, &[used; LATELY]).unwrap();
            assert!(exceeds && message.contains(&format!("{used} of {max} connections of app")), "{max}: {message}");
        }
        for (max, used) in [(20, 16), (4, 3), (100, 80)] {
            assert!(!judge_in_use(max, &[used; LATELY]).unwrap().0, "{used} of {max} is within the limit");
        }
    }

    #[test]
    fn a_pool_that_is_full_for_a_moment_or_has_one_connection_is_not_warned_of() {
        let mut burst = [20; LATELY + 1];
        burst[5] = 2;
        assert!(!judge_in_use(20, &burst).unwrap().0);
        assert!(!judge_in_use(20, &[20; LATELY - 1]).unwrap().0, "too few readings");
        assert!(!judge_in_use(1, &[1; LATELY]).unwrap().0, "one connection is full whenever it is used");
        let alone = [pool("app-write", 1, 1, Duration::ZERO)];
        assert_eq!(readings(&alone, &[1], &HealthConfig::default()).len(), 2);
    }
}
