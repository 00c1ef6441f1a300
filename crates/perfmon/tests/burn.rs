//! Error budgets: when they cause an alert, and that the rings agree with a plain list.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;
use tidegate_perfmon::{
    Alerts, BurnLog, BurnRate, BurnRateError, BurnReading, ManualClock, Outcomes, Phase, Registry, Severity,
    StatusClass,
};

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A service with steady traffic.
struct Service {
    log: BurnLog,
    now: u64,
    sum: Outcomes,
    rate: BurnRate,
}

impl Service {
    fn new() -> Self {
        Self { log: BurnLog::new(secs(0)), now: 0, sum: Outcomes::default(), rate: BurnRate::standard(0.999) }
    }

    /// A service after `hours` hours with 10 good responses a second.
    fn seasoned(hours: u64) -> Self {
        let mut service = Self::new();
        for _ in 0..hours * 60 {
            service.pass(MINUTE, 600, 0);
        }
        service
    }

    fn pass(&mut self, time: u64, total: u64, bad: u64) {
        self.now += time;
        self.sum.total += total;
        self.sum.bad += bad;
        self.log.record(secs(self.now), self.sum);
    }

    fn judge(&self, rule: &str) -> BurnReading {
        self.rate.evaluate(&self.log).into_iter().find(|reading| reading.rule == rule).expect("the rule")
    }

    /// Seconds until the rule is breached while `bad` of `total` fail in each step.
    fn until(&mut self, rule: &str, step: u64, total: u64, bad: u64) -> u64 {
        let began = self.now;
        while self.judge(rule).breached != Some(true) {
            self.pass(step, total, bad);
            assert!(self.now - began < 100 * HOUR, "{:?}", self.judge(rule));
        }
        self.now - began
    }
}

/// 14.4 × 0.001 of an hour and the running minute is 53 s with only failures. 6 × 0.001 of 6 hours
/// is 3.6 hours at 1 %. 0.001 of 3 days is 36 hours at 0.2 %.
#[test]
fn each_window_is_breached_when_its_share_of_the_budget_is_gone() {
    let outage = Service::seasoned(80).until("burn_1h", 1, 10, 10);
    assert!((50..=54).contains(&outage), "{outage} s");
    let one_percent = Service::seasoned(80).until("burn_6h", 10, 100, 1);
    assert!((215 * MINUTE..=219 * MINUTE).contains(&one_percent), "{one_percent} s");
    let a_little = Service::seasoned(80).until("burn_3d", 100, 1000, 2);
    assert!((36 * HOUR..=37 * HOUR).contains(&a_little), "{a_little} s");
}

#[test]
fn the_short_window_ends_it() {
    let mut service = Service::seasoned(80);
    service.until("burn_1h", 1, 10, 10);
    let seconds = (1..).find(|_| {
        service.pass(1, 10, 0);
        service.judge("burn_1h").breached == Some(false)
    });
    assert!(seconds.is_some_and(|seconds| seconds <= 6 * MINUTE), "{seconds:?}");
    assert!(
        service.judge("burn_1h").long > 14.4,
        "while the hour still remembers it: {}",
        service.judge("burn_1h").long
    );
}

#[test]
fn exactly_the_factor_is_no_breach() {
    let mut service = Service::new();
    for _ in 0..73 * 60 {
        service.pass(MINUTE, 10_000, 144);
    }
    let reading = service.judge("burn_1h");
    assert!((reading.long - 14.4).abs() < 1e-9, "{reading:?}");
    assert_eq!(reading.breached, Some(false));
    assert_eq!(service.judge("burn_6h").breached, Some(true));
    for _ in 0..61 {
        service.pass(MINUTE, 10_000, 145);
    }
    assert_eq!(service.judge("burn_1h").breached, Some(true));
}

