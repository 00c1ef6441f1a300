//! The readings that the registry itself can give.

mod chance;
mod excess;
mod failing;
mod slowest;

use std::sync::Arc;
use std::time::Duration;

use crate::health::config::HealthConfig;
use crate::health::reading::Reading;
use crate::health::wording::duration;
use crate::histogram::snapshot::Snapshot;
use crate::outcome::tally::ABORTED;
use crate::readings::excess::{FewSamples, Share, worst_window};
use crate::readings::failing::{Failing, when};
use crate::readings::slowest::Slowest;
use crate::record::kind::Kind;
use crate::registry::Registry;
use crate::series::Series;
use crate::series::interval::Interval;
use crate::time::window::Window;

/// More than this share of the responses may not take longer than the limit of `p99`.
const SLOWEST_SHARE: f64 = 0.01;

impl Registry {
    /// The built-in readings over the window of [`HealthConfig`]:
    ///
    /// - `error_rate` (critical): the share of 5xx among all responses without
    ///   [refusals](crate::CallOutcome::is_refusal). No reading includes refusals: a client that is
    ///   refused often enough would hide an outage;
    /// - `failing_api`: the same for the endpoint that fails most. An endpoint that always fails is
    ///   seen, however small its share of all requests is;
    /// - `aborted` (critical): the share of requests whose client left before a response. If a
    ///   handler hangs, its clients leave before its own latency shows it;
    /// - `p99` (critical): the 99th percentile of all responses. The threshold is an exact edge of
    ///   the buckets, so it is exceeded exactly when more than 1 % of the responses took longer;
    /// - `slow_api`: the 95th percentile of the slowest endpoint. It is exceeded exactly when more
    ///   than 5 % of its responses took longer: one outlier is no incident. Endpoints with too few
    ///   samples are skipped;
    /// - `slow_query`: the same for operations of [`Kind::Database`]; left out when there is none;
    /// - `database_time`, `api_time`, `cache_time`, `rendering_time`: the same for operations of
    ///   each kind, against the duration above which the registry reports an operation as slow;
    ///   left out when there is none.
    ///
    /// With few samples one slow request would be more than 1 % of all. So the window is exact only
    /// if ten or more samples exceed a limit. Three to nine count only if a share of half the limit
    /// would rarely produce that number (once in 10,000). One or two never count. Until then the
    /// reading is shown, but does not exceed its threshold.
    ///
    /// A short window ([`HealthConfig::recent`]) replaces the long one if it is worse. It must have
    /// enough samples, and exceed the limit by so much that chance does this once in a million
    /// evaluations at most. A window of ten seconds or more also counts with fewer samples for
    /// `error_rate`, `failing_api` and `p99`: at least three samples, nearly all of them above the
    /// limit. Three failures of three requests are an outage, however quiet the service is. So a
    /// sudden breach shows early, and noise below a limit stays noise. After good traffic at a
    /// steady rate, with the default limits, an error rate is detected after this time:
    ///
    /// | of all responses fail | at 2/s | at 10/s | at 100/s | at 1,000/s |
    /// |---|---|---|---|---|
    /// | 100 % | 5 s | 1 s | 1 s | 1 s |
    /// | 50 % | 9 s | 2 s | 1 s | 1 s |
    /// | 20 % | 53 s | 10 s | 2 s | 1 s |
    /// | 10 % | 165 s | 60 s | 10 s | 2 s |
    ///
    /// Requests that have begun and not ended count in `p99` as responses that took as long as they
    /// have been running, once that exceeds its limit. So a hanging handler is seen before it ends.
    ///
    /// Costs a pass over each window of every endpoint that was used in the longest.
    pub fn readings(&self) -> Vec<Reading> {
        self.readings_with(|limit| self.in_flight_over(limit))
    }

    /// Does the same as [`readings`](Self::readings), for callers that count running requests by
    /// other means than the layer. `in_flight_over(limit)` returns how many have been running for
    /// longer than that.
    pub fn readings_with(&self, in_flight_over: impl Fn(Duration) -> u64) -> Vec<Reading> {
        let inner = self.inner();
        let config = &inner.health;
        // The long one first.
        let mut all: Vec<Whole> = std::iter::once(config.window)
            .chain(config.recent_windows())
            .map(|window| Whole::new(window, Snapshot::empty(Arc::clone(&inner.layout))))
            .collect();
        let mut failing_api = Failing::new(config);
        let mut slow_api = Slowest::new("slow_api", config.slow_api, config.min_samples);
        for endpoint in self.judged() {
            let Some(Figures { long, short }) = Figures::of(endpoint.series(), config) else { continue };
            for (whole, interval) in all.iter_mut().zip(std::iter::once(&long).chain(short.iter().map(|(_, of)| of))) {
                whole.add(interval);
            }
            let name = || format!("{} {}", endpoint.method(), endpoint.route());
            failing_api.consider(&long, &short, name);
            slow_api.consider(&long, &short, name);
        }
        let hanging = [in_flight_over(config.p99), in_flight_over(config.p99.saturating_mul(2))];
        let mut readings = vec![
            error_rate(&all, config),
            aborted(&all, config),
            p99(&all, hanging, config),
            failing_api.reading(),
            slow_api.reading(),
        ];

        let mut slow_query = Slowest::new("slow_query", config.slow_query, config.min_samples);
        let mut by_kind =
            Kind::ALL.map(|kind| (kind, Slowest::new(reading_of(kind), self.slow_above(kind), config.min_samples)));
        let mut seen = [false; Kind::ALL.len()];
        for operation in inner.operations.all() {
            seen[operation.kind as usize] = true;
            let Some(Figures { long, short }) = Figures::of(&operation.series, config) else { continue };
            let name = || operation.name.clone();
            by_kind[operation.kind as usize].1.consider(&long, &short, name);
            if operation.kind == Kind::Database {
                slow_query.consider(&long, &short, name);
            }
        }
        if seen[Kind::Database as usize] {
            readings.push(slow_query.reading());
        }
        readings
            .extend(by_kind.into_iter().filter(|(kind, _)| seen[*kind as usize]).map(|(_, slowest)| slowest.reading()));
        readings
    }
}

