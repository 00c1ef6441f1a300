//! Tests of handlers: a queue in memory with a manual clock, and a worker that runs jobs only in
//! `drain`.
//!
//! A [`TestQueue`] runs jobs through the same code as a [`Worker`](crate::Worker): decoding,
//! extractors, layers, time-outs, retry policies and settlement. Only the loop, its heartbeats and
//! the waiting are left out. Nothing sleeps: delays pass by moving the clock, so a job that is
//! retried over days is tested in microseconds.
//!
#![doc = include_str!("testing.md")]

mod assertions;
mod ran;

use std::sync::Arc;
use std::time::Duration;

use tidegate_clock::ManualClock;
use tokio_util::sync::CancellationToken;

use crate::handler::{Context, Outcome, Verdict};
use crate::producer::{DEFAULT_PAYLOAD_LIMIT, Producer};
use crate::worker::{ManualWorker, WorkerBuilder};
use tidegate_queue_broker::{
    Ack, Broker, EnqueueOptions, Fetch, Job, JobId, LeasedJob, MemoryBroker, NewJob, Timestamp, WorkerId,
};

pub use ran::Ran;

/// Default limit on the runs of one drain.
const MOST_RUNS: usize = 10_000;
/// Queue of the job of [`TestQueue::perform`], apart from those that are enqueued.
const PERFORMED: &str = "performed";
/// Time of the clock of a new [`TestQueue`].
const START: Timestamp = Timestamp::from_unix_ms(1_700_000_000_000);
const LEASE: Duration = Duration::from_secs(3600);

/// A queue in memory with its own clock, and a worker that runs jobs only in `drain`. See the
/// [module](self).
///
/// If a method fails, it panics with a message that explains the failure.
///
/// ```
/// use tidegate_queue::testing::TestQueue;
/// use tidegate_queue::{Classify, Data, Failure, Job, Outcome, Producer, QueueOptions, Worker};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct SignUp { email: String }
/// # impl Job for SignUp {
/// #     const KIND: &'static str = "sign-up";
/// #     const QUEUE: &'static str = "users";
/// # }
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Welcome { email: String }
/// # impl Job for Welcome {
/// #     const KIND: &'static str = "welcome";
/// #     const QUEUE: &'static str = "email";
/// # }
///
/// async fn sign_up(job: SignUp, Data(producer): Data<Producer>) -> Result<(), Failure> {
///     job.email.find('@').ok_or("no address").or_bury()?;
///     producer.enqueue(&Welcome { email: job.email }).await?;
///     Ok(())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let queue = TestQueue::new(|broker| {
///     let worker = Worker::builder(broker.clone()).queue("users", QueueOptions::new());
///     worker.data(Producer::new(broker)).handler(sign_up)
/// });
/// let outcome = queue.perform(&SignUp { email: "ada".into() }).await;
/// assert_eq!(outcome, Outcome::bury("no address"));
///
/// let id = queue.enqueue(&SignUp { email: "ada@example.org".into() }).await;
/// let ran = queue.drain().await;
/// assert_eq!((ran.len(), ran[0].attempt), (1, 1));
/// queue.assert_done(&id);
/// queue.assert_enqueued::<Welcome>(|job| job.email == "ada@example.org");
/// # }
/// ```
pub struct TestQueue {
    broker: Arc<MemoryBroker>,
    clock: ManualClock,
    worker: ManualWorker,
    most_runs: usize,
}

impl TestQueue {
    /// A test queue for the worker that `describe` builds on the given broker.
    ///
    /// # Panics
    /// If the worker can't be built.
    #[track_caller]
    pub fn new(describe: impl FnOnce(Arc<dyn Broker>) -> WorkerBuilder) -> Self {
        let clock = ManualClock::at(START);
        let broker = Arc::new(MemoryBroker::with_clock(&clock));
        let worker = describe(broker.clone()).build();
        Self { broker, clock, worker: worker.expect("the worker is described well").by_hand(), most_runs: MOST_RUNS }
    }

    /// Sets the largest number of runs of one drain, 10,000 by default. A drain panics when it
    /// exceeds the limit.
    #[must_use]
    pub fn with_most_runs(mut self, runs: usize) -> Self {
        self.most_runs = runs;
        self
    }

    /// The broker, for everything that this type has no method for.
    pub fn broker(&self) -> Arc<dyn Broker> {
        self.broker.clone()
    }

    /// A producer for the broker.
    pub fn producer(&self) -> Producer {
        Producer::new(self.broker())
    }

