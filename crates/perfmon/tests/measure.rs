//! `measure` with threshold, panic and cancellation.

use std::future::{Future, pending};
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use tidegate_perfmon::{Kind, ManualClock, OTHER, Registry, RunOutcome, Window};

fn manual() -> (ManualClock, Registry) {
    let clock = ManualClock::new();
    (clock.clone(), Registry::builder().clock(clock).build())
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
async fn a_custom_threshold() {
    let clock = ManualClock::new();
    let threshold = Duration::from_micros(12_345);
    let registry = Registry::builder().clock(clock.clone()).slow_operation(Kind::Database, threshold).build();
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

#[tokio::test]
async fn runs_that_end_with_an_error_are_counted_apart() {
    let (clock, registry) = manual();
    let handle = registry.operation_handle(Kind::Database, "q");
    assert_eq!(registry.measure_result(Kind::Database, "q", async { Ok::<_, ()>(1) }).await, Ok(1));
    assert_eq!(registry.measure_result(Kind::Database, "q", async { Err::<(), _>("no table") }).await, Err("no table"));
    let slow = async {
        clock.advance(Duration::from_millis(200));
        Err::<(), _>("locked")
    };
    assert_eq!(handle.measure_result(slow).await, Err("locked"));
    handle.record_as(RunOutcome::Failed, Duration::from_millis(1));

    let totals = &registry.operation_totals()[0];
    assert_eq!((totals.failed, totals.panicked, totals.cancelled, totals.latency.count), (3, 0, 0, 4));
    registry.tick(registry.now());
    let window = &registry.operations(Window::Minutes(5))[0];
    assert_eq!((window.failed, window.count, window.slow), (3, 4, 1));
    assert_eq!(registry.slow_operations(10)[0].outcome, RunOutcome::Failed);
}

#[tokio::test]
async fn a_slow_run_has_its_outcome() {
    let (clock, registry) = manual();
    let run = |work: Box<dyn Future<Output = ()> + Send + Unpin>| registry.measure(Kind::Cache, "get", work);
    let late = Duration::from_millis(11);
    run(Box::new(Box::pin(async { clock.advance(late) }))).await;
    {
        let mut hanging = pin!(run(Box::new(pending())));
        assert!(hanging.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        clock.advance(late);
    }
    let advanced = clock.clone();
    let panicking = registry.measure(Kind::Cache, "get", async move {
        advanced.advance(late);
        panic!("in the midst")
    });
    assert!(tokio::spawn(panicking).await.unwrap_err().is_panic());
    let outcomes: Vec<_> = registry.slow_operations(10).iter().map(|slow| slow.outcome).collect();
    assert_eq!(outcomes, [RunOutcome::Panicked, RunOutcome::Cancelled, RunOutcome::Finished]);
    let json = serde_json::to_value(&registry.slow_operations(2)[1]).unwrap();
    assert_eq!((&json["outcome"], &json["elapsed_ms"]), (&"cancelled".into(), &11.0.into()));
}

#[tokio::test]
async fn a_handle_records_what_measure_records_under_its_name() {
    let (clock, registry) = manual();
    let handle = registry.operation_handle(Kind::Database, "list");
    handle.measure(async { clock.advance(Duration::from_millis(101)) }).await;
    registry.measure(Kind::Database, "list", async {}).await;
    handle.record(Duration::from_millis(100));
    registry.operation_handle(Kind::Database, "list").record_secs(0.25);
    let totals = registry.operation_totals();
    assert_eq!((totals.len(), totals[0].operation.as_str(), totals[0].latency.count), (1, "list", 4));
    assert_eq!(registry.slow_operations(10).len(), 2);
    {
        let mut run = pin!(handle.measure(pending::<()>()));
        assert!(run.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert_eq!(registry.operation_totals()[0].cancelled, 1);
}

#[test]
fn an_invalid_duration_is_rejected_and_counted() {
    let (_, registry) = manual();
    let handle = registry.operation_handle(Kind::Api, "call");
    for secs in [f64::NAN, -f64::NAN, -1.0, -f64::MIN_POSITIVE, f64::INFINITY, f64::NEG_INFINITY] {
        handle.record_secs(secs);
    }
    assert_eq!((handle.rejected(), registry.rejected()), (6, 6));
    assert_eq!(registry.operation_totals()[0].latency.count, 0);
    // No absurd one is lost: the longest is a day in a sum, and past the range of the buckets.
    for secs in [0.0, -0.0, f64::MIN_POSITIVE, f64::MAX, 1e30] {
        handle.record_secs(secs);
    }
    handle.record(Duration::MAX);
    let totals = registry.operation_totals();
    assert_eq!((handle.rejected(), totals[0].latency.count), (6, 6));
    assert!((totals[0].latency.sum_seconds - 3.0 * 86_400.0).abs() < 1e-3, "{}", totals[0].latency.sum_seconds);
}

#[test]
fn a_name_of_ten_kilobytes_is_not_kept() {
    let (_, registry) = manual();
    let handle = registry.operation_handle(Kind::Cache, &"x".repeat(10_000));
    handle.record_secs(0.001);
    assert_eq!((handle.name(), registry.dropped_operations()), (OTHER, 1));
    assert_eq!(registry.operation_totals()[0].operation, OTHER);
}
