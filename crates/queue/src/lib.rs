//! A job queue with leases. A worker leases a job for a limited time, and only the holder of the
//! newest lease can finish the job.
//!
//! A [`Producer`] enqueues [`Job`]s into named queues of a [`Broker`]. A [`Worker`] leases them,
//! runs their handlers and renews the leases. It turns each [`Outcome`] into exactly one of: done,
//! ready again, delayed, dead or cancelled.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use tidegate_queue::{Broker, Classify, Failure, Job, MemoryBroker};
//! use tidegate_queue::{Producer, QueueOptions, Worker};
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Greet { name: String }
//!
//! impl Job for Greet {
//!     const KIND: &'static str = "greet";
//!     const QUEUE: &'static str = "email";
//! }
//!
//! async fn greet(job: Greet) -> Result<String, Failure> {
//!     job.name.chars().next().ok_or("no name").or_bury()?; // cannot succeed: dead at once
//!     std::fs::metadata("/")?;                             // any other error: retried
//!     Ok(format!("hello {}", job.name))                    // stored as the result
//! }
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
//! let producer = Producer::new(broker.clone());
//! let id = producer.enqueue(&Greet { name: "Ada".into() }).await?;
//!
//! let stop = tokio_util::sync::CancellationToken::new();
//! let email = QueueOptions::new().concurrency(4);
//! let worker = Worker::builder(broker).queue("email", email).handler(greet).build()?;
//! let worker = tokio::spawn(worker.run(stop.clone()));
//!
//! let result: String = producer.wait_for("email", &id, Duration::from_secs(5)).await?;
//! assert_eq!(result, "hello Ada");
//! stop.cancel(); // running jobs may end, the others are released
//! worker.await??;
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```
//!
//! | feature | adds |
//! |---|---|
//! | `sqlite` (default) | `SqliteBroker`: durable, shared by the processes of one machine |
//! | `redis` | `RedisBroker`: shared by many machines |
//!
//! [`MemoryBroker`] is for tests. All three brokers pass one conformance suite. [What the queue
//! guarantees, and what it does not][guarantees], is a page of its own.
//!
//! [Handlers](Handler) take [extractors](FromContext) and [layers](WorkerBuilder::layer), and have
//! [retry policies](RetryPolicy). [Settings](QueueSettings) limit a queue for all its workers.
//! [`Schedules`], [`Groups`] and [`Scan`]s enqueue many jobs. [`testing`] runs handlers on a
//! virtual clock. Complete examples: [a social feed][feed] and [a checkout][checkout].
//!
//! [feed]: https://github.com/tidegate/tidegate/blob/main/examples/feed/main.rs
//! [checkout]: https://github.com/tidegate/tidegate/blob/main/examples/checkout/main.rs
//! [guarantees]: https://github.com/tidegate/tidegate/blob/main/docs/guarantees/queue.md

mod cron;
mod decode;
mod error;
mod event;
mod group;
mod handler;
mod producer;
mod result;
mod retry;
mod scan;
pub mod testing;
mod worker;

pub use cron::{
    BrokenSchedule, CatchUp, CronField, ExpressionError, LastRun, Listing, Overlap, Recurrence, Schedule,
    ScheduleError, ScheduleState, ScheduledRun, Scheduler, Schedules, Ticked, Triggered,
};
pub use error::{BuildError, WorkerError};
pub use event::{Ending, Event, IgnoreEvents, LogEvents, Observer};
pub use group::{Completion, CompletionJob, CompletionPolicy, GroupError, GroupProgress, Groups, NewGroup};
pub use handler::{
    AttemptNumber, BoxError, Checkpoint, CheckpointError, Classed, Classify, Context, Data, ErrorClass, Failure,
    FromContext, Function, Handler, HandlerOptions, HandlerService, IntoFailure, IntoHandler, IntoOutcome, JobError,
    LeaseLost, MissingData, Outcome, PayloadTooNew, ProgressReporter, Provided, TraceParent,
};
pub use producer::{DEFAULT_PAYLOAD_LIMIT, Producer};
pub use result::WaitError;
pub use retry::{Backoff, CustomBackoff, FailedAttempt, FailureCause, RetryPolicy, RetryPolicyError};
pub use scan::{
    FanOut, FanOutReport, FanOutScan, InlineScan, PageContext, ProcessRows, RejectedRow, Scan, ScanOptions, ScanPage,
    ScanReport, ScanSettingsError, Scans,
};
pub use tidegate_clock::{Clock, ManualClock};
pub use tidegate_queue_broker::{
    Ack, Attempt, Broker, BrokerError, Change, CleanableState, Cursor, CursorError, Document, Documents, EnqueueError,
    EnqueueOptions, EventCursor, EventPage, Fetch, GroupCounts, GroupId, GroupRefusal, Heartbeat, IdError, Job,
    JobEvent, JobEventKind, JobId, JobRecord, JobState, JobStateError, LeaseToken, LeasedJob, LogLine, MemoryBroker,
    Nack, NackAction, NameError, NewJob, Page, Priority, PriorityError, Progress, Promoted, QueueCounts, QueueOverview,
    QueueSettings, Rate, RateError, Reclaim, Reclaimed, Retention, Settled, Stored, Timestamp, TokenError, Unique,
    UpcastError, Wake, WorkerId, WorkerInfo, check_kind, check_queue_name,
};
#[cfg(feature = "sqlite")]
pub use tidegate_queue_broker::{Durability, OpenError, OpenFile, SqliteBroker, SqliteOptions};
#[cfg(feature = "redis")]
pub use tidegate_queue_broker::{NotDurable, RedisBroker, RedisDurability, RedisOptions};
pub use worker::{Concurrency, QueueOptions, ShutdownReport, Worker, WorkerBuilder};
