//! From traffic, second by second, to a state: how soon a breach shows, and how quiet noise is.

use std::sync::Arc;
use std::time::Duration;

use tidegate_perfmon::{
    CallOutcome, Endpoint, Health, HealthConfig, HealthConfigError, HealthMonitor, HealthReport, Kind, ManualClock,
    Reading, Registry, StatusClass, Window,
};

const MS: Duration = Duration::from_millis(1);

/// A service whose seconds pass when told.
struct Service {
    registry: Registry,
    clock: Arc<ManualClock>,
    monitor: HealthMonitor,
    endpoint: Arc<Endpoint>,
    at: u64,
    hanging: u64,
    state: u64,
}

/// What happens in a second.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Load {
    Good,
    Errors,
    GiveUp,
    Slow(Duration),
    Operations(Kind, Duration),
    Hangs,
}

impl Service {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new());
        let registry = Registry::builder().clock(Arc::clone(&clock)).build();
        let monitor = HealthMonitor::new(registry.health_config());
        let endpoint = registry.endpoint("GET", "/");
        Self { registry, clock, monitor, endpoint, at: 0, hanging: 0, state: 1 }
    }

    /// `rate` requests, and as many operations where a load has any.
    fn load(&mut self, rate: u64, load: Load) {
        for _ in 0..rate {
            match load {
                Load::Errors => self.endpoint.record(StatusClass::ServerError, MS),
                Load::Slow(latency) => self.endpoint.record(StatusClass::Success, latency),
                Load::Good | Load::Operations(..) => self.endpoint.record(StatusClass::Success, MS),
                Load::GiveUp => self.endpoint.aborted(),
                Load::Hangs => self.hanging += 1,
            }
            if let Load::Operations(kind, took) = load {
                self.measure(kind, took);
            }
        }
    }

    fn measure(&self, kind: Kind, took: Duration) {
        let mut run = std::pin::pin!(self.registry.measure(kind, "work", async { self.clock.advance(took) }));
        let waker = std::task::Waker::noop();
        assert!(run.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_ready());
    }

    /// Files the second. Its time is the test's, not that of the clock which the operations move.
    fn tick(&mut self) {
        self.at += 1;
        self.registry.tick(Duration::from_secs(self.at));
    }

    fn judge(&mut self) -> HealthReport {
        self.monitor.evaluate(self.registry.readings_with(|_| self.hanging))
    }

    fn second(&mut self, rate: u64, load: Load) -> Health {
        self.load(rate, load);
        self.tick();
        self.judge().status
    }

    /// The same numbers at each run.
    fn chance(&mut self) -> f64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(self.state >> 33).expect("31 bits")) / f64::from(1u32 << 31)
    }
}

fn gravity(state: Health) -> u8 {
    match state {
        Health::Healthy => 0,
        Health::Unknown => 1,
        Health::Degraded => 2,
        Health::Unhealthy => 3,
    }
}

fn changes(states: &[Health]) -> usize {
    states.windows(2).filter(|pair| pair[0] != pair[1]).count()
}

/// Behind good traffic at a steady rate; and it is over without a flap.
#[test]
fn a_breach_is_seen_within_two_seconds() {
    for (reading, breach) in [
        ("error_rate", Load::Errors),
        ("aborted", Load::GiveUp),
        ("p99", Load::Slow(6_000 * MS)),
        ("slow_api", Load::Slow(2_001 * MS)),
        ("slow_query", Load::Operations(Kind::Database, 1_001 * MS)),
        ("database_time", Load::Operations(Kind::Database, 101 * MS)),
        ("api_time", Load::Operations(Kind::Api, 201 * MS)),
        ("cache_time", Load::Operations(Kind::Cache, 11 * MS)),
        ("rendering_time", Load::Operations(Kind::Rendering, 51 * MS)),
        ("p99", Load::Hangs),
    ] {
        // The windows hold five minutes; an hour shows that more makes no difference.
        let before = if breach == Load::Errors { 3600 } else { 400 };
        for rate in [10, 40] {
            let good = match breach {
                Load::Operations(kind, _) => Load::Operations(kind, MS),
                _ => Load::Good,
            };
            let mut service = Service::new();
            for _ in 0..before {
                service.load(rate, good);
                service.tick();
            }
            assert_eq!(service.judge().status, Health::Healthy);
            service.load(rate, breach);
            service.tick();
            let first = service.judge();
            service.load(rate, breach);
            service.tick();
            let report = if first.status == Health::Healthy { service.judge() } else { first };
            let state =
                report.components.iter().find(|component| component.name == reading).expect("the reading").state;
            assert!(gravity(state) >= 2, "{reading} at {rate}/s: {report:?}");
            assert!(gravity(report.status) >= 2, "{reading} at {rate}/s: {report:?}");
            let reason = report.reasons.iter().find(|reason| reason.component == reading).expect("a reason");
            assert!(reason.message.contains(" within 2s"), "{reason:?}");

            service.hanging = 0;
            let states: Vec<_> = (0..400).map(|_| service.second(rate, good)).collect();
            assert_eq!(states.last(), Some(&Health::Healthy), "{reading} at {rate}/s");
            let gets_worse = states.windows(2).any(|pair| gravity(pair[0]) < gravity(pair[1]));
            assert!(!gets_worse, "{reading} at {rate}/s: {states:?}");
        }
    }
}