#[test]
fn a_young_process_neither_pages_nor_calls_itself_well() {
    let mut service = Service::new();
    for second in 1..=4 * MINUTE {
        service.pass(1, 10, 10);
        for reading in service.rate.evaluate(&service.log) {
            assert_eq!(reading.breached, None, "after {second} s: {reading:?}");
        }
    }
    // With five minutes of nothing but failures, whatever was before, an hour's share is gone.
    assert_eq!(service.until("burn_1h", 1, 10, 10), MINUTE);
    assert_eq!(service.judge("burn_6h").breached, None, "it has no half hour behind it");

    // At 5 % an hour's share is used up after 17 minutes. Until then it is unknown whether it was
    // used up before.
    let mut service = Service::new();
    for _ in 0..10 {
        service.pass(MINUTE, 600, 30);
    }
    assert_eq!(service.judge("burn_1h").breached, None);
    let more = service.until("burn_1h", MINUTE, 600, 30);
    assert!((7 * MINUTE..=8 * MINUTE).contains(&more), "{more}");
}

#[test]
fn little_traffic_is_unknown_and_few_failures_are_no_pattern() {
    let mut service = Service::seasoned(80);
    for _ in 0..6 {
        service.pass(MINUTE, 3, 3);
    }
    service.pass(MINUTE, 0, 0);
    assert_eq!(service.judge("burn_1h").breached, None, "{:?}", service.judge("burn_1h"));

    // Ten an hour, and then four failures: far above the factor, and yet no pattern.
    let mut service = Service::new();
    for _ in 0..60 {
        service.pass(MINUTE, 1, 0);
    }
    service.pass(MINUTE, 20, 4);
    let reading = service.judge("burn_1h");
    assert!(reading.long > 14.4 && reading.short > 14.4, "{reading:?}");
    assert_eq!(reading.breached, Some(false));
    service.pass(1, 1, 1);
    assert_eq!(service.judge("burn_1h").breached, Some(true));
}

#[test]
fn silence_is_unknown_and_not_well() {
    let mut service = Service::seasoned(80);
    service.until("burn_1h", 1, 10, 10);
    for _ in 0..7 {
        service.pass(MINUTE, 0, 0);
    }
    assert_eq!(service.judge("burn_1h").breached, None);
    service.pass(100 * HOUR, 0, 0);
    assert!(service.rate.evaluate(&service.log).iter().all(|reading| reading.breached.is_none()));
}

#[test]
fn from_requests_through_the_registry_to_an_alert() {
    let registry = Registry::builder().clock(ManualClock::new()).build();
    let rate = BurnRate::standard(0.99);
    assert_eq!(rate.check(), Ok(()));
    let mut alerts = Alerts::new(rate.rules(), 200).expect("sound rules");
    let mut log = BurnLog::new(secs(0));
    let endpoint = registry.endpoint("GET", "/");
    let mut fired = Vec::new();
    for minute in 1..=7 * 60 {
        for request in 0..100 {
            let fails = minute > 6 * 60 && request < 90;
            endpoint.record(if fails { StatusClass::ServerError } else { StatusClass::ClientError }, secs(0));
        }
        endpoint.aborted();
        log.record(secs(minute * MINUTE), registry.outcomes());
        let readings = rate.evaluate(&log);
        let seen: Vec<_> = readings.iter().map(BurnReading::observation).collect();
        let happened = alerts.evaluate(secs(minute * MINUTE), minute * 60_000, &seen);
        fired.extend(happened.into_iter().filter(|step| step.notify).map(|step| (minute - 360, step.alert)));
    }
    let (after, alert) = &fired[0];
    assert_eq!((&*alert.rule, alert.phase, alert.severity), ("burn_1h", Phase::Firing, Severity::Critical));
    // 14.4 % of an hour at 90 % is 9.6 minutes, of 61 minutes 9.8.
    assert_eq!(*after, 10);
    assert!(alert.detail.contains("over 1 h") && alert.detail.contains("over 5 min"), "{}", alert.detail);
    // 1 % of 3 days is gone after 48 minutes, whatever was before this process.
    let slow = fired.iter().find(|(_, alert)| alert.rule == "burn_3d").expect("it fires");
    assert!((48..=50).contains(&slow.0), "{slow:?}");
    assert_eq!(registry.outcomes(), Outcomes { total: 42_000, bad: 5_400 });
}

