//! Which statement, call or page took so long, and how did it end?

#![allow(clippy::print_stdout, reason = "it prints the answer")]

use std::time::Duration;

use tidegate_perfmon::{Kind, ManualClock, Registry, RunOutcome};

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() {
    let clock = ManualClock::new(); // so that it takes no time; leave it out in a service
    let registry = Registry::builder().clock(clock.clone()).build();

    let query = async {
        clock.advance(Duration::from_millis(120));
        Err::<u32, _>("the table is locked")
    };
    let rows = registry.measure_result(Kind::Database, "schedules.list", query).await;
    assert!(rows.is_err(), "what the future gives passes through");

    // What is called often is looked up once.
    let cached = registry.operation_handle(Kind::Cache, "schedule");
    for _ in 0..1_000 {
        cached.measure(async { clock.advance(Duration::from_micros(200)) }).await;
    }

    for slow in registry.slow_operations(10) {
        println!("{} {}: {:?}, {}", slow.kind, slow.operation, slow.elapsed, slow.outcome.name());
    }
    let slow = &registry.slow_operations(10)[..];
    assert_eq!(slow.len(), 1, "a cache may take 10 ms, a database 100 ms");
    assert_eq!((slow[0].operation.as_str(), slow[0].outcome), ("schedules.list", RunOutcome::Failed));
}
