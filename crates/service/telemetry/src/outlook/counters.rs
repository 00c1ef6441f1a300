//! Readings of all counters, and the signals of a minute computed from two of them.

use tidegate_cache::TierStats;
use tidegate_perfmon::advice::{ApiSignals, CacheSignals, LimiterSignals, QuerySignals, QueueSignals, Signals};
use tidegate_perfmon::{Outcomes, Overall, QueryStats, Repeated, Window};
use tidegate_ratelimit::LimiterStats;

use crate::Telemetry;
use crate::process::ProcessReading;
use crate::queues::RunTotals;

/// Number of slowest statements of a minute that advice considers, in addition to those that
/// requests repeat.
const STATEMENTS: usize = 64;

/// The counters at one moment, with some values of the last minute and of the moment.
#[derive(Debug, Clone)]
pub(crate) struct Counters {
    pub(super) tiers: Vec<TierStats>,
    /// Entries that left L1 because they had expired.
    pub(super) expiries: u64,
    pub(super) limiters: Vec<(&'static str, LimiterStats)>,
    pub(super) queues: Vec<(String, RunTotals)>,
    /// Requests and failures, as in the health report.
    pub(super) outcomes: Outcomes,
    /// Values of the last minute.
    pub(super) api: Overall,
    /// Requests in progress.
    pub(super) in_flight: usize,
    pub(super) process: Option<ProcessReading>,
    /// All shapes that advice may name. A shape that is new among them started in this minute.
    pub(super) queries: Vec<QueryStats>,
    pub(super) repeated: Vec<Repeated>,
}

/// A metric of the outlook: its name, its value, and the smallest deviation that counts.
pub(super) type Observation = (String, f64, f64);

impl Counters {
    pub(crate) fn of(telemetry: &Telemetry) -> Self {
        let (queries, repeated) = telemetry.statements.advisable();
        Self {
            tiers: telemetry.cache.stats().tiers,
            expiries: telemetry.cache_watch.expiries(),
            limiters: telemetry.limiter_stats(),
            queues: telemetry.job_watch.totals(),
            outcomes: telemetry.registry.outcomes(),
            api: telemetry.registry.overall(Window::Seconds(60)),
            in_flight: telemetry.registry.in_flight().iter().map(|endpoint| endpoint.count).sum(),
            process: ProcessReading::take(),
            queries,
            repeated,
        }
    }

    /// Returns the signals of the time between `before` and now.
    pub(super) fn since(&self, before: &Self, minute: u64) -> Signals {
        let mut signals = Signals::new(minute);
        for tier in &self.tiers {
            let Some(then) = before.tiers.iter().find(|then| then.tier == tier.tier) else { continue };
            let mut cache = CacheSignals::new(tier.tier);
            cache.hits = tier.hits.saturating_sub(then.hits);
            cache.misses = tier.misses.saturating_sub(then.misses);
            cache.evictions = tier.evictions.unwrap_or(0).saturating_sub(then.evictions.unwrap_or(0));
            // Only L1 reports expiries.
            if tier.evictions.is_some() {
                cache.expiries = self.expiries.saturating_sub(before.expiries);
            }
            signals.caches.push(cache);
        }
        let mut api = ApiSignals::default();
        api.requests = self.outcomes.total.saturating_sub(before.outcomes.total);
        api.errors = self.outcomes.bad.saturating_sub(before.outcomes.bad);
        api.p99 = self.api.latency.p99.map(|p99| p99.as_secs_f64());
        api.in_flight = Some(float(self.in_flight as u64));
        signals.api = Some(api);
        for (queue, totals) in &self.queues {
            let then = before.queues.iter().find(|(name, _)| name == queue).map(|(_, then)| *then).unwrap_or_default();
            signals.queues.push(of_queue(queue, totals, &then));
        }
        for (name, stats) in &self.limiters {
            let Some((_, then)) = before.limiters.iter().find(|(known, _)| known == name) else { continue };
            signals.limiters.push(of_limiter(name, stats, then));
        }
        signals.queries = self.queries_since(before);
        signals
    }

