use std::cell::Cell;
use std::time::Duration;

use tidegate_resilience::{Backoff, Retry, RetryBudget, RetryBuilder, Verdict};
use tokio::time::{Instant, advance, sleep};

use crate::support::Recorder;

const FIRST: Duration = Duration::from_millis(100);

fn retry() -> RetryBuilder {
    Retry::builder("payments").backoff(Backoff::exponential(FIRST, Duration::from_secs(10)).without_jitter())
}

/// Fails this often, then succeeds.
struct Flaky {
    failures: u32,
    attempts: Cell<u32>,
}

impl Flaky {
    fn new(failures: u32) -> Self {
        Self { failures, attempts: Cell::new(0) }
    }

    async fn call(&self) -> Result<&'static str, &'static str> {
        self.attempts.set(self.attempts.get() + 1);
        if self.attempts.get() <= self.failures { Err("refused") } else { Ok("paid") }
    }
}

#[tokio::test(start_paused = true)]
async fn a_transient_error_is_retried_until_the_call_succeeds() {
    let recorder = Recorder::new();
    let retry = retry().max_attempts(3).observer(recorder.clone()).build().unwrap();
    let (flaky, start) = (Flaky::new(2), Instant::now());
    assert_eq!(retry.call(|| flaky.call()).await, Ok("paid"));
    assert_eq!((flaky.attempts.get(), start.elapsed()), (3, FIRST + FIRST * 2));
    let expected = [
        r#"Retrying { name: "payments", attempt: 1, delay: 100ms }"#,
        r#"Retrying { name: "payments", attempt: 2, delay: 200ms }"#,
    ];
    assert_eq!(recorder.take(), expected);
}

#[tokio::test(start_paused = true)]
async fn after_its_last_attempt_the_call_returns_the_last_error() {
    let recorder = Recorder::new();
    let retry = retry().max_attempts(2).observer(recorder.clone()).build().unwrap();
    let flaky = Flaky::new(u32::MAX);
    assert_eq!(retry.call(|| flaky.call()).await, Err("refused"));
    assert_eq!(flaky.attempts.get(), 2);
    assert_eq!(recorder.take()[1], r#"GaveUp { name: "payments", attempts: 2, reason: Attempts }"#);
}

#[tokio::test(start_paused = true)]
async fn a_permanent_error_is_not_retried_and_an_ok_may_be() {
    let retry = retry().build().unwrap();
    let by_status = retry.classify(|status: Result<&u16, &&str>| match status {
        Ok(503) => Verdict::Transient,
        Ok(_) => Verdict::Success,
        Err(_) => Verdict::Permanent,
    });
    let flaky = Flaky::new(u32::MAX);
    assert_eq!(by_status.call(|| async { flaky.call().await.map(|_| 200) }).await, Err("refused"));
    assert_eq!(flaky.attempts.get(), 1);
    let statuses = Cell::new(vec![200, 503]);
    let next = || {
        let mut left = statuses.take();
        let status = left.pop().unwrap();
        statuses.set(left);
        async move { Ok::<_, &str>(status) }
    };
    assert_eq!(by_status.call(next).await, Ok(200));
}

#[tokio::test(start_paused = true)]
async fn a_retry_comes_no_earlier_than_the_dependency_requests() {
    let hint = Duration::from_secs(7);
    let retry = Retry::builder("payments").build().unwrap();
    let retry = retry.classify(move |result: Result<&&str, &&str>| match result {
        Ok(_) => Verdict::Success,
        Err(_) => Verdict::TransientAfter(hint),
    });
    let (flaky, start) = (Flaky::new(1), Instant::now());
    assert_eq!(retry.call(|| flaky.call()).await, Ok("paid"));
    assert!(start.elapsed() >= hint && start.elapsed() <= hint + FIRST, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_hint_beyond_the_total_time_ends_the_call_at_once() {
    let recorder = Recorder::new();
    let retry = retry().max_elapsed(Duration::from_secs(5)).observer(recorder.clone()).build().unwrap();
    let retry = retry.classify(|_: Result<&&str, &&str>| Verdict::TransientAfter(Duration::MAX));
    let (flaky, start) = (Flaky::new(1), Instant::now());
    assert_eq!(retry.call(|| flaky.call()).await, Err("refused"));
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(recorder.take(), [r#"GaveUp { name: "payments", attempts: 1, reason: MaxElapsed }"#]);
}

#[tokio::test(start_paused = true)]
async fn no_attempt_starts_after_the_total_time() {
    let total = Duration::from_secs(1);
    let retry = retry().max_attempts(u32::MAX).max_elapsed(total).without_budget().build().unwrap();
    let (start, last) = (Instant::now(), Cell::new(Duration::ZERO));
    let result = retry.call(|| {
        last.set(start.elapsed());
        async {
            sleep(Duration::from_millis(150)).await;
            Err::<(), _>("refused")
        }
    });
    assert_eq!(result.await, Err("refused"));
    assert!(last.get() <= total && last.get() > total / 2, "{:?}", last.get());
}

#[tokio::test(start_paused = true)]
async fn in_an_outage_the_budget_bounds_the_retries_of_all_clones_to_its_share() {
    let budget = RetryBudget::new(20, 1);
    let clients = [retry(), retry()].map(|retry| retry.max_attempts(4).budget(budget.clone()).build().unwrap());
    let (attempts, start) = (Cell::new(0), Instant::now());
    let calls = 2_000;
    for call in 0..calls {
        advance(Duration::from_millis(1)).await;
        let client = clients[call % 2].clone();
        let outage = || {
            attempts.set(attempts.get() + 1);
            async { Err::<(), _>("refused") }
        };
        assert_eq!(client.call(outage).await, Err("refused"));
    }
    let retries = attempts.get() - calls;
    // A fifth of the calls, one for each second, and the capacity of ten.
    let bound = calls / 5 + usize::try_from(start.elapsed().as_secs()).unwrap() + 1 + 10;
    assert!(retries <= bound, "{retries} > {bound}");
    assert!(retries >= calls / 5, "the budget is used: {retries}");
}

#[tokio::test(start_paused = true)]
async fn without_a_budget_left_the_call_ends_with_its_error() {
    let recorder = Recorder::new();
    let retry = retry().budget(RetryBudget::new(0, 0)).observer(recorder.clone()).build().unwrap();
    let flaky = Flaky::new(1);
    assert_eq!(retry.call(|| flaky.call()).await, Err("refused"));
    assert_eq!(recorder.take(), [r#"GaveUp { name: "payments", attempts: 1, reason: Budget }"#]);
}

#[test]
fn a_policy_without_attempts_is_not_built() {
    assert_eq!(
        Retry::builder("payments").max_attempts(0).build().unwrap_err().to_string(),
        "payments: max_attempts must be at least 1"
    );
}
