use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tidegate_resilience::{Error, Event, Observer, Timeout};
use tokio::time::{Instant, sleep};

use crate::support::Recorder;

const LIMIT: Duration = Duration::from_secs(2);

#[tokio::test(start_paused = true)]
async fn a_call_within_its_limit_returns_its_result() {
    let timeout = Timeout::new("payments", LIMIT);
    let paid = timeout.call(|| async {
        sleep(LIMIT / 2).await;
        Ok::<_, &str>("paid")
    });
    assert_eq!(paid.await, Ok("paid"));
    assert_eq!(timeout.call(|| async { Err::<(), _>("refused") }).await, Err(Error::Inner("refused")));
}

#[tokio::test(start_paused = true)]
async fn a_call_beyond_its_limit_is_cancelled_and_the_error_names_both() {
    let recorder = Recorder::new();
    let timeout = Timeout::new("payments", LIMIT).observer(recorder.clone());
    let (alive, start) = (Arc::new(()), Instant::now());
    let held = Arc::clone(&alive);
    let result = timeout.call(|| async move {
        let _held = held;
        pending::<Result<(), std::io::Error>>().await
    });
    let error = result.await.unwrap_err();
    assert_eq!(start.elapsed(), LIMIT);
    assert_eq!(Arc::strong_count(&alive), 1, "the operation is dropped");
    let text = "payments: no result within 2s; the operation was cancelled and may have taken effect";
    assert_eq!(error.to_string(), text);
    assert!(!error.is_refused());
    assert_eq!(recorder.take(), [r#"TimedOut { name: "payments", limit: 2s }"#]);
}

#[tokio::test(start_paused = true)]
async fn the_call_survives_a_panic_of_the_observer() {
    struct Broken;
    impl Observer for Broken {
        fn on(&self, _: &Event<'_>) {
            panic!("broken observer");
        }
    }
    let timeout = Timeout::new("payments", LIMIT).observer(Arc::new(Broken));
    let result = timeout.call(pending::<Result<(), &str>>).await;
    assert!(matches!(result, Err(Error::TimedOut { limit: LIMIT, .. })));
}
