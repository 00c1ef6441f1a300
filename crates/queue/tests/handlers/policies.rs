//! Retry policies of queues, handlers and jobs.

use super::*;

async fn fail(job: Step) -> Result<(), String> {
    assert_ne!(job.0, 9, "nine");
    Err(format!("failed {}", job.0))
}

#[tokio::test]
async fn policies_of_a_job_override_its_handler_and_those_of_a_handler_the_queue() {
    async fn other(_: Other) -> Result<(), String> {
        Err("failed".into())
    }
    let queue = TestQueue::new(|broker| {
        let own = HandlerOptions::new().retry(fixed(5, 10));
        worker(broker).handler_with(fail, own).handler(other)
    });
    let start = tidegate_queue::Timestamp::now(queue.clock());
    let by_queue = queue.enqueue(&Other).await;
    let by_handler = queue.enqueue(&Step(1)).await;
    let by_job = queue.enqueue_with(&Step(1), EnqueueOptions::new().max_attempts(2)).await;
    queue.drain_to_the_end().await;
    let died = |id| {
        let record = queue.assert_dead(id, "failed");
        (record.attempts.len(), record.finished_at.unwrap().since(start).as_secs())
    };
    assert_eq!(died(&by_queue), (3, 2));
    assert_eq!(died(&by_handler), (5, 40));
    assert_eq!(died(&by_job), (2, 10));
}

#[tokio::test(start_paused = true)]
async fn a_custom_backoff_sees_the_failure_and_may_end_the_job() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let policy = {
        let seen = seen.clone();
        Backoff::custom(move |failed| {
            let error = failed.error.lines().next().unwrap_or_default().to_owned();
            seen.lock().unwrap().push((failed.attempt, failed.cause, error));
            (failed.cause == FailureCause::Reported).then(|| Duration::from_secs(1) * failed.attempt)
        })
    };
    async fn task(job: Step) -> Result<(), String> {
        if job.0 == 0 { std::future::pending().await } else { fail(job).await }
    }
    let queue = TestQueue::new(|broker| {
        let options = QueueOptions::new().retry(RetryPolicy::new(4, policy).unwrap());
        let hour = HandlerOptions::new().timeout(Duration::from_secs(3600));
        Worker::builder(broker).queue(QUEUE, options).handler_with(task, hour)
    });
    let panics = queue.enqueue(&Step(9)).await;
    let hangs = queue.enqueue(&Step(0)).await;
    let fails = queue.enqueue(&Step(1)).await;
    queue.drain_to_the_end().await;
    assert_eq!(queue.assert_dead(&panics, "panicked: ").attempts.len(), 1);
    assert_eq!(queue.assert_dead(&hangs, "timed out after 3600s").attempts.len(), 1);
    let record = queue.assert_dead(&fails, "failed 1");
    assert_eq!(record.finished_at.unwrap().since(record.created_at), Duration::from_secs(1 + 2 + 3));
    let seen = seen.lock().unwrap();
    assert_eq!((seen[0].0, seen[0].1), (1, FailureCause::Panicked));
    assert_eq!(seen[1], (1, FailureCause::TimedOut, "timed out after 3600s".to_owned()));
    assert_eq!(seen[4], (3, FailureCause::Reported, "failed 1".to_owned()));
    assert_eq!(seen.len(), 5, "the last attempt is not asked about");
}

/// 20 attempts whose delay doubles from 2 s to a day: months, without real waiting.
#[tokio::test]
async fn retries_over_months_are_tested_at_once() {
    let day = Duration::from_secs(24 * 3600);
    let patient = Backoff::Exponential { base: Duration::from_secs(2), cap: day, jitter: 0.5 };
    let patient = HandlerOptions::new().retry(RetryPolicy::new(200, patient).unwrap());
    let queue = TestQueue::new(|broker| worker(broker).handler_with(fail, patient));
    let id = queue.enqueue(&Step(1)).await;
    let ran = queue.drain_to_the_end().await;
    let record = queue.assert_dead(&id, "failed 1");
    assert_eq!(ran.len(), 200);
    assert!(record.finished_at.unwrap().since(record.created_at) > day * 90);
}