    /// The clock of the broker.
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// Moves the clock forward. Runs nothing.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Enqueues a job with the default options.
    ///
    /// # Panics
    /// If the job is refused.
    pub async fn enqueue<J: Job>(&self, job: &J) -> JobId {
        self.enqueue_with(job, EnqueueOptions::new()).await
    }

    /// Enqueues a job.
    ///
    /// # Panics
    /// If the job is refused.
    pub async fn enqueue_with<J: Job>(&self, job: &J, options: EnqueueOptions) -> JobId {
        self.producer().enqueue_with(job, options).await.expect("the job is taken")
    }

    /// Runs one job through its layers and its handler, as its first attempt: the job is encoded
    /// and decoded, with all extractors. Returns the handler's outcome. Nothing else is kept, and
    /// no retry policy is applied. In the handler's context the queue is called `performed`.
    ///
    /// # Panics
    /// If the worker has no handler for the job, or the handler panics.
    pub async fn perform<J: Job>(&self, job: &J) -> Outcome {
        let shared = &self.worker.shared;
        let handler = shared.handlers.get(J::KIND);
        let handler = handler.unwrap_or_else(|| missing_handler(J::KIND));
        let job = NewJob::of(job, EnqueueOptions::new(), DEFAULT_PAYLOAD_LIMIT).expect("the job is well-formed");
        self.broker.enqueue(PERFORMED, vec![job]).await.expect("the memory broker takes it");
        let leased = self.exchange(Vec::new()).await.pop().expect("it was just enqueued");
        let token = leased.token.clone();
        let cancel = CancellationToken::new();
        let context = Context::new(shared.resources.clone(), PERFORMED.into(), leased, cancel);
        let verdict = Verdict::of(shared.run(handler, context).await);
        self.exchange(vec![Ack { token, result: "null".to_owned() }]).await;
        match verdict {
            Verdict::Ended(outcome) => outcome,
            Verdict::NotForUs(note) => Outcome::Snooze { delay: shared.unknown_delay, note: Some(note) },
        }
    }

    async fn exchange(&self, acks: Vec<Ack>) -> Vec<LeasedJob> {
        let fetch = Fetch { worker: WorkerId::generate(), max: usize::from(acks.is_empty()), lease: LEASE };
        self.broker.ack_and_fetch(PERFORMED, acks, fetch).await.expect("the memory broker answers").1
    }

    /// Runs the due jobs of the worker's queues, one after the other, until none is left. Jobs that
    /// these jobs enqueue run too. Delayed jobs stay delayed. Returns the runs.
    ///
    /// # Panics
    /// After 10,000 runs, or the [limit that was set](Self::with_most_runs).
    pub async fn drain(&self) -> Vec<Ran> {
        let mut ran = Vec::new();
        self.run_due(&mut ran).await;
        ran
    }

    /// Like [`drain`](Self::drain), while `time` passes: the clock moves from one due time to the
    /// next. Returns the runs.
    ///
    /// # Panics
    /// Like `drain`.
    pub async fn drain_through(&self, time: Duration) -> Vec<Ran> {
        self.drain_until(Timestamp::now(&self.clock).after(time), true).await
    }

    /// Like [`drain`](Self::drain), but also moves the clock through all delays, until no job is
    /// left that becomes due. Returns the runs.
    ///
    /// # Panics
    /// Like `drain`; also if a job snoozes for ever.
    pub async fn drain_to_the_end(&self) -> Vec<Ran> {
        self.drain_until(Timestamp::from_unix_ms(i64::MAX), false).await
    }

    async fn drain_until(&self, end: Timestamp, arrive: bool) -> Vec<Ran> {
        let mut ran = Vec::new();
        loop {
            self.run_due(&mut ran).await;
            // A job that is due and did not run waits for something other than time.
            let dues = self.worker.queues().filter_map(|queue| self.broker.next_due(queue));
            let due = dues.filter(|due| *due > Timestamp::now(&self.clock)).min();
            match due.filter(|due| *due <= end) {
                Some(due) => self.clock.set(due),
                None => break,
            }
        }
        if arrive {
            self.clock.set(end);
        }
        ran
    }

    async fn run_due(&self, ran: &mut Vec<Ran>) {
        while let Some((queue, step)) = self.worker.step().await.expect("the memory broker answers") {
            let most = self.most_runs;
            assert!(ran.len() < most, "more than {most} runs, the last of kind {}: endless?", step.job.kind);
            ran.push(Ran::new(&queue, step, Timestamp::now(&self.clock)));
        }
    }
}

#[expect(clippy::panic, reason = "reports a failure to the reader of a test")]
fn missing_handler(kind: &str) -> ! {
    panic!("the worker has no handler for kind {kind:?}")
}
