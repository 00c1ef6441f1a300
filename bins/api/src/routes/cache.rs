//! `/api/cache`: the cache's figures, and purges on every node.

mod keys;
pub(super) mod operations;
pub(crate) mod purge;
pub(crate) mod warm_up;

use std::time::Duration;

use axum::extract::State;
use serde_json::{Value, json};
use tidegate_cache::{ClassStats, TierStats};
use tidegate_perfmon::OperationSnapshot;
use tidegate_settings::ClassSettings;
use tidegate_telemetry::Telemetry;

use tidegate_web::app::App;
use tidegate_web::problem::Problem;

/// Minimum number of lookups for a meaningful rate.
const ENOUGH_LOOKUPS: u64 = 100;

pub(super) async fn show(State(app): State<App>) -> axum::Json<Value> {
    axum::Json(told(&app))
}

/// Returns the figures of the cache, by tier and by class.
pub(crate) fn told(app: &App) -> Value {
    let stats = app.node().cache.stats();
    let telemetry = &app.node().telemetry;
    let settings = app.settings();
    let low = settings.performance.health.hit_rate;
    let classes: Vec<_> = stats.classes.into_iter().map(|stats| Class::of(stats, low)).collect();
    let redis = telemetry.redis();
    let of_redis = redis.iter().flat_map(|redis| redis.warnings.iter().map(|warning| format!("Redis: {warning}")));
    let warnings =
        classes.iter().filter_map(Class::warning).chain(stats.tiers.iter().flat_map(warnings_of)).chain(of_redis);
    let warnings: Vec<_> = warnings.collect();
    json!({
        "tiers": stats.tiers.iter().map(|stats| tier(stats, telemetry)).collect::<Vec<_>>(),
        "classes": classes.iter().map(|class| class.shown(settings.cache_classes.of(class.stats.class))).collect::<Vec<_>>(),
        "low_hit_rate": classes.iter().filter(|class| class.low().is_some()).map(|class| class.stats.class).collect::<Vec<_>>(),
        "warm_up": app.warming().progress().as_ref().map(warm_up::shown),
        "redis": redis,
        "warnings": warnings,
    })
}

/// A class, with what the shared tier did for it.
struct Class {
    stats: ClassStats,
    /// Misses of memory that the shared tier answered.
    shared_hits: u64,
    /// Hit rate below which a warning is given: `performance.health: hit_rate`.
    low: f64,
}

impl Class {
    fn of(stats: ClassStats, low: f64) -> Self {
        // A stale hit may be renewed from there too. That saves a load but answers no lookup.
        let shared_hits = stats.shared_hits.min(stats.misses);
        Self { stats, shared_hits, low }
    }

    fn found(&self) -> u64 {
        self.stats.hits + self.stats.stale_hits + self.shared_hits
    }

    fn lookups(&self) -> u64 {
        self.stats.hits + self.stats.stale_hits + self.stats.misses
    }

    /// Returns the share of lookups that found a value in any tier. `None` before the first.
    fn hit_rate(&self) -> Option<f64> {
        share(self.found(), self.lookups())
    }

    /// Returns the rate, if it is low and meaningful.
    fn low(&self) -> Option<f64> {
        self.hit_rate().filter(|rate| *rate < self.low && self.lookups() >= ENOUGH_LOOKUPS)
    }

    fn warning(&self) -> Option<String> {
        let (class, percent, low) = (self.stats.class, self.low()? * 100.0, (self.low * 1_000.0).round() / 10.0);
        Some(format!("class {class}: {percent:.1} % of its lookups are hits, less than {low} %"))
    }

    /// `settings` are `None` for a class that has none, which only tests use.
    fn shown(&self, settings: Option<&ClassSettings>) -> Value {
        let stats = &self.stats;
        json!({
            "class": stats.class,
            "ttl_seconds": stats.ttl.as_secs(),
            "hits": stats.hits,
            "stale_hits": stats.stale_hits,
            "misses": stats.misses,
            "shared_hits": self.shared_hits,
            "hit_rate": self.hit_rate(),
            "loads": stats.loads,
            "load_failures": stats.load_failures,
            "queued_loads": stats.queued_loads,
            "refused_loads": stats.refused_loads,
            "timeouts": stats.timeouts,
            "collapsed": stats.collapsed,
            "invalidations": stats.invalidations,
            "type_mismatches": stats.type_mismatches,
            "is_hit_rate_low": self.low().is_some(),
            "settings": settings.map(options),
        })
    }
}

