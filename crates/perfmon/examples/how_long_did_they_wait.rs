//! How long do jobs wait for a worker, which is neither a request nor a call?

#![allow(clippy::print_stdout, reason = "it prints the answer")]

use std::time::Duration;

use tidegate_perfmon::{Grain, Meter, Registry, Window};

pub(crate) fn main() {
    let registry = Registry::builder().build();
    // Jobs wait for hours, so microseconds are precise enough; `registry.meter(name)` covers up to
    // 137 s.
    let bounds = [1, 60, 3_600].map(Duration::from_secs);
    let waits = Meter::new("jobs.wait", Grain::Microsecond, bounds);
    assert!(registry.adopt(&waits), "from now on it is ticked with all else");

    for job in 0..100 {
        waits.record(Duration::from_secs(job * 60));
    }
    registry.tick(registry.now());

    let lately = waits.window(Window::Minutes(5));
    println!("{} jobs, median {:?}, longest {:?}", lately.count(), lately.quantile(0.5), lately.max());
    assert_eq!((lately.count(), lately.over(Duration::from_secs(3_600))), (100, 39), "exact at its bounds");
    // Since the start, in the shape of a Prometheus histogram.
    assert_eq!(waits.totals().buckets, [(1.0, 1), (60.0, 2), (3_600.0, 61)]);
}
