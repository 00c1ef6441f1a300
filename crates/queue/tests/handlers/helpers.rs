//! The helpers for tests.

use super::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

fn message(assert: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(assert)).unwrap_err();
    panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap()
}

#[tokio::test]
async fn drains_run_enqueued_jobs_and_leave_delayed_ones() {
    async fn next(job: Step, Data(producer): Data<tidegate_queue::Producer>) -> Result<(), Failure> {
        if job.0 > 0 {
            producer.enqueue(&Step(job.0 - 1)).await?;
        }
        let later = EnqueueOptions::new().delay(Duration::from_secs(60));
        producer.enqueue_with(&Other, later).await?;
        Ok(())
    }
    let queue = TestQueue::new(|broker| {
        let producer = tidegate_queue::Producer::new(broker.clone());
        worker(broker).data(producer).handler(next)
    });
    queue.enqueue(&Step(2)).await;
    queue.assert_enqueued_count::<Step>(1);
    let ran = queue.drain().await;
    assert_eq!(ran.iter().map(|ran| (ran.kind.as_str(), ran.ending)).collect::<Vec<_>>(), [("step", Ending::Done); 3]);
    queue.assert_enqueued_count::<Step>(0);
    queue.assert_enqueued_count::<Other>(3);
    assert_eq!(queue.assert_enqueued::<Other>(|_| true).state, JobState::Delayed);
    let before = tidegate_queue::Timestamp::now(queue.clock());
    let ran = queue.drain_through(Duration::from_secs(61)).await;
    assert_eq!(ran.len(), 3);
    assert_eq!(ran[0].at, before.after(Duration::from_secs(60)));
    assert_eq!(tidegate_queue::Timestamp::now(queue.clock()), before.after(Duration::from_secs(61)));
}

#[tokio::test]
async fn perform_leaves_no_trace() {
    let queue = served!(async |job: Step, context: Context| {
        context.progress(10, "begun").await.map_err(Failure::retry)?;
        if job.0 == 0 { Err(Failure::retry("zero")) } else { Ok(job.0) }
    });
    assert_eq!(queue.perform(&Step(1)).await, Outcome::done(1));
    assert_eq!(queue.perform(&Step(0)).await, Outcome::retry("zero"));
    queue.assert_enqueued_count::<Step>(0);
    assert!(queue.drain().await.is_empty());
}

#[tokio::test]
async fn assertions_explain_their_failure() {
    async fn fail(job: Step) -> Result<(), Failure> {
        Err(Failure::bury(format!("no {}", job.0)))
    }
    let queue = served!(fail);
    let none = message(|| drop(queue.assert_enqueued::<Step>(|_| true)));
    assert_eq!(none, r#"no job of kind "step" is enqueued; there is none"#);
    let id = queue.enqueue(&Step(7)).await;
    let expected = format!("no job of kind \"step\" is as expected; enqueued are:\n  {id}: step in work, ready: 7");
    assert_eq!(message(|| drop(queue.assert_enqueued::<Step>(|job| job.0 == 8))), expected);
    let expected = format!("no job of kind \"other\" is enqueued; enqueued are:\n  {id}: step in work, ready: 7");
    assert_eq!(message(|| drop(queue.assert_enqueued::<Other>(|_| true))), expected);
    let expected =
        format!("expected 2 of kind \"step\" to be enqueued, found 1; enqueued are:\n  {id}: step in work, ready: 7");
    assert_eq!(message(|| queue.assert_enqueued_count::<Step>(2)), expected);
    let expected = format!("expected nothing to be enqueued; enqueued are:\n  {id}: step in work, ready: 7");
    assert_eq!(message(|| queue.assert_nothing_enqueued()), expected);
    queue.drain().await;
    queue.assert_nothing_enqueued();
    let at = queue.job(&id).created_at;
    let story = format!("  step in work, enqueued {at}, due {at}\n  run 1 at {at}: no 7");
    assert_eq!(message(|| drop(queue.assert_done(&id))), format!("job {id} is dead, not done\n{story}"));
    let expected = format!("job {id} is dead, but not of \"yes\"\n{story}");
    assert_eq!(message(|| drop(queue.assert_dead(&id, "yes"))), expected);
    let expected = format!("job {id} should be about to run again after 1 failures, but is dead after 1\n{story}");
    assert_eq!(message(|| drop(queue.assert_retried(&id, 1))), expected);
    let unknown = JobId::new("unknown").unwrap();
    let expected = format!("there is no job unknown; there are:\n  {id}: step in work, dead: 7");
    assert_eq!(message(|| drop(queue.job(&unknown))), expected);
}

#[tokio::test]
#[should_panic(expected = "more than 1000 runs, the last of kind step: endless?")]
async fn endless_drains_panic() {
    let queue = served!(async |_: Step| Outcome::snooze(Duration::from_secs(1))).with_most_runs(1_000);
    queue.enqueue(&Step(1)).await;
    queue.drain_to_the_end().await;
}

#[tokio::test]
async fn drains_end_at_a_pause() {
    let queue = served!(async |_: Step| ());
    let id = queue.enqueue_with(&Step(1), EnqueueOptions::new().delay(Duration::from_secs(5))).await;
    queue.broker().pause(QUEUE).await.unwrap();
    assert_eq!(queue.drain_to_the_end().await, []);
    queue.assert_state(&id, JobState::Ready);
    queue.broker().resume(QUEUE).await.unwrap();
    assert_eq!(queue.drain().await.len(), 1);
}

#[tokio::test]
async fn drains_wait_for_a_rate() {
    let queue = served!(async |_: Step| ());
    let rate = tidegate_queue::Rate::new(2, Duration::from_secs(2)).unwrap();
    let settings = tidegate_queue::QueueSettings { rate: Some(rate), ..Default::default() };
    queue.broker().configure(QUEUE, settings).await.unwrap();
    for number in 0..5 {
        queue.enqueue(&Step(number)).await;
    }
    assert_eq!(queue.drain().await.len(), 2);
    assert_eq!(queue.drain_through(Duration::from_secs(1)).await.len(), 1);
    assert_eq!(queue.drain_to_the_end().await.len(), 2);
}
