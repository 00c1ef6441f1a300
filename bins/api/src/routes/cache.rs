//! `/api/cache`: what the cache did, and dropping from it on every node.

pub(super) mod keys;

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_app::store::Purge;
use tidegate_cache::{CacheStats, ClassStats, Key, Pattern, Tag, TierStats, TtlClass, WarmUpProgress, WarmUpState};

use crate::app::App;
use crate::json::Json;
use crate::problem::Problem;

/// Below this share of hits the cache is worth a look.
const LOW_HIT_RATE: f64 = 0.8;
/// Lookups before a rate says anything.
const ENOUGH_LOOKUPS: u64 = 100;
/// Most keys or tags that one request drops: each is a row of a transaction for which all other writes wait.
const MOST_NAMED: usize = 1_000;
/// Classes that are known whether or not this node has used them: another may have.
const STANDARD: [TtlClass; 5] =
    [TtlClass::SCHEDULE, TtlClass::SESSION, TtlClass::COMPUTATION, TtlClass::API, TtlClass::PREFERENCES];

pub(super) async fn show(State(app): State<App>) -> axum::Json<Value> {
    let stats = app.node().cache.stats();
    let latency = app.node().telemetry.cache_latency();
    let redis = app.node().telemetry.redis();
    let of_redis = redis.iter().flat_map(|redis| redis.warnings.iter().map(|warning| format!("Redis: {warning}")));
    let warnings: Vec<_> = warnings_of(&stats).chain(of_redis).collect();
    let micros = |q| latency.quantile(q).map(|time| time.as_secs_f64() * 1e6);
    axum::Json(json!({
        "tiers": stats.tiers.iter().map(tier).collect::<Vec<_>>(),
        "classes": stats.classes.iter().map(class).collect::<Vec<_>>(),
        "low_hit_rate": stats.classes.iter()
            .filter(|class| class.hit_rate.is_some_and(|rate| rate < LOW_HIT_RATE))
            .map(|class| class.class)
            .collect::<Vec<_>>(),
        "latency_us": {"samples": latency.count(), "p50": micros(0.5), "p99": micros(0.99)},
        "warm_up": app.warming().map(|warming| warm_up(&warming.progress())),
        "redis": redis,
        "warnings": warnings,
    }))
}

fn warm_up(progress: &WarmUpProgress) -> Value {
    let state = match progress.state {
        WarmUpState::Running => "running",
        WarmUpState::Done => "done",
        WarmUpState::Cancelled => "cancelled",
    };
    json!({
        "state": state,
        "total": progress.total,
        "loaded": progress.loaded,
        "present": progress.present,
        "failed": progress.failed,
        "unknown": progress.unknown,
        "elapsed_ms": u64::try_from(progress.elapsed.as_millis()).unwrap_or(u64::MAX),
    })
}

/// What an operator should look at: classes that miss much, and a shared tier that isn't what it should be.
fn warnings_of(stats: &CacheStats) -> impl Iterator<Item = String> {
    let low = stats.classes.iter().filter(|class| class.hits + class.stale_hits + class.misses >= ENOUGH_LOOKUPS);
    let low = low.filter_map(|class| {
        let rate = class.hit_rate.filter(|rate| *rate < LOW_HIT_RATE)?;
        Some(format!(
            "class {}: {:.1} % of its lookups are hits, less than {:.0} %",
            class.class,
            rate * 100.0,
            LOW_HIT_RATE * 100.0
        ))
    });
    let tiers = stats.tiers.iter().flat_map(|tier| {
        let says = |is_so: bool, what: &str| is_so.then(|| format!("tier {}: {what}", tier.tier));
        [
            says(!tier.is_available, "it does not answer, and is gone without"),
            says(tier.is_available && !tier.is_followed, "changes by other processes are not heard of at once"),
            says(tier.owed > 0, "it has not been told of all invalidations yet, and is not read until then"),
        ]
    });
    low.chain(tiers.flatten())
}

/// Share of the lookups that found something; none before the first.
#[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 53 bits")]
fn hit_rate(tier: &TierStats) -> Option<f64> {
    let asked = tier.hits + tier.misses;
    (asked > 0).then(|| tier.hits as f64 / asked as f64)
}

fn tier(tier: &TierStats) -> Value {
    if tier.entries.is_none() {
        return shared_tier(tier);
    }
    json!({
        "tier": tier.tier,
        "entries": tier.entries,
        "capacity": tier.capacity,
        "weight": tier.weight,
        "hits": tier.hits,
        "misses": tier.misses,
        "hit_rate": hit_rate(tier),
        "evictions": tier.evictions,
    })
}

