//! Which endpoint is slow, and for how many of its callers?

#![allow(clippy::print_stdout, reason = "it prints the answer")]

use std::time::Duration;

use tidegate_perfmon::{Registry, StatusClass, Window};

pub(crate) fn main() {
    let registry = Registry::builder().build();
    // Bound once. In a service of tower's kind `PerfLayer` does all of this.
    let list = registry.endpoint("GET", "/schedules");
    let export = registry.endpoint("GET", "/schedules/export");
    for millis in 1..=1_000 {
        list.record(StatusClass::Success, Duration::from_millis(millis % 20));
        export.record(StatusClass::Success, Duration::from_millis(millis * 3));
    }
    registry.tick(registry.now()); // once a second; `Registry::spawn_ticks` does it

    let mut lately = registry.endpoints(Window::Minutes(5));
    lately.sort_by_key(|endpoint| std::cmp::Reverse(endpoint.latency.p99));
    for endpoint in &lately {
        let over: Vec<_> = endpoint.latency.over.iter().map(|over| (over.threshold, over.count)).collect();
        println!("{} {}: P99 {:?}, over {over:?}", endpoint.method, endpoint.route, endpoint.latency.p99);
    }
    assert_eq!(lately[0].route, "/schedules/export");
    // Counts above a threshold are exact, percentiles within 1.6 %.
    assert_eq!(lately[0].latency.over[1].count, 334, "of a thousand took more than two seconds");
}