const fn reading_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Database => "database_time",
        Kind::Api => "api_time",
        Kind::Cache => "cache_time",
        Kind::Rendering => "rendering_time",
    }
}

/// One series in the long window and in each of the short ones.
struct Figures {
    long: Interval,
    short: Vec<(Window, Interval)>,
}

impl Figures {
    /// `None` of a series that the long window knows nothing of: the short ones lie within it.
    fn of(series: &Series, config: &HealthConfig) -> Option<Self> {
        let long = series.window(config.window);
        if long.latency.count() == 0 && long.tallies.iter().all(|&tally| tally == 0) {
            return None;
        }
        Some(Self { long, short: config.recent_windows().map(|window| (window, series.window(window))).collect() })
    }
}

/// All endpoints together in one window.
struct Whole {
    window: Window,
    latency: Snapshot,
    errors: u64,
    responses: u64,
    aborted: u64,
}

impl Whole {
    fn new(window: Window, latency: Snapshot) -> Self {
        Self { window, latency, errors: 0, responses: 0, aborted: 0 }
    }

    fn add(&mut self, interval: &Interval) {
        self.latency.merge(&interval.latency);
        self.errors += interval.errors();
        self.responses += interval.responses();
        self.aborted += interval.tallies[ABORTED];
    }
}

fn error_rate(all: &[Whole], config: &HealthConfig) -> Reading {
    let share = |of: &Whole| Share { over: of.errors, count: of.responses, limit: config.error_rate };
    let (worst, evidence) = worst_window(
        all.iter().map(|of| (share(of), share(of).value(), of.window)),
        config.min_samples,
        FewSamples::Count,
    );
    let (Share { over, count, .. }, when) = (share(&all[worst]), when(all[worst].window, config));
    Reading::new("error_rate", share(&all[worst]).value(), config.error_rate)
        .subject(format!("error rate of all responses{when}"))
        .share()
        .critical()
        .samples(count)
        .evidence(evidence)
        .detail(format!("{over} of {count} responses failed"))
}

fn aborted(all: &[Whole], config: &HealthConfig) -> Reading {
    let share = |of: &Whole| Share { over: of.aborted, count: of.responses + of.aborted, limit: config.aborted };
    // Any client can leave three times in a row.
    let (worst, evidence) = worst_window(
        all.iter().map(|of| (share(of), share(of).value(), of.window)),
        config.min_samples,
        FewSamples::Ignore,
    );
    let (Share { over, count, .. }, when) = (share(&all[worst]), when(all[worst].window, config));
    Reading::new("aborted", share(&all[worst]).value(), config.aborted)
        .subject(format!("share of aborted requests{when}"))
        .share()
        .critical()
        .samples(count)
        .evidence(evidence)
        .detail(format!("{over} of {count} clients left before a response"))
}

/// `hanging` is how many requests have been running for longer than the limit, and for longer than
/// twice the limit.
fn p99(all: &[Whole], hanging: [u64; 2], config: &HealthConfig) -> Reading {
    let limit = config.p99;
    // What takes longer than this has no points left, however much longer.
    let worst_of_all = limit.saturating_mul(2);
    let judge = |whole: &Whole| {
        let count = whole.latency.count() + hanging[0];
        let over = whole.latency.over(limit) + hanging[0];
        let far_over = whole.latency.over(worst_of_all) + hanging[1];
        let ended = whole.latency.quantile(0.99).unwrap_or_default();
        let at_least = if is_more_than_one_percent(far_over, count) {
            worst_of_all
        } else if is_more_than_one_percent(over, count) {
            limit + Duration::from_nanos(1)
        } else {
            Duration::ZERO
        };
        (Share { over, count, limit: SLOWEST_SHARE }, ended.max(at_least).as_secs_f64(), whole.window)
    };
    let judged: Vec<(Share, f64, Window)> = all.iter().map(judge).collect();
    let (worst, evidence) = worst_window(judged.iter().copied(), config.min_samples, FewSamples::Count);
    let (Share { over, count, .. }, observed, window) = judged[worst];
    let when = when(window, config);
    let hanging = match hanging[0] {
        0 => String::new(),
        hanging => format!(", {hanging} of them still running"),
    };
    Reading::new("p99", observed, limit.as_secs_f64())
        .subject(format!("P99 of all responses{when}"))
        .critical()
        .samples(count)
        .unit("s")
        .evidence(evidence)
        .detail(format!("{over} of {count} responses took longer than {}{hanging}", duration(limit)))
}

fn is_more_than_one_percent(part: u64, whole: u64) -> bool {
    u128::from(part) * 100 > u128::from(whole)
}
