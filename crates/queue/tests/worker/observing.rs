//! Events, and observers that panic.

use std::sync::{Arc, Mutex};

use crate::harness::{Harness, Task};
use tidegate_queue::{EnqueueOptions, Event, JobState, Observer, ShutdownReport, Timestamp};

#[derive(Default)]
struct Recorder(Mutex<Vec<String>>);

impl Observer for Recorder {
    fn on(&self, event: &Event<'_>) {
        let line = match event {
            Event::Started { kind, .. } => format!("started {kind}"),
            Event::Finished { outcome, .. } => format!("finished {}", outcome.as_str()),
            Event::Retried { error, .. } => format!("retried {error}"),
            Event::Buried { error, .. } => format!("buried {error}"),
            other => format!("{other:?}"),
        };
        self.0.lock().unwrap().push(line);
    }
}

#[tokio::test]
async fn an_observer_sees_each_step_of_a_job() {
    let harness = Harness::memory();
    let recorder = Arc::new(Recorder::default());
    let twice = EnqueueOptions::new().max_attempts(2);
    let id = harness.producer.enqueue_with(&Task::FailUntil(9), twice).await.unwrap();
    let worker = harness.start(harness.worker().observer(recorder.clone()));
    harness.finished(&id).await;
    harness.shutdown.cancel();
    worker.await.unwrap();
    let story = recorder.0.lock().unwrap().clone();
    let expected =
        ["started task", "retried not yet", "finished retried", "started task", "buried not yet", "finished buried"];
    assert_eq!(story, expected);
}

/// An observer that panics at each event.
struct Brittle;

impl Observer for Brittle {
    fn on(&self, event: &Event<'_>) {
        panic!("an observer that panics at {event:?}");
    }
}

#[tokio::test]
async fn an_expired_job_is_reported_and_not_run() {
    let harness = Harness::memory();
    let recorder = Arc::new(Recorder::default());
    let late = EnqueueOptions::new().not_after(Timestamp::from_unix_ms(1));
    let id = harness.producer.enqueue_with(&Task::Finish, late).await.unwrap();
    let worker = harness.start(harness.worker().observer(recorder.clone()));
    harness.finished(&id).await;
    harness.shutdown.cancel();
    worker.await.unwrap();
    let story = recorder.0.lock().unwrap().clone();
    assert!(story.len() == 1 && story[0].starts_with("Expired"), "{story:?}");
}

#[tokio::test]
async fn a_producer_outlives_an_observer_that_panics() {
    let harness = Harness::memory();
    let producer = harness.producer.clone().with_observer(Arc::new(Brittle));
    let id = producer.enqueue(&Task::Finish).await.unwrap();
    assert_eq!(harness.until(&id, |_| true).await.state, JobState::Ready);
}

#[tokio::test]
async fn an_observer_that_panics_stops_nothing() {
    let harness = Harness::memory();
    let ids = harness.producer.enqueue_all(&[Task::FailUntil(2), Task::Bury]).await.unwrap();
    let worker = harness.start(harness.worker().observer(Arc::new(Brittle)));
    for id in &ids {
        harness.finished(id).await;
    }
    harness.shutdown.cancel();
    assert_eq!(worker.await.unwrap(), ShutdownReport { settled: 3, released: 0, abandoned: 0 });
}
