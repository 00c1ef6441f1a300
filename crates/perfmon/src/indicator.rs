//! The readings that the registry itself can give.

use std::sync::Arc;
use std::time::Duration;

use crate::endpoint::StatusClass;
use crate::excess::is_no_chance;
use crate::health_config::HealthConfig;
use crate::interval::Interval;
use crate::latency::share;
use crate::operation::Kind;
use crate::reading::Reading;
use crate::registry::Registry;
use crate::series::{ABORTED, Series};
use crate::slowest::Slowest;
use crate::snapshot::Snapshot;
use crate::window::Window;

/// More than this share of the responses may not take longer than the limit of `p99`.
const SLOWEST_SHARE: f64 = 0.01;

impl Registry {
    /// The built-in readings over the window of [`HealthConfig`]:
    ///
    /// - `error_rate` (critical): the share of 5xx among all responses;
    /// - `aborted` (critical): the share of requests whose client left before a response. Clients of a handler that hangs give
    ///   up before it is slow by its own account;
    /// - `p99` (critical): the 99th percentile of all responses. The threshold is an exact edge of the buckets, so that it
    ///   is exceeded exactly when more than 1 % of the responses took longer;
    /// - `slow_api`: the 95th percentile of the slowest endpoint, exceeded exactly when more than 5 % of its responses took
    ///   longer: one outlier is no incident. Endpoints with too few samples are passed over;
    /// - `slow_query`: the same for operations of [`Kind::Database`]; left out when there is none;
    /// - `database_time`, `api_time`, `cache_time`, `rendering_time`: the same for operations of each kind, against
    ///   the duration above which the registry reports one of them; left out when there is none.
    ///
    /// A short window ([`HealthConfig::recent`]) speaks in place of the long one where it is worse: it has enough samples,
    /// exceeds the limit, and by so much that chance does it once in a million looks at most. So a sudden breach shows
    /// early, and noise below a limit stays noise. Behind good traffic at a steady rate, an error rate is seen after this
    /// time, with the default limits:
    ///
    /// | of all responses fail | at 2/s | at 10/s | at 100/s | at 1,000/s |
    /// |---|---|---|---|---|
    /// | 100 % | 5 s | 1 s | 1 s | 1 s |
    /// | 50 % | 9 s | 2 s | 1 s | 1 s |
    /// | 20 % | 53 s | 10 s | 2 s | 1 s |
    /// | 10 % | 165 s | 60 s | 10 s | 2 s |
    ///
    /// Requests that the layer has seen begin and not end count in `p99` as responses that took as long as they have been
    /// under way, once that is longer than its limit: handlers that hang are seen before they end.
    ///
    /// Costs a pass over each window of every endpoint that was used in the longest.
    pub fn readings(&self) -> Vec<Reading> {
        self.readings_with(|limit| self.in_flight_over(limit))
    }

    /// As [`readings`](Self::readings), for whoever counts requests under way by other means than the layer:
    /// `in_flight_over(limit)` is how many have been under way for longer than that.
    pub fn readings_with(&self, in_flight_over: impl Fn(Duration) -> u64) -> Vec<Reading> {
        let inner = self.inner();
        let config = &inner.health;
        let mut whole = Whole::new(config.window, Snapshot::empty(Arc::clone(&inner.layout)));
        let mut recent: Vec<Whole> = config
            .recent_windows()
            .map(|window| Whole::new(window, Snapshot::empty(Arc::clone(&inner.layout))))
            .collect();
        let mut slow_api = Slowest::new("slow_api", config.slow_api, config.min_samples);
        for endpoint in self.judged() {
            let Some(Figures { long, short }) = Figures::of(endpoint.series(), config) else { continue };
            whole.add(&long);
            for (whole, (_, short)) in recent.iter_mut().zip(&short) {
                whole.add(short);
            }
            slow_api.consider(&long, &short, || format!("{} {}", endpoint.method(), endpoint.route()));
        }
        let hanging = [in_flight_over(config.p99), in_flight_over(config.p99.saturating_mul(2))];
        let mut readings = vec![
            error_rate(&whole, &recent, config),
            aborted(&whole, &recent, config),
            p99(&whole, &recent, hanging, config),
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
        self.errors += interval.tallies[StatusClass::ServerError as usize];
        self.responses += interval.tallies[..=StatusClass::ServerError as usize].iter().sum::<u64>();
        self.aborted += interval.tallies[ABORTED];
    }

    fn requests(&self) -> u64 {
        self.responses + self.aborted
    }

    fn aborted_share(&self) -> f64 {
        share(self.aborted, self.requests())
    }

    fn error_rate(&self) -> f64 {
        share(self.errors, self.responses)
    }
}

fn error_rate(whole: &Whole, recent: &[Whole], config: &HealthConfig) -> Reading {
    let sudden = recent.iter().filter(|recent| {
        recent.responses >= config.min_samples && is_no_chance(recent.errors, recent.responses, config.error_rate)
    });
    let worst =
        sudden.fold(whole, |worst, recent| if recent.error_rate() > worst.error_rate() { recent } else { worst });
    let Whole { errors, responses, window, .. } = worst;
    let when = when(*window, config);
    Reading::new("error_rate", worst.error_rate(), config.error_rate)
        .critical()
        .samples(*responses)
        .detail(format!("{errors} of {responses} responses{when}"))
}

fn aborted(whole: &Whole, recent: &[Whole], config: &HealthConfig) -> Reading {
    let sudden = recent.iter().filter(|recent| {
        recent.requests() >= config.min_samples && is_no_chance(recent.aborted, recent.requests(), config.aborted)
    });
    let worst =
        sudden.fold(whole, |worst, recent| if recent.aborted_share() > worst.aborted_share() { recent } else { worst });
    let when = when(worst.window, config);
    Reading::new("aborted", worst.aborted_share(), config.aborted).critical().samples(worst.requests()).detail(format!(
        "{} of {} clients left before a response{when}",
        worst.aborted,
        worst.requests()
    ))
}

/// `hanging` are the requests that have been under way for longer than the limit, and than twice the limit.
fn p99(whole: &Whole, recent: &[Whole], hanging: [u64; 2], config: &HealthConfig) -> Reading {
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
        P99 { observed: ended.max(at_least), over, count, window: whole.window }
    };
    let mut worst = judge(whole);
    for recent in recent.iter().map(judge) {
        let is_sudden = recent.count >= config.min_samples && is_no_chance(recent.over, recent.count, SLOWEST_SHARE);
        if is_sudden && recent.observed > worst.observed {
            worst = recent;
        }
    }
    let P99 { observed, over, count, window } = worst;
    let when = when(window, config);
    let hanging = match hanging[0] {
        0 => String::new(),
        hanging => format!(", {hanging} of them still under way"),
    };
    Reading::new("p99", observed.as_secs_f64(), limit.as_secs_f64())
        .critical()
        .samples(count)
        .unit("s")
        .detail(format!("{over} of {count} responses took over {limit:?}{when}{hanging}"))
}

struct P99 {
    observed: Duration,
    over: u64,
    count: u64,
    window: Window,
}

fn is_more_than_one_percent(part: u64, whole: u64) -> bool {
    u128::from(part) * 100 > u128::from(whole)
}

/// Says which window spoke where it isn't the long one.
fn when(window: Window, config: &HealthConfig) -> String {
    if window == config.window { String::new() } else { format!(" within {:?}", window.longest()) }
}
