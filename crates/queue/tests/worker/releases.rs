//! Workers of two releases.

use std::sync::Arc;
use std::time::Duration;

use crate::harness::{Harness, QUEUE, options};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidegate_queue::{Classify, Data, Failure, Job, JobState, UpcastError, Worker};
use tokio::sync::{Semaphore, SemaphorePermit};

on_each_broker![releases_run_side_by_side,];

#[derive(Serialize, Deserialize)]
struct OldMail {
    to: String,
}

impl Job for OldMail {
    const KIND: &'static str = "mail";
    const QUEUE: &'static str = QUEUE;
}

#[derive(Serialize, Deserialize)]
struct NewMail {
    to: Vec<String>,
}

impl Job for NewMail {
    const KIND: &'static str = "mail";
    const QUEUE: &'static str = QUEUE;
    const VERSION: u32 = 2;

    fn upcast(_: u32, payload: serde_json::Value) -> Result<serde_json::Value, UpcastError> {
        Ok(json!({ "to": [payload["to"]] }))
    }
}

/// A rolling deployment. The old worker leaves jobs that it can't read to the new one, without
/// using up attempts. The new worker reads the jobs of both versions.
async fn releases_run_side_by_side(harness: Harness) {
    let old = harness.producer.enqueue(&OldMail { to: "ada".into() }).await.unwrap();
    let new = harness.producer.enqueue(&NewMail { to: vec!["ada".into()] }).await.unwrap();
    let begun = harness.runner.begun.clone();
    let worker =
        || Worker::builder(harness.broker.clone()).queue(QUEUE, options()).unknown_delay(Duration::from_millis(20));
    let gate = Arc::new(Semaphore::new(0));
    // The old worker takes the old job and holds it until both workers could have taken it.
    let hold = (begun.clone(), gate.clone());
    let old_worker = worker().data(hold).handler(
        async |mail: OldMail, Data((begun, gate)): Data<(Arc<Semaphore>, Arc<Semaphore>)>| {
            begun.add_permits(1);
            gate.acquire().await.map(SemaphorePermit::forget).or_retry()?;
            Ok::<_, Failure>(format!("old {}", mail.to))
        },
    );
    let old_worker = harness.start(old_worker);
    harness.begun(1).await;
    let record = harness.until(&new, |record| record.state == JobState::Delayed).await;
    assert_eq!(record.note.as_deref(), Some("payload version 2 is newer than 1"));
    let new_worker = worker().handler(async |mail: NewMail| Ok::<_, Failure>(format!("new {}", mail.to.join(","))));
    let new_worker = harness.start(new_worker);
    let record = harness.finished(&new).await;
    assert_eq!((record.result, record.failures), (Some(json!("new ada")), 0));
    gate.add_permits(1);
    assert_eq!(harness.finished(&old).await.result, Some(json!("old ada")));
    harness.shutdown.cancel();
    old_worker.await.unwrap();
    new_worker.await.unwrap();
}