    fn queries_since(&self, before: &Self) -> Vec<QuerySignals> {
        let of = |stats: &QueryStats| {
            let then = before.queries.iter().find(|then| then.fingerprint == stats.fingerprint);
            let (calls, total) = then.map_or((0, 0.0), |then| (then.calls, then.total.as_secs_f64()));
            let mut signals = QuerySignals::new(&stats.text);
            signals.calls = stats.calls.saturating_sub(calls);
            signals.total = (stats.total.as_secs_f64() - total).max(0.0);
            Some(signals).filter(|signals| signals.calls > 0)
        };
        let mut queries: Vec<QuerySignals> = self.queries.iter().filter_map(of).collect();
        queries.sort_by(|one, other| other.total.total_cmp(&one.total));
        queries.truncate(STATEMENTS);
        for repeated in &self.repeated {
            let is_same = |then: &&Repeated| then.fingerprint == repeated.fingerprint && then.route == repeated.route;
            let requests = before.repeated.iter().find(is_same).map_or(0, |then| then.requests);
            let requests = repeated.requests.saturating_sub(requests);
            if requests == 0 {
                continue;
            }
            let place = queries.iter().position(|query| query.fingerprint == repeated.text);
            let place = place.unwrap_or_else(|| {
                queries.push(QuerySignals::new(&repeated.text));
                queries.len() - 1
            });
            let query = &mut queries[place];
            query.repeated_in = query.repeated_in.saturating_add(requests);
            query.most_in_a_request = query.most_in_a_request.max(repeated.most.into());
        }
        queries
    }

    /// Returns the metrics of the outlook: meaningful on their own, in the units of their names.
    pub(super) fn figures(&self, signals: &Signals) -> Vec<Observation> {
        let mut told: Vec<Observation> = Vec::new();
        let mut tell = |name: String, value: Option<f64>, floor: f64| {
            told.extend(value.map(|value| (name, value, floor)));
        };
        if let Some(api) = signals.api {
            tell("http.requests_per_minute".to_owned(), Some(float(api.requests)), 10.0);
            tell("http.p99_ms".to_owned(), api.p99.map(|p99| p99 * 1_000.0), 5.0);
            tell("http.error_rate".to_owned(), share(api.errors, api.requests), 0.01);
        }
        if let Some(process) = &self.process {
            tell("process.resident_mib".to_owned(), Some(float(process.resident_bytes >> 20)), 8.0);
            tell("process.open_descriptors".to_owned(), Some(float(process.open_descriptors)), 20.0);
        }
        for cache in &signals.caches {
            tell(format!("cache.{}.hit_rate", cache.name), share(cache.hits, cache.lookups()), 0.02);
        }
        for queue in &signals.queues {
            tell(format!("queue.{}.runs_per_minute", queue.name), Some(float(queue.runs)), 10.0);
            tell(format!("queue.{}.wait_ms", queue.name), queue.wait.map(|wait| wait * 1_000.0), 20.0);
            tell(format!("queue.{}.run_ms", queue.name), queue.service.map(|run| run * 1_000.0), 20.0);
        }
        for limiter in &signals.limiters {
            let charges = limiter.allowed.saturating_add(limiter.denied);
            tell(format!("limit.{}.denied", limiter.name), share(limiter.denied, charges), 0.02);
        }
        told
    }
}

fn of_queue(queue: &str, now: &RunTotals, then: &RunTotals) -> QueueSignals {
    let mut signals = QueueSignals::new(queue);
    signals.runs = now.runs.saturating_sub(then.runs);
    signals.retries = now.retries.saturating_sub(then.retries);
    signals.failures = now.failures.saturating_sub(then.failures);
    let mean = |sum: f64, count: u64| (count > 0).then(|| sum.max(0.0) / float(count));
    signals.wait = mean(now.wait_seconds - then.wait_seconds, now.waits.saturating_sub(then.waits));
    signals.service = mean(now.run_seconds - then.run_seconds, signals.runs);
    signals
}

pub(super) fn of_limiter(name: &str, now: &LimiterStats, then: &LimiterStats) -> LimiterSignals {
    let mut signals = LimiterSignals::new(name);
    signals.allowed = now.allowed.saturating_sub(then.allowed);
    signals.denied = now.denied.saturating_sub(then.denied);
    // A key that was not listed before may have been refused then too. Its share is overestimated
    // rather than underestimated.
    let before = |key: &str| then.top_denied.iter().find(|(known, _)| known == key).map_or(0, |(_, count)| *count);
    let largest = now.top_denied.iter().map(|(key, count)| count.saturating_sub(before(key))).max();
    signals.largest_share = largest.and_then(|largest| share(largest.min(signals.denied), signals.denied));
    signals
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| float(part) / float(whole))
}

#[expect(clippy::cast_precision_loss, reason = "counts of a minute")]
fn float(count: u64) -> f64 {
    count as f64
}
