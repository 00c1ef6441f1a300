//! Events, and observers that panic.

use std::sync::{Arc, Mutex};

use crate::house::{House, Task};
use tidegate_queue::{EnqueueOptions, Event, Observer, ShutdownReport, State, Timestamp};

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Observer for Heard {
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
async fn events_tell_the_story() {
    let house = House::memory();
    let heard = Arc::new(Heard::default());
    let twice = EnqueueOptions::new().max_attempts(2);
    let id = house.producer.enqueue_with(&Task::FailUntil(9), twice).await.unwrap();
    let worker = house.start(house.worker().observer(heard.clone()));
    house.finished(&id).await;
    house.shutdown.cancel();
    worker.await.unwrap();
    let story = heard.0.lock().unwrap().clone();
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
async fn a_job_that_expired_is_told_of_and_no_run() {
    let house = House::memory();
    let heard = Arc::new(Heard::default());
    let late = EnqueueOptions::new().not_after(Timestamp::from_unix_ms(1));
    let id = house.producer.enqueue_with(&Task::Finish, late).await.unwrap();
    let worker = house.start(house.worker().observer(heard.clone()));
    house.finished(&id).await;
    house.shutdown.cancel();
    worker.await.unwrap();
    let story = heard.0.lock().unwrap().clone();
    assert!(story.len() == 1 && story[0].starts_with("Expired"), "{story:?}");
}

#[tokio::test]
async fn a_producer_outlives_an_observer_that_panics() {
    let house = House::memory();
    let producer = house.producer.clone().with_observer(Arc::new(Brittle));
    let id = producer.enqueue(&Task::Finish).await.unwrap();
    assert_eq!(house.until(&id, |_| true).await.state, State::Ready);
}

#[tokio::test]
async fn an_observer_that_panics_stops_nothing() {
    let house = House::memory();
    let ids = house.producer.enqueue_all(&[Task::FailUntil(2), Task::Bury]).await.unwrap();
    let worker = house.start(house.worker().observer(Arc::new(Brittle)));
    for id in &ids {
        house.finished(id).await;
    }
    house.shutdown.cancel();
    assert_eq!(worker.await.unwrap(), ShutdownReport { settled: 3, released: 0, abandoned: 0 });
}