#[test]
fn invalid_settings_are_named() {
    let ok = BurnRate::standard(0.999);
    for objective in [0.0, 1.0, -1.0, 99.9, f64::NAN] {
        let bad = BurnRate { objective, ..ok.clone() };
        assert!(matches!(bad.check(), Err(BurnRateError::Objective { .. })), "{objective}");
        let mut service = Service::seasoned(2);
        service.rate = bad;
        service.pass(1, 10, 10);
        service.rate.evaluate(&service.log);
    }
    assert!(
        matches!(BurnRate::standard(0.9).check(), Err(BurnRateError::Factor { given: 14.4, .. })),
        "10 × is all there is"
    );
    for (long, short) in [(HOUR, HOUR), (HOUR, 30), (90, 60), (7 * HOUR + 60, HOUR), (73 * HOUR, HOUR), (HOUR, 0)] {
        let mut bad = ok.clone();
        (bad.windows[0].long, bad.windows[0].short) = (secs(long), secs(short));
        assert!(matches!(bad.check(), Err(BurnRateError::Window { .. })), "{long} {short}");
        bad.evaluate(&Service::seasoned(2).log);
    }
    for bad in [BurnRate { min_samples: 0, ..ok.clone() }, BurnRate { min_bad: 0, ..ok.clone() }] {
        assert!(matches!(bad.check(), Err(BurnRateError::Zero { .. })));
    }
    let many = BurnRate { windows: vec![ok.windows[0].clone(); 17], ..ok };
    assert_eq!(many.check(), Err(BurnRateError::TooMany { given: 17 }));
}

#[test]
fn it_is_data() {
    let data = json!({"objective": 0.999, "min_samples": 20, "min_bad": 5, "windows": [
        {"rule": "burn_1h", "severity": "critical", "factor": 14.4, "long_ms": 3_600_000, "short_ms": 300_000},
        {"rule": "burn_6h", "severity": "critical", "factor": 6.0, "long_ms": 21_600_000, "short_ms": 1_800_000},
        {"rule": "burn_3d", "severity": "warning", "factor": 1.0, "long_ms": 259_200_000, "short_ms": 21_600_000},
    ]});
    let standard = BurnRate::standard(0.999);
    assert_eq!(serde_json::to_value(&standard).unwrap(), data);
    assert_eq!(serde_json::from_value::<BurnRate>(data).unwrap(), standard);
    assert!(serde_json::from_value::<BurnRate>(json!({"objective": 0.9, "windows": [], "window": 1})).is_err());
}

proptest! {
    #[test]
    fn windows_agree_with_a_list(
        steps in prop::collection::vec((prop::sample::select(vec![0, 1, 59, 60, 61, 599, 3_600, 20_000]), 0u64..50, 0u64..50), 1..120),
    ) {
        let mut log = BurnLog::new(secs(77));
        let (mut now, mut sum, mut list) = (0, Outcomes::default(), Vec::new());
        for (step, good, bad) in steps {
            now += step;
            sum.total += good + bad;
            sum.bad += bad;
            log.record(secs(77 + now), sum);
            list.push((now, good + bad, bad));
            for (window, unit) in [(5 * MINUTE, MINUTE), (6 * HOUR, MINUTE), (7 * HOUR, HOUR), (72 * HOUR, HOUR)] {
                let first = (now / unit).saturating_sub(window / unit);
                let inside = list.iter().filter(|(at, ..)| at / unit >= first);
                let expected = inside.fold(Outcomes::default(), |sum, (_, total, bad)| Outcomes {
                    total: sum.total + total,
                    bad: sum.bad + bad,
                });
                prop_assert_eq!(log.window(secs(window)), expected, "{} s at {}", window, now);
            }
        }
        prop_assert_eq!(log.age(), secs(now));
    }

    #[test]
    fn any_totals_and_clock_readings_are_accepted(
        steps in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u64>()), 1..30), objective in any::<f64>(),
    ) {
        let mut log = BurnLog::new(Duration::ZERO);
        for (now, total, bad) in steps {
            log.record(Duration::from_nanos(now), Outcomes { total, bad });
            let readings = BurnRate { objective, ..BurnRate::standard(0.9) }.evaluate(&log);
            serde_json::to_string(&readings).unwrap();
        }
    }
}
