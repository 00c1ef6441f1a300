//! How soon a breach shows.

use std::time::Duration;

use tidegate_perfmon::{Health, HealthConfig, HealthMonitor, Kind, ManualClock, Registry, StatusClass, Window};

use crate::support::{Load, MS, Service, gravity};

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
            assert!(reason.message.contains(" within 2 s"), "{reason:?}");

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

/// Requests come each second or each 12 s, from the start or after good ones. The third failure
/// shows the outage.
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
    assert!(
        reason.starts_with("error rate of POST /rare within ") && reason.contains(" is 100 %, above 5 %"),
        "{reason}"
    );
    assert_eq!(service.judge().status, Health::Degraded, "the others are served");
}

#[test]
fn without_short_windows_only_the_long_one_counts() {
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
fn a_hanging_request_counts_with_the_time_it_has_run() {
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