/// A tier that other processes fill too: what it holds is not this one's to tell.
fn shared_tier(tier: &TierStats) -> Value {
    json!({
        "tier": tier.tier,
        "hits": tier.hits,
        "misses": tier.misses,
        "hit_rate": hit_rate(tier),
        "from_replicas": tier.from_replicas,
        "errors": tier.errors,
        "codec_errors": tier.codec_errors,
        "owed": tier.owed,
        "is_followed": tier.is_followed,
        "is_available": tier.is_available,
    })
}

fn class(class: &ClassStats) -> Value {
    json!({
        "class": class.class,
        "ttl_seconds": class.ttl.as_secs(),
        "hits": class.hits,
        "stale_hits": class.stale_hits,
        "misses": class.misses,
        "loads": class.loads,
        "load_failures": class.load_failures,
        "collapsed": class.collapsed,
        "invalidations": class.invalidations,
        "hit_rate": class.hit_rate,
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Selection {
    pattern: Option<String>,
    keys: Option<Vec<String>>,
    tags: Option<Vec<String>>,
    all: Option<bool>,
    #[serde(rename = "type")]
    class: Option<String>,
}

/// Drops what the body selects from the caches of all nodes.
pub(super) async fn purge(
    State(app): State<App>,
    Json(selection): Json<Selection>,
) -> Result<axum::Json<Value>, Problem> {
    selection.check_class(&app.node().cache.stats().classes)?;
    let purge = selection.check()?;
    let removed = app.node().store.purge(&purge).await?;
    Ok(axum::Json(json!({"removed": removed})))
}

impl Selection {
    /// A class that nobody has would be dropped without a word, and what was meant would stay.
    fn check_class(&self, used: &[ClassStats]) -> Result<(), Problem> {
        let Some(class) = self.class.as_deref().filter(|class| *class != "all") else { return Ok(()) };
        let mut known: Vec<_> = STANDARD.iter().map(TtlClass::name).collect();
        known.extend(
            used.iter().map(|used| used.class).filter(|used| !STANDARD.iter().any(|class| class.name() == *used)),
        );
        if known.contains(&class) {
            return Ok(());
        }
        let shown: String = class.chars().take(64).collect();
        let detail = format!("`type`: there is no class `{shown}`; there are {} and all", known.join(", "));
        Err(Problem::unprocessable("bad-selection", detail))
    }

    fn check(self) -> Result<Purge, Problem> {
        // `"type": "all"` says the same as no type, and alone the same as `"all": true`.
        let is_everything = self.class.as_deref() == Some("all");
        let class = self.class.filter(|_| !is_everything).map(Arc::from);
        let has_selector = self.pattern.is_some() || self.keys.is_some() || self.tags.is_some();
        let is_clear = self.all == Some(true) || (is_everything && !has_selector);
        match (self.pattern, self.keys, self.tags, class) {
            (Some(pattern), None, None, class) if !is_clear => {
                let pattern = Pattern::parse(&pattern).map_err(|error| bad("pattern", &error))?;
                Ok(Purge::Pattern(pattern, class))
            }
            (None, Some(keys), None, None) if !is_clear => {
                few("keys", keys.len())?;
                let keys = keys.iter().map(|key| Key::parse(key)).collect::<Result<_, _>>();
                keys.map(Purge::Keys).map_err(|error| bad("keys", &error))
            }
            (None, None, Some(tags), None) if !is_clear => {
                few("tags", tags.len())?;
                let tags = tags.iter().map(|tag| Tag::parse(tag)).collect::<Result<_, _>>();
                tags.map(Purge::Tags).map_err(|error| bad("tags", &error))
            }
            (None, Some(_), None, Some(_)) | (None, None, Some(_), Some(_)) => Err(Problem::unprocessable(
                "bad-selection",
                "`type` narrows a `pattern` only: `keys` and `tags` say by themselves which entries are meant",
            )),
            (None, None, None, Some(class)) => Ok(Purge::Class(class)),
            (None, None, None, None) if is_clear => Ok(Purge::All),
            _ => Err(Problem::unprocessable(
                "bad-selection",
                "name exactly one of `pattern`, `keys`, `tags`, `all`: true or `type`; `type` may narrow a `pattern`",
            )),
        }
    }
}

fn few(field: &str, count: usize) -> Result<(), Problem> {
    if count <= MOST_NAMED {
        return Ok(());
    }
    let detail = format!(
        "`{field}`: {count} are too many for one request, of which each takes {MOST_NAMED}; a tag or a pattern drops any number"
    );
    Err(Problem::unprocessable("bad-selection", detail).with("limit", MOST_NAMED))
}

fn bad(field: &str, error: &dyn std::error::Error) -> Problem {
    Problem::unprocessable("bad-selection", format!("`{field}`: {error}"))
}
