//! Functions, closures and types as handlers.

use super::*;

struct Object(u32);

#[async_trait]
impl Handler<Step> for Object {
    async fn run(&self, job: Step, _: &Context) -> Outcome {
        Outcome::done(job.0 + self.0)
    }
}

#[tokio::test]
async fn functions_closures_and_objects_are_handlers() {
    async fn function(job: Step) -> Result<u32, Failure> {
        Ok(job.0 + 1)
    }
    assert_eq!(served!(function).perform(&Step(1)).await, Outcome::done(2));
    let added = Arc::new(2);
    let closure = move |job: Step| {
        let added = added.clone();
        async move { Ok::<_, Failure>(job.0 + *added) }
    };
    assert_eq!(served!(closure).perform(&Step(1)).await, Outcome::done(3));
    assert_eq!(served!(Object(3)).perform(&Step(1)).await, Outcome::done(4));
    let named = TestQueue::new(|broker| worker(broker).handler::<Step, _>(Object(4)));
    assert_eq!(named.perform(&Step(1)).await, Outcome::done(5));
    async fn unit(_: Step) {}
    assert_eq!(served!(unit).perform(&Step(1)).await, Outcome::Done(Value::Null));
}

#[derive(Serialize, Deserialize)]
struct Old {
    to: String,
}

impl Job for Old {
    const KIND: &'static str = "mail";
    const QUEUE: &'static str = QUEUE;
}

#[derive(Serialize, Deserialize)]
struct Newest {
    to: Vec<String>,
    cc: Vec<String>,
}

impl Job for Newest {
    const KIND: &'static str = "mail";
    const QUEUE: &'static str = QUEUE;
    const VERSION: u32 = 3;
}

#[derive(Serialize, Deserialize)]
struct Current {
    to: Vec<String>,
}

impl Job for Current {
    const KIND: &'static str = "mail";
    const QUEUE: &'static str = QUEUE;
    const VERSION: u32 = 2;

    fn upcast(_: u32, payload: Value) -> Result<Value, tidegate_queue::UpcastError> {
        Ok(json!({ "to": [payload["to"]] }))
    }
}

/// A rolling deployment; the worker has the middle version.
#[tokio::test]
async fn handlers_behind_layers_upcast_old_payloads_and_release_newer_ones() {
    async fn mail(job: Current) -> Result<Vec<String>, Failure> {
        Ok(job.to)
    }
    let bare = TestQueue::new(|broker| worker(broker).handler(mail));
    let layered = TestQueue::new(|broker| {
        let limit = tower::limit::ConcurrencyLimitLayer::new(1);
        let timeout = tower::timeout::TimeoutLayer::new(Duration::from_secs(5));
        worker(broker).layer(limit).layer(timeout).handler(mail)
    });
    for queue in [bare, layered] {
        let old = queue.enqueue(&Old { to: "ada".into() }).await;
        let current = queue.enqueue(&Current { to: vec!["ada".into()] }).await;
        let newest = queue.enqueue(&Newest { to: vec![], cc: vec![] }).await;
        let unknown = queue.enqueue(&Other).await;
        queue.drain().await;
        assert_eq!(queue.assert_done(&old).result, Some(json!(["ada"])));
        assert_eq!(queue.assert_done(&current).result, Some(json!(["ada"])));
        let record = queue.assert_state(&newest, JobState::Delayed);
        assert_eq!((record.failures, record.note.as_deref()), (0, Some("payload version 3 is newer than 2")));
        let record = queue.assert_state(&unknown, JobState::Delayed);
        assert_eq!((record.failures, record.note.as_deref()), (0, Some("no handler for kind other")));
    }
}
