use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidegate_resilience::{Bulkhead, Error};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::support::{Recorder, poll_once};

const WAIT: Duration = Duration::from_secs(1);

async fn hang() -> Result<(), &'static str> {
    pending().await
}

async fn work() -> Result<(), &'static str> {
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_full_bulkhead_without_a_queue_refuses_at_once() {
    let recorder = Recorder::new();
    let bulkhead = Bulkhead::builder("reports", 1).observer(recorder.clone()).build().unwrap();
    let mut first = Box::pin(bulkhead.call(hang));
    poll_once(&mut first).await;
    let start = Instant::now();
    let error = bulkhead.call(work).await.unwrap_err();
    assert_eq!(error, Error::Full { name: "reports".into(), max_concurrent: 1, waited: Duration::ZERO });
    assert_eq!(error.to_string(), "reports: all 1 permits are in use; retry later, or raise max_concurrent");
    assert!(error.is_refused() && start.elapsed() == Duration::ZERO);
    assert_eq!(recorder.take(), [r#"BulkheadRefused { name: "reports", waited: 0ns }"#]);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_call_runs_when_a_place_becomes_free() {
    let bulkhead = Bulkhead::builder("reports", 1).max_waiting(1).max_wait(WAIT).build().unwrap();
    let slow = bulkhead.call(|| async {
        sleep(WAIT / 2).await;
        work().await
    });
    let start = Instant::now();
    assert_eq!(tokio::join!(slow, bulkhead.call(work)), (Ok(()), Ok(())));
    assert_eq!(start.elapsed(), WAIT / 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_max_wait_at_most() {
    let bulkhead = Bulkhead::builder("reports", 1).max_waiting(1).max_wait(WAIT).build().unwrap();
    let mut first = Box::pin(bulkhead.call(hang));
    poll_once(&mut first).await;
    let error = bulkhead.call(work).await.unwrap_err();
    assert_eq!(error, Error::Full { name: "reports".into(), max_concurrent: 1, waited: WAIT });
    assert_eq!(bulkhead.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_beyond_the_queue_is_refused_at_once() {
    let bulkhead = Bulkhead::builder("reports", 1).max_waiting(1).max_wait(WAIT).build().unwrap();
    let (mut first, mut second) = (Box::pin(bulkhead.call(hang)), Box::pin(bulkhead.call(work)));
    poll_once(&mut first).await;
    poll_once(&mut second).await;
    assert_eq!((bulkhead.running(), bulkhead.waiting()), (1, 1));
    let error = bulkhead.call(work).await.unwrap_err();
    assert!(matches!(error, Error::Full { waited: Duration::ZERO, .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_call_frees_its_place_in_the_bulkhead_and_in_the_queue() {
    let bulkhead = Bulkhead::builder("reports", 1).max_waiting(1).max_wait(WAIT).build().unwrap();
    let (mut first, mut second) = (Box::pin(bulkhead.call(hang)), Box::pin(bulkhead.call(work)));
    poll_once(&mut first).await;
    poll_once(&mut second).await;
    drop(second);
    assert_eq!((bulkhead.running(), bulkhead.waiting()), (1, 0));
    drop(first);
    assert_eq!(bulkhead.running(), 0);
    assert_eq!(bulkhead.call(work).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_hundred_callers_no_more_than_the_maximum_run_at_a_time() {
    static RUNNING: AtomicUsize = AtomicUsize::new(0);
    let bulkhead = Bulkhead::builder("reports", 5).max_waiting(100).max_wait(Duration::from_secs(60)).build().unwrap();
    let mut calls = JoinSet::new();
    for _ in 0..100 {
        let bulkhead = bulkhead.clone();
        calls.spawn(async move {
            let operation = || async {
                let running = RUNNING.fetch_add(1, Ordering::SeqCst) + 1;
                tokio::task::yield_now().await;
                RUNNING.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, &str>(running)
            };
            bulkhead.call(operation).await
        });
    }
    let most = calls.join_all().await.into_iter().map(Result::unwrap).max();
    assert!(most.is_some_and(|most| most <= 5), "{most:?}");
    assert_eq!((bulkhead.running(), bulkhead.waiting()), (0, 0));
}

#[test]
fn a_bulkhead_without_places_is_not_built() {
    let error = Bulkhead::builder("reports", 0).build().unwrap_err();
    assert_eq!(error.to_string(), "reports: max_concurrent must be at least 1");
    assert!(Bulkhead::builder("reports", usize::MAX).build().is_ok());
}
