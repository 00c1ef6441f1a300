//! A job is done when its lease says so: work is lent to a worker for a limited time under a
//! numbered lease, and only the holder of the newest number can finish it.
//!
//! A [`Producer`] puts [`Job`]s into named queues of a [`Broker`]; a [`Worker`] lends them out to
//! handlers, keeps their leases alive, and turns each [`Outcome`] into exactly one of
//! done, ready again, delayed, dead or cancelled. Three brokers pass one conformance suite: `SqliteBroker`, durable and
//! shared by the processes of one machine, `RedisBroker` (feature `redis`), shared by many machines,
//! and [`MemoryBroker`], for tests.
//!
//! ```
//! use std::sync::Arc;
//! use tidegate_queue::{Broker, Classify, Data, Failure, Job, MemoryBroker, Producer, QueueOptions, Worker};
//! use tokio_util::sync::CancellationToken;
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Greet { name: String }
//!
//! impl Job for Greet {
//!     const KIND: &'static str = "greet";
//!     const QUEUE: &'static str = "email";
//! }
//!
//! #[derive(Clone)]
//! struct Greeting(&'static str);
//!
//! // The job comes first, then what the handler wants to know, in any order.
//! async fn greet(job: Greet, Data(greeting): Data<Greeting>) -> Result<String, Failure> {
//!     job.name.chars().next().ok_or("no name").or_bury()?; // hopeless: dead at once
//!     std::fs::metadata("/")?;                             // any other error: tried again
//!     Ok(format!("{} {}", greeting.0, job.name))           // kept as the result
//! }
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
//! let producer = Producer::new(broker.clone());
//! let id = producer.enqueue(&Greet { name: "Ada".into() }).await?;
//!
//! let stop = CancellationToken::new();
//! let worker = Worker::builder(broker)
//!     .queue("email", QueueOptions::new().concurrency(4))
//!     .data(Greeting("hello"))
//!     .handler(greet)
//!     .build()?;
//! let worker = tokio::spawn(worker.run(stop.clone()));
//!
//! let result: String = producer.wait_for("email", &id, std::time::Duration::from_secs(5)).await?;
//! assert_eq!(result, "hello Ada");
//! stop.cancel(); // lets running jobs end, gives the rest back
//! worker.await??;
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```
//!
//! Worked examples: [a social feed][feed] and [a checkout][checkout].
//!
//! [feed]: https://github.com/tidegate/tidegate/blob/main/examples/feed/main.rs
//! [checkout]: https://github.com/tidegate/tidegate/blob/main/examples/checkout/main.rs
//!
//! # What there is
//!
//! - **Handlers**: async functions with [extractors](FromContext), or types with [`Handler`]; errors by
//!   [class](ErrorClass), [retry policies](RetryPolicy) by queue, handler or job, tower
//!   [layers](WorkerBuilder::layer). [`testing`] runs them on a virtual clock.
//! - **Enqueueing**: one, or many as a whole; [delayed, at a time, by priority, no later than a
//!   time, one after the other, one at a time](EnqueueOptions); [`Schedules`] for what comes again.
//! - **Many jobs**: [`Groups`] with a job when all have ended; [`Scan`]s of tables that go on where they were killed.
//! - **Queues**: [settings](QueueSettings) for all workers (most at once, a rate, events), pause, drain, clean, retry.
//!
//! # Life of a job
//!
//! `Ready → Leased → Done`, with `Delayed` for what is due later (first run, retry, snooze),
//! `Dead` for what failed for good and `Cancelled` for what nobody wants any more. The lease is
//! named by a token `id.delivery.nonce`; the delivery number grows with each lease and fences off
//! earlier holders: an acknowledgement is answered *done now*, *done before* or *superseded*
//! ([`Settled`]). Failures burn attempts; lost leases, releases and snoozes don't, but lost leases
//! have a limit of their own so that a job which kills its workers ends among the dead.
//!
//! # What is lost when
//!
//! | event | SQLite, [`Durability::Full`] (default) | SQLite, [`Durability::Normal`] | Redis with an append-only file | memory |
//! |---|---|---|---|---|
//! | worker process killed | nothing; its leases return after they expire | same | same | everything |
//! | producer killed before `enqueue` returned | the job is there or not, never half a batch | same | same, within a partition | everything |
//! | Redis killed, or stopped for longer than a lease | – | – | nothing with `appendfsync always`, also if the crash tore the append-only file: the queue is audited after a restart; with `everysec` what it had not yet written while an fsync was under way, 2 s at most. Nothing is reclaimed for one lease after it | – |
//! | power cut, kernel panic | nothing acknowledged, if the disk honours fsync | the last moments before the cut; the file stays consistent | nothing with `appendfsync always`, else the last second | everything |
//! | failover to a replica | – | – | what the replica had not yet received, also what an old primary that lives goes on acknowledging until it is told; less with `RedisDurability::Replicas` | – |
//! | disk or memory full | nothing; writes fail with [`BrokerError::Full`] | same | nothing; enqueues fail with [`BrokerError::Full`]; jobs run and are settled, but results are dropped while the server is full, and ready jobs wait once work has added 5 % to it | – |
//! | database file lost or damaged, `FLUSHALL` | its jobs; a damaged file is refused at open | same | its jobs; workers go on | – |
//!
//! `docs/torn-aof.md` explains a fault of Redis and Valkey that can lose acknowledged writes after
//! two crashes.
//!
//! Killing a process proves replay, not fsync: only a power cut tests the first column's fourth row.
//!
//! # What it does not guarantee
//!
//! - **Exactly once.** A job runs *at least* once: a worker that dies, or loses its lease, after the
//!   side effect and before the acknowledgement has its job run again. Make handlers idempotent,
//!   for example with the job's id as key.
//! - **Order.** Jobs of one priority start oldest first, but run side by side, and retries go to the
//!   end. A steady stream of high priority holds back lower ones for as long as it lasts.
//! - **Safe repetition for ever.** Enqueueing an id again is a no-op only while the record is kept;
//!   after [`Retention`] has trimmed it, the same id makes a new job.
//! - **Stopping code that doesn't yield.** Time-outs and cancellation take effect at the handler's
//!   next `.await`; the lease of a handler that never yields is settled all the same, and its later
//!   result is fenced off.
//! - **Correct times on a wrong clock.** Due times follow the machine's wall clock. A jump delays or
//!   hastens them; leases survive it (see [`Clock`]).
//! - **Network file systems.** SQLite's write-ahead log needs shared memory: one machine only.

mod broker;
mod clock;
mod cron;
mod error;
mod event;
mod group;
mod handler;
mod id;
mod job;
mod lease;
mod maintenance;
mod name;
mod options;
mod producer;
mod record;
mod registry;
mod result;
mod retry;
mod scan;
mod state;
pub mod testing;
mod unique;
mod worker;

#[cfg(feature = "redis")]
pub use broker::redis::{NotDurable, RedisBroker, RedisDurability, RedisOptions};
#[cfg(feature = "sqlite")]
pub use broker::sqlite::{Durability, OpenError, OpenFile, SqliteBroker, SqliteOptions};
pub use broker::{
    Broker, Change, CleanableState, Cursor, CursorError, Document, Documents, EventCursor, EventPage, Fetch,
    GroupCounts, JobEvent, JobEventKind, MemoryBroker, NewJob, Page, Promoted, QueueCounts, QueueOverview,
    QueueSettings, Rate, RateError, Reclaim, Reclaimed, Retention, Stored, Wake,
};
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use cron::{
    BrokenSchedule, CatchUp, CronField, ExpressionError, LastRun, Listing, Overlap, Recurrence, Schedule,
    ScheduleError, ScheduleState, ScheduledRun, Scheduler, Schedules, Ticked, Triggered,
};
pub use error::{BrokerError, BuildError, EnqueueError, WorkerError};
pub use event::{Ending, Event, IgnoreEvents, LogEvents, Observer};
pub use group::{
    Completion, CompletionJob, CompletionPolicy, GroupError, GroupProgress, GroupRefusal, Groups, NewGroup,
};
pub use handler::{
    AttemptNumber, BoxError, Checkpoint, CheckpointError, Classed, Classify, Context, Data, ErrorClass, Failure,
    FromContext, Function, Handler, HandlerOptions, HandlerService, IntoFailure, IntoHandler, IntoOutcome, JobError,
    LeaseLost, MissingData, Outcome, PayloadTooNew, ProgressReporter, Provided, TraceParent,
};
pub use id::{GroupId, IdError, JobId, WorkerId};
pub use job::{Job, UpcastError};
pub use lease::{Ack, Heartbeat, LeaseToken, LeasedJob, Nack, NackAction, Settled, TokenError};
pub use name::{NameError, check_kind, check_queue_name};
pub use options::EnqueueOptions;
pub use producer::{DEFAULT_PAYLOAD_LIMIT, Producer};
pub use record::{Attempt, JobRecord, LogLine, Progress};
pub use result::WaitError;
pub use retry::{Backoff, CustomBackoff, FailedAttempt, FailureCause, RetryPolicy, RetryPolicyError};
pub use scan::{
    FanOut, FanOutReport, FanOutScan, InlineScan, PageContext, ProcessRows, RejectedRow, Scan, ScanOptions, ScanPage,
    ScanReport, ScanSettingsError, Scans,
};
pub use state::{Priority, PriorityError, State, StateError};
pub use unique::Unique;
pub use worker::{Concurrency, QueueOptions, ShutdownReport, Worker, WorkerBuilder, WorkerInfo};
