//! `measure` with threshold, panic and cancellation.

use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use tidegate_perfmon::{Kind, ManualClock, Registry, Window};

fn manual() -> (Arc<ManualClock>, Registry) {
    let clock = Arc::new(ManualClock::new());
    (Arc::clone(&clock), Registry::builder().clock(clock).build())
}

#[tokio::test]
async fn each_kind_warns_just_above_its_threshold() {
    let (clock, registry) = manual();
    for (kind, millis) in [(Kind::Database, 100), (Kind::Api, 200), (Kind::Cache, 10), (Kind::Rendering, 50)] {
        let at = Duration::from_millis(millis);
        registry.measure(kind, "work", async { clock.advance(at) }).await;
        assert!(registry.slow_operations(1).first().is_none_or(|slow| slow.kind != kind));
        registry.measure(kind, "work", async { clock.advance(at + Duration::from_nanos(1)) }).await;
        let slow = &registry.slow_operations(1)[0];
        assert_eq!((slow.kind, slow.operation.as_str(), slow.threshold), (kind, "work", at));
    }
    registry.tick(registry.now());
    let operations = registry.operations(Window::Minutes(5));
    assert_eq!(operations.len(), 4);
    for operation in operations {
        assert_eq!((operation.count, operation.slow), (2, 1), "{}", operation.kind);
    }
}

#[tokio::test]
async fn a_threshold_of_ones_own() {
    let clock = Arc::new(ManualClock::new());
    let threshold = Duration::from_micros(12_345);
    let registry = Registry::builder().clock(Arc::clone(&clock)).slow_operation(Kind::Database, threshold).build();
    for nanos in [0, 1] {
        registry
            .measure(Kind::Database, "work", async { clock.advance(threshold + Duration::from_nanos(nanos)) })
            .await;
    }
    registry.tick(registry.now());
    assert_eq!(registry.operations(Window::Hours(1))[0].slow, 1);
    assert_eq!(registry.slow_operations(10).len(), 1);
}

#[test]
fn a_dropped_run_is_cancelled_and_one_never_polled_is_nothing() {
    let (_, registry) = manual();
    {
        let mut run = pin!(registry.measure(Kind::Api, "hang", pending::<()>()));
        assert!(run.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    drop(registry.measure(Kind::Api, "hang", pending::<()>()));
    let totals = &registry.operation_totals()[0];
    assert_eq!((totals.cancelled, totals.panicked, totals.latency.count), (1, 0, 0));
}

#[tokio::test]
async fn a_panicking_run_is_recorded() {
    let (_, registry) = manual();
    let run = registry.measure(Kind::Rendering, "page", async { panic!("render") });
    assert!(tokio::spawn(run).await.unwrap_err().is_panic());
    let totals = &registry.operation_totals()[0];
    assert_eq!((totals.cancelled, totals.panicked, totals.latency.count), (0, 1, 1));
}

#[tokio::test]
async fn a_run_that_another_panic_takes_down_is_cancelled() {
    let (_, registry) = manual();
    let waiting = registry.measure(Kind::Api, "call", pending::<()>());
    let task = tokio::spawn(async move {
        tokio::join!(waiting, async { panic!("a sibling") });
    });
    assert!(task.await.unwrap_err().is_panic());
    let totals = &registry.operation_totals()[0];
    assert_eq!((totals.cancelled, totals.panicked, totals.latency.count), (1, 0, 0));
}

#[tokio::test]
async fn outputs_and_errors_pass_through() {
    let (_, registry) = manual();
    let output = registry.measure(Kind::Database, "q", async { Err::<(), _>("no such table") }).await;
    assert_eq!(output, Err("no such table"));
    assert_eq!(registry.operation_totals()[0].latency.count, 1);
}
