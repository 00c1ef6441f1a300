//! Is the service healthy, and if not, why?

#![allow(clippy::print_stdout, reason = "it prints the answer")]

use std::time::Duration;

use tidegate_perfmon::{Health, HealthMonitor, Reading, Registry, StatusClass};

pub(crate) fn main() {
    let registry = Registry::builder().build();
    let endpoint = registry.endpoint("POST", "/orders");
    let mut monitor = HealthMonitor::new(registry.health_config());
    let mut second = |errors: u32| {
        for call in 0..100 {
            let class = if call < errors { StatusClass::ServerError } else { StatusClass::Success };
            endpoint.record(class, Duration::from_millis(20));
        }
        registry.tick(registry.now());
        let mut readings = registry.readings();
        readings.push(Reading::new("queue_length", 12.0, 1_000.0)); // what only you know
        monitor.evaluate(readings)
    };

    let report = second(0);
    assert_eq!((report.status, report.status.check_status()), (Health::Healthy, "pass"));
    second(60);
    let report = second(60); // one bad second may be a blip
    for reason in &report.reasons {
        println!("{}: {}", reason.component, reason.message);
    }
    assert_eq!(report.status.check_status(), "fail", "so that a balancer sends its traffic elsewhere");
    assert!(report.reasons.iter().any(|reason| reason.component == "error_rate"));
}