/// With less traffic than 20 samples in 2 s, the longer of the short windows sees it.
#[test]
fn an_outage_under_little_traffic_is_seen_within_six_seconds() {
    for rate in [2, 5] {
        let mut service = Service::new();
        for _ in 0..400 {
            service.load(rate, Load::Good);
            service.tick();
        }
        let seconds = (1..).find(|_| service.second(rate, Load::Errors) != Health::Healthy).expect("it is seen");
        assert!(seconds <= 6, "{seconds} s at {rate}/s");
    }
}

/// The table at `Registry::readings`.
#[test]
fn how_soon_an_error_rate_is_seen() {
    for (percent, within) in [(100, [5, 1, 1, 1]), (50, [9, 2, 1, 1]), (20, [53, 10, 2, 1]), (10, [165, 60, 10, 2])] {
        for (rate, within) in [2, 10, 100, 1000].into_iter().zip(within) {
            let mut service = Service::new();
            for _ in 0..400 {
                service.load(rate, Load::Good);
                service.tick();
            }
            let mut failing = 0;
            let seconds = (1..).find(|_| {
                failing += rate * percent;
                service.load(failing / 100, Load::Errors);
                service.load(rate - failing / 100, Load::Good);
                failing %= 100;
                service.tick();
                service.judge().status != Health::Healthy
            });
            assert_eq!(seconds, Some(within), "{percent} % at {rate}/s");
        }
    }
}

#[test]
fn noise_well_below_the_limit_never_degrades() {
    for rate in [5, 50] {
        let mut service = Service::new();
        for _ in 0..3600 {
            for _ in 0..rate {
                // Half of the limits of errors and of slow responses, each by chance.
                let class = if service.chance() < 0.025 { StatusClass::ServerError } else { StatusClass::Success };
                let latency = if service.chance() < 0.005 { 6_000 * MS } else { MS };
                service.endpoint.record(class, latency);
            }
            service.tick();
            let report = service.judge();
            let sudden = report.reasons.iter().find(|reason| {
                [" within 2s", " within 11s", " within 61s"].iter().any(|window| reason.message.contains(window))
            });
            assert_eq!(sudden, None, "at {} s", service.at);
            // Once the long window holds thousands, it is quiet too. It takes few at their word.
            if service.at >= 300 && rate == 50 {
                assert_eq!(report.status, Health::Healthy, "at {} s: {:?}", service.at, report.reasons);
            }
        }
    }
}

#[test]
fn an_hour_at_the_limit_changes_the_state_once_at_most() {
    let mut service = Service::new();
    let mut states = Vec::new();
    for _ in 0..3900 {
        for _ in 0..100 {
            let class = if service.chance() < 0.05 { StatusClass::ServerError } else { StatusClass::Success };
            service.endpoint.record(class, MS);
        }
        service.tick();
        if service.at >= 300 {
            states.push(service.judge().status);
        }
    }
    assert!(changes(&states) <= 1, "{}", changes(&states));
}

#[test]
fn a_single_outlier_is_no_incident() {
    let mut service = Service::new();
    for _ in 0..400 {
        service.load(10, Load::Good);
        service.tick();
    }
    for outlier in [Load::Errors, Load::Slow(100_000 * MS), Load::Operations(Kind::Cache, 9_000 * MS)] {
        service.load(1, outlier);
        assert_eq!(service.second(9, Load::Good), Health::Healthy, "{outlier:?}");
    }
}

