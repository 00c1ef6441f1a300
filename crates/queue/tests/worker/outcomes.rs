//! Outcomes of runs become states of jobs.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::harness::{Harness, QUEUE, Task};
use serde_json::json;
use tidegate_queue::{Change, EnqueueOptions, JobState};

on_each_broker![
    outcomes_become_states,
    every_job_of_a_batch_is_done_by_two_workers_once,
    a_run_that_takes_too_long_fails,
    a_run_whose_time_is_up_may_tidy_up,
    a_running_job_can_be_cancelled,
    unknown_kinds_go_back_with_a_note,
];

async fn outcomes_become_states(harness: Harness) {
    let enqueue = async |task: Task| harness.producer.enqueue(&task).await.unwrap();
    let done = enqueue(Task::Finish).await;
    let flaky = enqueue(Task::FailUntil(3)).await;
    let hopeless = enqueue(Task::FailUntil(9)).await;
    let panics = enqueue(Task::Panic).await;
    let bury = enqueue(Task::Bury).await;
    let progress = enqueue(Task::Progress).await;
    let patient = EnqueueOptions::new().max_attempts(5);
    let patient = harness.producer.enqueue_with(&Task::FailUntil(5), patient).await.unwrap();
    let raw = json!({ "no": 1 });
    let malformed = harness.producer.enqueue_raw(QUEUE, "task", &raw, EnqueueOptions::new());
    let malformed = malformed.await.unwrap();
    let worker = harness.start(harness.worker());

    assert_eq!(harness.finished(&done).await.result, Some(json!(1)));
    let record = harness.finished(&flaky).await;
    assert_eq!((record.state, record.result, record.attempts.len()), (JobState::Done, Some(json!(3)), 3));
    let record = harness.finished(&hopeless).await;
    assert_eq!((record.state, record.attempts.len()), (JobState::Dead, 3));
    let record = harness.finished(&panics).await;
    let last = record.attempts.last().unwrap().error.as_deref();
    assert_eq!((record.state, last), (JobState::Dead, Some("panicked: boom 3")));
    let record = harness.finished(&bury).await;
    assert_eq!((record.state, record.attempts.len()), (JobState::Dead, 1));
    let record = harness.finished(&progress).await;
    assert_eq!(record.progress.map(|p| (p.percent, p.message)), Some((100, "all".to_owned())));
    assert_eq!(harness.finished(&patient).await.result, Some(json!(5)));
    assert_eq!(harness.finished(&malformed).await.state, JobState::Dead);

    harness.shutdown.cancel();
    let report = worker.await.unwrap();
    assert_eq!((report.released, report.abandoned), (0, 0));
    let counts = harness.broker.counts(QUEUE).await.unwrap();
    assert_eq!((counts.completed_total, counts.failed_total), (4, 4));
    assert_eq!((counts.retried_total, counts.stale_acks_total), (2 + 2 + 2 + 4, 0));
}

async fn every_job_of_a_batch_is_done_by_two_workers_once(harness: Harness) {
    let ids = harness.producer.enqueue_all(&vec![Task::Finish; 300]).await.unwrap();
    let workers = [harness.start(harness.worker()), harness.start(harness.worker())];
    harness.begun(300).await;
    harness.shutdown.cancel();
    let mut settled = 0;
    for worker in workers {
        settled += worker.await.unwrap().settled;
    }
    assert_eq!((settled, harness.runner.runs.load(Ordering::SeqCst)), (300, 300));
    for id in ids {
        assert_eq!(harness.finished(&id).await.deliveries, 1);
    }
}

async fn a_run_that_takes_too_long_fails(harness: Harness) {
    let limit = EnqueueOptions::new().timeout(Duration::from_millis(20)).max_attempts(2);
    let id = harness.producer.enqueue_with(&Task::Hang, limit).await.unwrap();
    let worker = harness.start(harness.worker());
    let record = harness.finished(&id).await;
    assert_eq!((record.state, record.attempts.len()), (JobState::Dead, 2));
    assert_eq!(record.attempts[0].error.as_deref(), Some("timed out after 20ms"));
    harness.shutdown.cancel();
    worker.await.unwrap();
}

async fn a_run_whose_time_is_up_may_tidy_up(harness: Harness) {
    let limit = EnqueueOptions::new().timeout(Duration::from_millis(20)).max_attempts(1);
    let id = harness.producer.enqueue_with(&Task::TidyUp, limit).await.unwrap();
    let worker = harness.start(harness.worker());
    harness.begun(2).await;
    let record = harness.finished(&id).await;
    assert_eq!(record.attempts[0].error.as_deref(), Some("timed out after 20ms"));
    harness.shutdown.cancel();
    worker.await.unwrap();
}

async fn a_running_job_can_be_cancelled(harness: Harness) {
    let obeys = harness.producer.enqueue(&Task::WaitForCancel).await.unwrap();
    let hangs = harness.producer.enqueue(&Task::Hang).await.unwrap();
    let worker = harness.start(harness.worker().stop_timeout(Duration::from_millis(10)));
    harness.begun(2).await;
    for id in [&obeys, &hangs] {
        assert_eq!(harness.broker.cancel(QUEUE, id).await.unwrap(), Change::Requested);
        assert_eq!(harness.finished(id).await.state, JobState::Cancelled);
    }
    harness.shutdown.cancel();
    worker.await.unwrap();
}

async fn unknown_kinds_go_back_with_a_note(harness: Harness) {
    let raw = json!({});
    let id = harness.producer.enqueue_raw(QUEUE, "future", &raw, EnqueueOptions::new());
    let id = id.await.unwrap();
    let worker = harness.start(harness.worker());
    let record = harness.until(&id, |record| record.state == JobState::Delayed).await;
    assert_eq!(record.note.as_deref(), Some("no handler for kind future"));
    assert_eq!(record.failures, 0);
    harness.shutdown.cancel();
    worker.await.unwrap();
}

#[tokio::test]
async fn a_raw_job_has_the_version_it_is_given() {
    let harness = Harness::memory();
    let version = async |options| {
        let id = harness.producer.enqueue_raw(QUEUE, "task", &json!(1), options).await.unwrap();
        harness.until(&id, |_| true).await.version
    };
    assert_eq!(version(EnqueueOptions::new()).await, 1);
    assert_eq!(version(EnqueueOptions::new().version(3)).await, 3);
}
