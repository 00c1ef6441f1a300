//! Noise and single outliers change nothing.

use tidegate_perfmon::{Health, Kind, StatusClass};

use crate::support::{Load, MS, Service, changes};

#[test]
fn noise_well_below_the_limit_never_degrades() {
    for rate in [5, 50] {
        let mut service = Service::new();
        for _ in 0..3600 {
            for _ in 0..rate {
                // Random errors and slow responses at half of their limits.
                let class = if service.chance() < 0.025 { StatusClass::ServerError } else { StatusClass::Success };
                let latency = if service.chance() < 0.005 { 6_000 * MS } else { MS };
                service.endpoint.record(class, latency);
            }
            service.tick();
            let report = service.judge();
            let sudden = report.reasons.iter().find(|reason| {
                [" within 2 s", " within 11 s", " within 61 s"].iter().any(|window| reason.message.contains(window))
            });
            assert_eq!(sudden, None, "at {} s", service.at);
            // With thousands of samples the long window is quiet too. With few it is exact.
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

/// Cases: good responses since the start, and the bad ones that follow.
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
fn a_reason_says_that_it_may_be_chance() {
    let mut service = Service::new();
    service.load(25, Load::Good);
    service.load(1, Load::Slow(9_460 * MS));
    service.tick();
    let report = service.judge();
    let p99 = report.components.iter().find(|component| component.name == "p99").expect("p99");
    assert_eq!((report.status, p99.state, p99.held), (Health::Healthy, Health::Healthy, false), "{report:?}");
    assert!(p99.observed > p99.threshold && p99.samples == Some(26));
    let reason = report.reasons.iter().find(|reason| reason.component == "p99").expect("a reason");
    assert!(reason.message.contains("may be chance (1 of 26 responses took longer than 5 s)"), "{}", reason.message);
}