/// What came in since the start, all of it good, and what comes then.
#[test]
fn few_bad_ones_of_a_quiet_service_are_no_incident() {
    for (good, bad, outlier) in [
        (25, 1, Load::Slow(9_460 * MS)),
        (25, 2, Load::Slow(9_460 * MS)),
        (60, 3, Load::Slow(60_000 * MS)),
        (18, 2, Load::Errors),
        (19, 1, Load::Errors),
        (40, 4, Load::Errors),
        (20, 6, Load::GiveUp),
    ] {
        let mut service = Service::new();
        let mut seen = Vec::new();
        for at in 0..400 {
            // One each second, the bad ones a minute after the last good one.
            let load = match at {
                at if at < good => Some(Load::Good),
                at if at >= good + 60 && at < good + 60 + bad * 40 && at % 40 == (good + 60) % 40 => Some(outlier),
                _ => None,
            };
            service.load(u64::from(load.is_some()), load.unwrap_or(Load::Good));
            service.tick();
            let report = service.judge();
            // An endpoint's own share is a warning, and takes samples at their word.
            let held: Vec<_> = report.components.iter().filter(|of| of.held && of.name != "slow_api").collect();
            assert!(held.is_empty(), "{bad} {outlier:?} after {good}: {held:?}");
            seen.push(report.status);
        }
        assert!(
            seen.contains(&Health::Healthy) && !seen.contains(&Health::Unhealthy),
            "{bad} {outlier:?} after {good}"
        );
        assert!(
            !seen.contains(&Health::Degraded) || matches!(outlier, Load::Slow(_)),
            "{bad} {outlier:?} after {good}"
        );
    }
}

#[test]
fn what_may_be_chance_is_told() {
    let mut service = Service::new();
    service.load(25, Load::Good);
    service.load(1, Load::Slow(9_460 * MS));
    service.tick();
    let report = service.judge();
    let p99 = report.components.iter().find(|component| component.name == "p99").expect("p99");
    assert_eq!((report.status, p99.state, p99.held), (Health::Healthy, Health::Healthy, false), "{report:?}");
    assert!(p99.observed > p99.threshold && p99.samples == Some(26));
    let reason = report.reasons.iter().find(|reason| reason.component == "p99").expect("a reason");
    assert!(reason.message.contains("may be chance (1 of 26 responses took over 5s)"), "{}", reason.message);
}

/// Each second or only each 12 s, from the start or after good ones: the third failure tells.
#[test]
fn an_outage_of_a_quiet_service_is_seen_at_its_third_request() {
    for (load, reading) in [(Load::Errors, "error_rate"), (Load::Slow(10_001 * MS), "p99")] {
        for (good, every) in [(0, 1), (0, 12), (25, 12), (0, 20)] {
            let mut service = Service::new();
            for _ in 0..good {
                service.second(1, Load::Good);
            }
            for _ in 0..60 {
                service.second(0, Load::Good);
            }
            let mut states = Vec::new();
            for at in 0..24 * every {
                states.push(service.second(u64::from(at % every == 0), load));
            }
            let third = 2 * every;
            assert!(!states[..third].contains(&Health::Unhealthy), "{reading} each {every} s: {states:?}");
            let after = &states[third + 1..];
            assert!(after.iter().all(|state| *state == Health::Unhealthy), "{reading} each {every} s: {states:?}");
        }
    }
}

/// A route with a twenty-fifth of the requests.
#[test]
fn a_route_that_always_fails_is_seen_among_many_that_do_not() {
    let mut service = Service::new();
    let rare = service.registry.endpoint("POST", "/rare");
    let mut seen = None;
    for second in 0..120 {
        service.load(24, Load::Good);
        if second >= 60 {
            rare.record(StatusClass::ServerError, MS);
        }
        service.tick();
        let report = service.judge();
        let error_rate = report.components.iter().find(|component| component.name == "error_rate").expect("it");
        assert_eq!(error_rate.state, Health::Healthy, "4 % of all");
        if report.status != Health::Healthy && seen.is_none() {
            let reason = report.reasons[0].message.clone();
            seen = Some((second, reason));
        }
    }
    let (second, reason) = seen.expect("it is seen");
    assert!(second <= 63, "in second {second}");
    assert!(reason.starts_with("failing_api: 1 exceeds") && reason.contains("of POST /rare"), "{reason}");
    assert_eq!(service.judge().status, Health::Degraded, "the others are served");
}

