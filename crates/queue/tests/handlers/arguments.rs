//! Arguments of handler functions.

use super::*;

/// The job's number, read from its payload: an extractor that can fail.
#[derive(Debug, PartialEq)]
struct Even(u32);

#[derive(Debug, thiserror::Error)]
#[error("{0} is odd")]
struct Odd(u32);

impl JobError for Odd {
    fn class(&self) -> ErrorClass {
        ErrorClass::Discard
    }
}

impl FromContext for Even {
    type Error = Odd;

    async fn from_context(context: &Context) -> Result<Self, Odd> {
        tokio::task::yield_now().await;
        let number: u32 = serde_json::from_str(&context.job().payload).unwrap();
        if number.is_multiple_of(2) { Ok(Self(number)) } else { Err(Odd(number)) }
    }
}

#[expect(clippy::too_many_arguments, reason = "as many as there may be")]
async fn all(
    job: Step,
    stop: CancellationToken,
    Data(name): Data<&'static str>,
    id: JobId,
    none: Option<Data<u64>>,
    AttemptNumber(attempt): AttemptNumber,
    context: Context,
    even: Result<Even, Odd>,
    progress: ProgressReporter,
) -> Outcome {
    progress.report(50, "half").await.unwrap();
    assert_eq!(context.id(), &id);
    assert_eq!((context.kind(), context.queue(), context.delivery()), ("step", QUEUE, 1));
    let even = even.map_err(|odd| odd.to_string());
    Outcome::done(json!([job.0, stop.is_cancelled(), name, none.is_none(), attempt, even.is_err()]))
}

#[tokio::test]
async fn come_in_any_order() {
    let queue = TestQueue::new(|broker| worker(broker).data("shared").handler(all));
    let id = queue.enqueue(&Step(7)).await;
    queue.drain().await;
    let record = queue.assert_done(&id);
    assert_eq!(record.result, Some(json!([7, false, "shared", true, 1, true])));
    assert_eq!(record.progress.unwrap().percent, 50);
}

#[tokio::test]
async fn a_refused_argument_ends_the_run_by_the_class_of_its_error() {
    async fn even(_: Step, Even(number): Even) -> Result<u32, Failure> {
        Ok(number)
    }
    let queue = served!(even);
    assert_eq!(queue.perform(&Step(2)).await, Outcome::done(2));
    assert_eq!(queue.perform(&Step(3)).await, Outcome::discard("3 is odd"));
}

/// Reads data without an extractor. `SAYS` decides whether `check` reports it.
struct ByHand<const SAYS: bool>;

impl<const SAYS: bool> FromContext for ByHand<SAYS> {
    type Error = MissingData;

    async fn from_context(context: &Context) -> Result<Self, MissingData> {
        context.data::<u64>().map(|_| Self)
    }

    fn check(provided: &Provided) -> Result<(), MissingData> {
        if SAYS { provided.get::<u64>().map(drop) } else { Ok(()) }
    }
}

#[test]
fn missing_data_is_found_before_the_worker_starts() {
    async fn direct(_: Step, _: JobId, _: Data<u64>) {}
    async fn by_hand(_: Step, _: ByHand<true>) {}
    async fn nested(_: Step, _: Result<ByHand<true>, MissingData>) {}
    let broker = || -> Arc<dyn Broker> { Arc::new(tidegate_queue::MemoryBroker::new()) };
    let missing = Some(BuildError::MissingData { kind: "step", type_name: "u64" });
    assert_eq!(worker(broker()).handler(direct).build().err(), missing);
    assert_eq!(worker(broker()).handler(by_hand).build().err(), missing);
    assert_eq!(worker(broker()).handler(nested).build().err(), missing);
    assert_eq!(worker(broker()).handler(direct).data(1_u64).build().err(), None);
    let twice = worker(broker()).data(1_u64).data(2_u64).build().err();
    assert_eq!(twice, Some(BuildError::DuplicateData("u64")));
    let twice = worker(broker()).data(1_u64).handler(direct).handler(by_hand).build().err();
    assert_eq!(twice, Some(BuildError::DuplicateKind("step")));
}

#[tokio::test]
async fn undeclared_missing_data_delays_the_job() {
    async fn by_hand(_: Step, _: ByHand<false>) {}
    let queue = served!(by_hand);
    let id = queue.enqueue(&Step(1)).await;
    queue.drain().await;
    let record = queue.assert_state(&id, JobState::Delayed);
    assert_eq!((record.failures, record.note.as_deref()), (0, Some("the worker was given no data of type u64")));
}