/// The settings of a class. Times are in seconds.
fn options(settings: &ClassSettings) -> Value {
    json!({
        "ttl_seconds": settings.ttl.as_secs_f64(),
        "grace_seconds": settings.grace.as_secs_f64(),
        "soft_timeout_seconds": settings.soft_timeout.as_secs_f64(),
        "refresh_ahead_seconds": settings.refresh_ahead.as_secs_f64(),
        "early_refresh": settings.early_refresh,
        "sliding_seconds": settings.sliding.map(|cap| cap.as_secs_f64()),
        "wait_seconds": settings.wait.as_secs_f64(),
    })
}

/// Warnings for an operator about a shared tier that does not work as it should.
fn warnings_of(tier: &TierStats) -> impl Iterator<Item = String> {
    let says = |is_so: bool, what: &str| is_so.then(|| format!("tier {}: {what}", tier.tier));
    let warnings = [
        says(!tier.is_available, "it does not answer, and is gone without"),
        says(tier.is_available && !tier.is_followed, "changes by other processes are not heard of at once"),
        says(tier.owed > 0, "it has not received all invalidations yet, and is not read until then"),
    ];
    warnings.into_iter().flatten()
}

/// Returns the share of lookups that found a value. `None` before the first.
#[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 53 bits")]
fn share(found: u64, asked: u64) -> Option<f64> {
    (asked > 0).then(|| found as f64 / asked as f64)
}

/// Times in microseconds.
fn latency(of: &OperationSnapshot) -> Value {
    let micros = |time: Option<Duration>| time.map(|time| time.as_secs_f64() * 1e6);
    json!({"samples": of.count, "p50": micros(of.latency.p50), "p99": micros(of.latency.p99)})
}

fn tier(tier: &TierStats, telemetry: &Telemetry) -> Value {
    if tier.entries.is_none() {
        return shared_tier(tier, telemetry);
    }
    json!({
        "tier": tier.tier,
        "entries": tier.entries,
        "capacity": tier.capacity,
        "weight": tier.weight,
        "hits": tier.hits,
        "misses": tier.misses,
        "hit_rate": share(tier.hits, tier.hits + tier.misses),
        "evictions": tier.evictions,
        "latency_us": latency(&telemetry.cache_latency()),
    })
}

/// A tier that other processes fill too, so that its contents are not reported here.
fn shared_tier(tier: &TierStats, telemetry: &Telemetry) -> Value {
    json!({
        "tier": tier.tier,
        "hits": tier.hits,
        "misses": tier.misses,
        "hit_rate": share(tier.hits, tier.hits + tier.misses),
        "from_replicas": tier.from_replicas,
        "errors": tier.errors,
        "codec_errors": tier.codec_errors,
        "owed": tier.owed,
        "is_followed": tier.is_followed,
        "is_available": tier.is_available,
        "latency_us": telemetry.shared_cache_latency().as_ref().map(latency),
    })
}

fn bad(field: &str, error: &dyn std::error::Error) -> Problem {
    Problem::unprocessable("bad-selection", format!("`{field}`: {error}"))
}

#[cfg(test)]
mod tests {
    use tidegate_cache::{Fill, Key, TieredCache, TtlClass};

    use super::*;

    /// A class of which 100 lookups were made, `hits` of them hits.
    async fn class(hits: usize, low: f64) -> Class {
        let cache = TieredCache::builder().build();
        let numbers = cache.typed::<usize>(TtlClass::API);
        for lookup in 0..100_usize {
            let key = Key::builder("n").part(lookup.saturating_sub(hits)).build().unwrap();
            numbers.fetch(&key, async move || Ok::<_, std::io::Error>(Fill::new(lookup))).await.unwrap();
        }
        Class::of(cache.stats().classes.remove(0), low)
    }

    #[tokio::test]
    async fn a_class_is_warned_of_below_the_hit_rate_of_the_settings() {
        let rate = class(85, 0.8).await.hit_rate().unwrap();
        assert!((0.84..0.86).contains(&rate), "{rate}");
        assert_eq!(class(85, 0.8).await.warning(), None);
        let warning = class(85, 0.9).await.warning().unwrap();
        assert!(warning.ends_with("less than 90 %"), "{warning}");
        assert_eq!(class(85, 0.9).await.shown(None)["is_hit_rate_low"], true);
    }
}