/// Refusals are neither good nor bad: thousands of 401, 403 and 429 beside an outage, and alone.
#[test]
fn refusals_neither_hide_an_outage_nor_are_one() {
    let mut service = Service::new();
    let other = service.registry.endpoint("GET", "/other");
    let turn_away = |registry: &Registry, endpoint: &Endpoint, times| {
        for at in 0..times {
            let status = [401, 403, 429][at % 3];
            registry.finished(endpoint, CallOutcome::Status(status), MS, None);
        }
    };
    for _ in 0..60 {
        turn_away(&service.registry, &other, 1_000);
        turn_away(&service.registry, &service.endpoint, 1_000);
        service.load(1, Load::Good);
        service.tick();
    }
    assert_eq!(service.judge().status, Health::Healthy);
    assert_eq!((service.registry.outcomes().total, service.registry.outcomes().bad), (60, 0));
    for second in 0..24 {
        turn_away(&service.registry, &other, 1_000);
        turn_away(&service.registry, &service.endpoint, 1_000);
        let state = service.second(1, Load::Errors);
        assert!(second < 11 || state == Health::Unhealthy, "second {second}");
    }
    let report = service.judge();
    let error_rate = report.components.iter().find(|component| component.name == "error_rate").expect("it");
    assert_eq!(
        (error_rate.state, error_rate.samples),
        (Health::Unhealthy, Some(11)),
        "the last eleven seconds: {report:?}"
    );
    assert_eq!((service.registry.outcomes().total, service.registry.outcomes().bad), (84, 24));

    // They are told, and nothing of them is lost.
    let all = service.registry.overall(Window::Minutes(5));
    assert_eq!((all.count, all.errors, all.refused), (84, 24, 168_000));
    let endpoint = &service.registry.endpoints(Window::Minutes(5))[0];
    assert_eq!((endpoint.count, endpoint.classes.client_error, endpoint.refused), (84, 0, 84_000));
    assert_eq!(service.registry.totals()[1].refused, 84_000);
    let took = service.registry.http_refusal_totals();
    assert_eq!((took.count, service.registry.http_refusals(Window::Minutes(5)).count()), (168_000, 168_000));
    // What the handler says itself counts.
    service.registry.finished(&other, CallOutcome::Status(404), MS, None);
    assert_eq!(service.registry.outcomes().total, 85);
}

/// One name, one figure.
#[test]
fn all_together_are_those_that_health_is_judged_by() {
    let registry = Registry::builder().clock(ManualClock::new()).unjudged(["/livez"]).build();
    let users = registry.endpoint("GET", "/users");
    for _ in 0..24 {
        users.record(StatusClass::ServerError, 20 * MS);
    }
    for _ in 0..1_000 {
        registry.endpoint("GET", "/livez").record(StatusClass::Success, MS);
    }
    registry.tick(Duration::from_secs(1));
    let all = registry.overall(Window::Minutes(5));
    let report = HealthMonitor::new(registry.health_config()).evaluate(registry.readings());
    let error_rate = report.components.iter().find(|component| component.name == "error_rate").expect("it");
    assert_eq!((Some(all.error_rate), Some(all.count)), (error_rate.observed, error_rate.samples));
    assert_eq!((all.error_rate, all.count, registry.outcomes().total), (1.0, 24, 24));
    assert!(all.latency.p99 >= Some(20 * MS));
}

#[test]
fn without_short_windows_only_the_long_one_speaks() {
    let config = HealthConfig { recent: Vec::new(), ..HealthConfig::default() };
    let longer =
        HealthConfig { window: Window::Seconds(10), recent: vec![Window::Minutes(5)], ..HealthConfig::default() };
    for config in [config, longer] {
        let registry = Registry::builder().clock(ManualClock::new()).health(config).build();
        let endpoint = registry.endpoint("GET", "/");
        for _ in 0..1000 {
            endpoint.record(StatusClass::Success, MS);
        }
        registry.tick(Duration::from_secs(1));
        for _ in 0..30 {
            endpoint.record(StatusClass::ServerError, MS);
        }
        registry.tick(Duration::from_secs(9));
        let report = HealthMonitor::new(registry.health_config()).evaluate(registry.readings());
        assert_eq!(report.status, Health::Healthy, "{:?}", report.reasons);
    }
}

