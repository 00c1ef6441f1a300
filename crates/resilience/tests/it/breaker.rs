use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidegate_resilience::{CircuitBreaker, CircuitBreakerBuilder, Error, State, Verdict};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::advance;

use crate::support::{Recorder, poll_once};

const OPEN: Duration = Duration::from_secs(30);

type Outcome = Result<(), Error<&'static str>>;

fn builder() -> CircuitBreakerBuilder {
    CircuitBreaker::builder("payments").consecutive_failures(3).open_for(OPEN)
}

async fn succeed(breaker: &CircuitBreaker) -> Outcome {
    breaker.call(|| async { Ok(()) }).await
}

async fn fail(breaker: &CircuitBreaker) -> Outcome {
    breaker.call(|| async { Err("refused") }).await
}

async fn hang(breaker: &CircuitBreaker) -> Outcome {
    breaker.call(pending).await
}

fn refused(retry_in: Option<Duration>) -> Outcome {
    Err(Error::BreakerOpen { name: "payments".into(), retry_in })
}

/// Opens the breaker, and lets the time pass after which it is half-open.
async fn make_half_open(breaker: &CircuitBreaker) {
    for _ in 0..3 {
        assert_eq!(fail(breaker).await, Err(Error::Inner("refused")));
    }
    advance(OPEN).await;
    assert_eq!(breaker.state(), State::HalfOpen);
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_open_it_and_a_success_between_begins_a_new_row() {
    let breaker = builder().build().unwrap();
    for _ in 0..2 {
        let _ = fail(&breaker).await;
        let _ = fail(&breaker).await;
        assert_eq!(succeed(&breaker).await, Ok(()));
    }
    for _ in 0..3 {
        assert_eq!(breaker.state(), State::Closed);
        let _ = fail(&breaker).await;
    }
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn while_it_is_open_no_operation_starts_and_the_error_says_when_to_retry() {
    let breaker = builder().build().unwrap();
    for _ in 0..3 {
        let _ = fail(&breaker).await;
    }
    advance(Duration::from_secs(10)).await;
    let refusal = breaker.call(|| async { panic!("started") as Outcome }).await.unwrap_err();
    assert!(refusal.is_refused());
    assert_eq!(refusal.to_string(), "payments: the circuit breaker is open; retry in 20s");
}

#[tokio::test(start_paused = true)]
async fn a_failed_probe_opens_it_again_and_a_successful_one_closes_it() {
    let recorder = Recorder::new();
    let breaker = builder().observer(recorder.clone()).build().unwrap();
    make_half_open(&breaker).await;
    let _ = fail(&breaker).await;
    assert_eq!(succeed(&breaker).await, refused(Some(OPEN)));
    advance(OPEN).await;
    assert_eq!(succeed(&breaker).await, Ok(()));
    assert_eq!(breaker.state(), State::Closed);
    let expected = [
        r#"BreakerChanged { name: "payments", from: Closed, to: Open }"#,
        r#"BreakerChanged { name: "payments", from: Open, to: HalfOpen }"#,
        r#"BreakerChanged { name: "payments", from: HalfOpen, to: Open }"#,
        r#"BreakerRefused { name: "payments", retry_in: Some(30s) }"#,
        r#"BreakerChanged { name: "payments", from: Open, to: HalfOpen }"#,
        r#"BreakerChanged { name: "payments", from: HalfOpen, to: Closed }"#,
    ];
    assert_eq!(recorder.take(), expected);
}

#[tokio::test(start_paused = true)]
async fn it_closes_when_as_many_probes_succeeded_as_it_admits() {
    let breaker = builder().probes(2).build().unwrap();
    make_half_open(&breaker).await;
    assert_eq!(succeed(&breaker).await, Ok(()));
    assert_eq!(breaker.state(), State::HalfOpen);
    assert_eq!(succeed(&breaker).await, Ok(()));
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn the_failure_rate_of_the_window_opens_it_once_there_are_enough_calls() {
    let window = Duration::from_secs(10);
    let breaker = CircuitBreaker::builder("payments").failure_rate(0.5, window, 6).build().unwrap();
    for _ in 0..2 {
        let _ = (succeed(&breaker).await, fail(&breaker).await);
    }
    let _ = fail(&breaker).await;
    assert_eq!(breaker.state(), State::Closed, "five calls are not enough");
    advance(window).await;
    let _ = fail(&breaker).await;
    assert_eq!(breaker.state(), State::Closed, "the first five are over");
    for _ in 0..3 {
        let _ = succeed(&breaker).await;
    }
    let _ = fail(&breaker).await;
    assert_eq!(breaker.state(), State::Closed, "two of five");
    let _ = fail(&breaker).await;
    assert_eq!(breaker.state(), State::Open, "three of six");
}

#[tokio::test(start_paused = true)]
async fn of_a_hundred_callers_of_a_half_open_breaker_only_the_probes_run() {
    let breaker = builder().probes(3).build().unwrap();
    make_half_open(&breaker).await;
    let (started, may_end) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let mut calls = JoinSet::new();
    for _ in 0..100 {
        let (breaker, started, may_end) = (breaker.clone(), Arc::clone(&started), Arc::clone(&may_end));
        calls.spawn(async move {
            let operation = || async {
                started.fetch_add(1, Ordering::SeqCst);
                may_end.notified().await;
                Ok::<_, &str>(())
            };
            breaker.call(operation).await
        });
    }
    for _ in 0..97 {
        assert_eq!(calls.join_next().await.unwrap().unwrap(), refused(Some(OPEN)));
    }
    assert_eq!(started.load(Ordering::SeqCst), 3);
    may_end.notify_waiters();
    assert_eq!(calls.join_all().await, [Ok(()), Ok(()), Ok(())]);
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn of_a_hundred_threads_at_a_half_open_breaker_only_the_probes_run() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let breaker = builder().probes(3).build().unwrap();
    runtime.block_on(make_half_open(&breaker));
    // Without a runtime, threads see the real clock, which is behind the paused one: the wait is
    // over for the machine only after the first probe, which is made here.
    let mut first = Box::pin(hang(&breaker));
    runtime.block_on(poll_once(&mut first));
    let barrier = std::sync::Barrier::new(100);
    let admitted = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                let mut call = Box::pin(hang(&breaker));
                barrier.wait();
                let waker = std::task::Waker::noop();
                if call.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending() {
                    admitted.fetch_add(1, Ordering::SeqCst);
                }
                barrier.wait();
            });
        }
    });
    assert_eq!(admitted.load(Ordering::SeqCst), 2, "beside the first");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_probe_gives_its_slot_back_and_counts_as_nothing() {
    let breaker = builder().build().unwrap();
    make_half_open(&breaker).await;
    let mut probe = Box::pin(hang(&breaker));
    poll_once(&mut probe).await;
    assert_eq!(succeed(&breaker).await, refused(Some(OPEN)));
    drop(probe);
    assert_eq!(breaker.state(), State::HalfOpen);
    assert_eq!(succeed(&breaker).await, Ok(()));
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_call_of_a_closed_breaker_neither_lengthens_nor_ends_a_row_of_failures() {
    let breaker = builder().build().unwrap();
    let _ = (fail(&breaker).await, fail(&breaker).await);
    let mut call = Box::pin(hang(&breaker));
    poll_once(&mut call).await;
    drop(call);
    assert_eq!(breaker.state(), State::Closed);
    let _ = fail(&breaker).await;
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_panics_gives_its_slot_back() {
    let breaker = builder().build().unwrap();
    make_half_open(&breaker).await;
    let probe = breaker.clone();
    let panicked = tokio::spawn(async move { probe.call(|| async { panic!("a bug") as Outcome }).await.is_ok() });
    assert!(panicked.await.unwrap_err().is_panic());
    assert_eq!(succeed(&breaker).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_makes_room_for_another_after_the_open_time() {
    let breaker = builder().build().unwrap();
    make_half_open(&breaker).await;
    let mut probe = Box::pin(hang(&breaker));
    poll_once(&mut probe).await;
    advance(OPEN - Duration::from_millis(1)).await;
    assert_eq!(succeed(&breaker).await, refused(Some(Duration::from_millis(1))));
    advance(Duration::from_millis(1)).await;
    assert_eq!(succeed(&breaker).await, Ok(()));
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_ends_after_a_change_of_state_does_not_count() {
    let breaker = builder().build().unwrap();
    let may_end = Notify::new();
    let late = || async {
        may_end.notified().await;
        Err::<(), _>("late")
    };
    // Begun while it was closed, ended while it is half-open.
    let mut call = Box::pin(breaker.call(late));
    poll_once(&mut call).await;
    make_half_open(&breaker).await;
    let mut probe = Box::pin(hang(&breaker));
    poll_once(&mut probe).await;
    may_end.notify_one();
    assert_eq!(call.await, Err(Error::Inner("late")));
    assert_eq!(breaker.state(), State::HalfOpen);
    assert_eq!(succeed(&breaker).await, refused(Some(OPEN)), "the slot is still taken");
}

#[tokio::test(start_paused = true)]
async fn a_forced_breaker_stays_open_until_its_reset() {
    let breaker = builder().build().unwrap();
    let mut call = Box::pin(breaker.call(|| async {
        tokio::task::yield_now().await;
        Ok::<_, &str>(())
    }));
    poll_once(&mut call).await;
    breaker.force_open();
    assert_eq!(call.await, Ok(()), "a call in progress goes on");
    advance(OPEN * 100).await;
    let error = succeed(&breaker).await.unwrap_err();
    let text = "payments: the circuit breaker is open; it was forced open, and only a reset closes it";
    assert_eq!((error.to_string().as_str(), breaker.state()), (text, State::ForcedOpen));
    breaker.reset();
    assert_eq!((succeed(&breaker).await, breaker.state()), (Ok(()), State::Closed));
}

#[tokio::test(start_paused = true)]
async fn clones_and_classifiers_share_one_state() {
    let breaker = builder().build().unwrap();
    let by_status = breaker.classify(|status: Result<&u16, &&str>| match status {
        Ok(503) => Verdict::Transient,
        Ok(404) => Verdict::Permanent,
        Ok(_) => Verdict::Success,
        Err(_) => Verdict::Ignored,
    });
    let answer = async |status: u16| by_status.call(|| async move { Ok::<_, &str>(status) }).await;
    let _ = (answer(503).await, answer(503).await);
    let _ = by_status.call(|| async { Err::<u16, _>("cancelled by the user") }).await;
    let _ = answer(503).await;
    assert_eq!(breaker.state(), State::Open, "what is ignored does not end the row");
    breaker.reset();
    let _ = (answer(503).await, answer(503).await, answer(404).await, answer(503).await);
    assert_eq!(breaker.clone().state(), State::Closed, "a permanent error is an answer");
}

#[test]
fn settings_that_cannot_work_are_refused_with_their_names() {
    let second = Duration::from_secs(1);
    for (builder, setting) in [
        (builder().consecutive_failures(0), "consecutive_failures"),
        (builder().probes(0), "probes"),
        (builder().failure_rate(0.0, second, 1), "failure_rate"),
        (builder().failure_rate(1.1, second, 1), "failure_rate"),
        (builder().failure_rate(f64::NAN, second, 1), "failure_rate"),
        (builder().failure_rate(0.5, second, 0), "min_calls"),
        (builder().failure_rate(0.5, Duration::ZERO, 1), "window"),
    ] {
        let error = builder.build().unwrap_err();
        assert_eq!(error.setting(), setting);
        assert!(error.to_string().starts_with(&format!("payments: {setting} must be ")), "{error}");
    }
    assert_eq!(builder().build_per_key(0).unwrap_err().setting(), "max_keys");
}