#[test]
fn what_hangs_counts_as_having_taken_so_long() {
    let judge = |ended: u64, over: u64, far_over: u64| {
        let registry = Registry::builder().clock(ManualClock::new()).build();
        for _ in 0..ended {
            registry.endpoint("GET", "/").record(StatusClass::Success, MS);
        }
        registry.tick(Duration::from_secs(1));
        let limit = registry.health_config().p99;
        let readings = registry.readings_with(|over_than| if over_than > limit { far_over } else { over });
        let report = HealthMonitor::new(registry.health_config()).evaluate(readings);
        let p99 = report.components.iter().find(|component| component.name == "p99").expect("p99");
        (p99.state, p99.samples)
    };
    assert_eq!(judge(990, 10, 0), (Health::Healthy, Some(1000)), "one in a hundred is not more than 1 %");
    assert_eq!(judge(989, 10, 0), (Health::Degraded, Some(999)));
    assert_eq!(judge(98, 1, 0), (Health::Healthy, Some(99)), "one alone says nothing");
    assert_eq!(judge(0, 20, 0), (Health::Degraded, Some(20)), "nothing ends at all");
    assert_eq!(judge(0, 20, 20), (Health::Unhealthy, Some(20)));
    assert_eq!(judge(0, 3, 3), (Health::Unhealthy, Some(3)), "nor of so few");
    assert_eq!(judge(0, 2, 2), (Health::Unknown, Some(2)));
}

#[test]
fn a_reading_that_is_too_old_is_unknown() {
    let mut monitor = HealthMonitor::new(&HealthConfig::default());
    let mut at = |age| monitor.evaluate([Reading::new("store", 0.0, 0.5).taken_ago(Duration::from_secs(age))]);
    assert_eq!(at(15).status, Health::Healthy);
    let report = at(16);
    assert_eq!(report.components[0].state, Health::Unknown);
    assert_eq!(report.reasons[0].message, "store: taken 16s ago, not within the last 15s");
}

#[test]
fn the_pool_and_the_cache_at_their_limits() {
    let config = HealthConfig::default();
    let state = |reading| HealthMonitor::new(&HealthConfig::default()).evaluate([reading]).components[0].state;
    assert_eq!(state(config.pool("writer", 80, 100)), Health::Healthy);
    assert_eq!(state(config.pool("writer", 81, 100)), Health::Degraded);
    for hundreds in 1..200 {
        let lookups = hundreds * 100;
        assert_eq!(state(config.cache_hits(hundreds * 80, lookups)), Health::Healthy, "{lookups}");
        assert_eq!(state(config.cache_hits(hundreds * 80 - 1, lookups)), Health::Degraded, "{lookups}");
    }
    assert_eq!(state(config.cache_hits(0, 19)), Health::Unknown);
    assert_eq!(state(config.cache_hits(9, 3)), Health::Unknown, "more hits than lookups are no rate of few samples");
}

#[test]
fn limits_that_cannot_serve_are_named() {
    let ok = HealthConfig::default();
    assert_eq!(ok.check(), Ok(()));
    let zero = Duration::ZERO;
    for (config, setting) in [
        (HealthConfig { error_rate: 0.0, ..ok.clone() }, "error_rate"),
        (HealthConfig { error_rate: f64::NAN, ..ok.clone() }, "error_rate"),
        (HealthConfig { error_rate: 5.0, ..ok.clone() }, "error_rate"),
        (HealthConfig { hit_rate: 1.0, ..ok.clone() }, "hit_rate"),
        (HealthConfig { p99: zero, ..ok.clone() }, "p99"),
        (HealthConfig { slow_api: Duration::MAX, ..ok.clone() }, "slow_api"),
        (HealthConfig { slow_query: Duration::from_secs(138), ..ok.clone() }, "slow_query"),
        (HealthConfig { min_samples: 0, ..ok.clone() }, "min_samples"),
        (HealthConfig { pool_wait: zero, ..ok.clone() }, "pool_wait"),
        (HealthConfig { pool_stuck: Duration::MAX, ..ok.clone() }, "pool_stuck"),
        (HealthConfig { pool_in_use: 0.0, ..ok.clone() }, "pool_in_use"),
        (HealthConfig { pool_in_use: 1.0, ..ok.clone() }, "pool_in_use"),
        (HealthConfig { stale_after: zero, ..ok.clone() }, "stale_after"),
        (HealthConfig { recent: vec![Window::Seconds(1); 5], ..ok.clone() }, "recent"),
    ] {
        let error: HealthConfigError = config.check().expect_err(setting);
        assert!(error.to_string().contains(&format!("`{setting}`")), "{error}");
        // A registry takes it all the same, and nothing panics.
        let registry = Registry::builder().clock(ManualClock::new()).health(config).build();
        registry.tick(Duration::from_secs(1));
        HealthMonitor::new(registry.health_config()).evaluate(registry.readings_with(|_| u64::MAX / 2));
    }
}
