//! What a handler knows of its run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio_util::sync::CancellationToken;

use super::data::MissingData;
use super::failure::JobError;
use crate::error::BrokerError;
use crate::id::JobId;
use crate::lease::LeasedJob;
use crate::record::{Progress, shortened};
use crate::worker::Shared;

/// The lease is no longer held: stop, someone else runs the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lease of this job is no longer held")]
pub struct LeaseLost;

/// To be retried; but whatever a run answers that lost its lease, nobody hears it.
impl JobError for LeaseLost {}

/// What a handler knows of its run, beside the job. Cheap to clone.
///
/// It is an extractor, and the request that tower layers see.
///
/// ```
/// use tidegate_queue::{Context, LeaseLost};
/// # struct Reindex { tables: Vec<String> }
/// # async fn reindex_table(_: &str) {}
/// async fn reindex(job: Reindex, context: Context) -> Result<(), LeaseLost> {
///     for table in &job.tables {
///         if context.cancelled().is_cancelled() {
///             context.log(format!("stopped before {table}")).await?;
///             break;
///         }
///         reindex_table(table).await;
///     }
///     context.progress(100, "all tables").await
/// }
/// ```
#[derive(Clone)]
pub struct Context(Arc<Run>);

struct Run {
    shared: Arc<Shared>,
    queue: Arc<str>,
    job: LeasedJob,
    cancelled: CancellationToken,
    /// The percentage that this run has told of last.
    told: AtomicU8,
}

/// No percentage.
const UNTOLD: u8 = u8::MAX;

impl Context {
    pub(crate) fn new(shared: Arc<Shared>, queue: Arc<str>, job: LeasedJob, cancelled: CancellationToken) -> Self {
        Self(Arc::new(Run { shared, queue, job, cancelled, told: AtomicU8::new(UNTOLD) }))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    /// The job as leased: its kind, its payload as JSON, its priority and its times.
    pub fn job(&self) -> &LeasedJob {
        &self.0.job
    }

    /// The job's id: the same in each run, fit as an idempotency key.
    pub fn id(&self) -> &JobId {
        &self.0.job.token.id
    }

    /// The kind of job.
    pub fn kind(&self) -> &str {
        &self.0.job.kind
    }

    /// The queue it came from.
    pub fn queue(&self) -> &str {
        &self.0.queue
    }

    /// The W3C `traceparent` that the job was enqueued with. Each run is within a `tracing` span named `job` that has it as
    /// a field; whoever exports traces makes it the span's parent. As argument of a function:
    /// [`TraceParent`](crate::TraceParent).
    pub fn trace_parent(&self) -> Option<&str> {
        self.0.job.trace_parent.as_deref()
    }

    /// Number of this attempt, from 1. Lost leases, releases and snoozes don't raise it.
    pub fn attempt(&self) -> u32 {
        self.0.job.failures.saturating_add(1)
    }

    /// Number of this lease, from 1: grows with each run, whatever ended the last. Fit as a fencing
    /// token.
    pub fn delivery(&self) -> u32 {
        self.0.job.token.delivery
    }

    /// Fires when the run should end: the lease was lost, someone cancelled the job, its time is up,
    /// or the shutdown's grace has ended. A short while later it is aborted.
    pub fn cancelled(&self) -> &CancellationToken {
        &self.0.cancelled
    }

    /// Data that the worker was given, by its type; as argument of a function: [`Data`](crate::Data).
    ///
    /// # Errors
    /// [`MissingData`] where it was given none.
    pub fn data<T: Clone + Send + Sync + 'static>(&self) -> Result<&T, MissingData> {
        self.0.shared.data.get()
    }

    /// Stores how far the run has come; above 100 counts as 100, and of the message 4 KiB
    /// are kept. One write to the broker: report
    /// steps, not rows. A broker that fails meanwhile is no reason to stop, and not reported.
    ///
    /// # Errors
    /// [`LeaseLost`]: stop.
    pub async fn progress(&self, percent: u8, message: impl Into<String> + Send) -> Result<(), LeaseLost> {
        let progress = Progress { percent: percent.min(100), message: shortened(message.into()) };
        let run = &*self.0;
        run.told.store(progress.percent, Ordering::Relaxed);
        self.held(run.shared.broker.progress(&run.queue, &run.job.token, progress).await, "progress")
    }

    /// Writes a line to the job's log, which keeps the last 100; of the line 4 KiB are kept. One write to the broker. One
    /// that fails meanwhile is no reason to stop, and not reported.
    ///
    /// # Errors
    /// [`LeaseLost`]: stop.
    pub async fn log(&self, line: impl Into<String> + Send) -> Result<(), LeaseLost> {
        let run = &*self.0;
        self.held(run.shared.broker.log(&run.queue, &run.job.token, vec![line.into()]).await, "a line of the log")
    }

    pub(super) async fn store_checkpoint(&self, text: String) -> Result<bool, BrokerError> {
        let run = &*self.0;
        run.shared.broker.checkpoint(&run.queue, &run.job.token, text).await
    }

    pub(super) fn last_percent(&self) -> Option<u8> {
        Some(self.0.told.load(Ordering::Relaxed)).filter(|percent| *percent != UNTOLD)
    }

    fn held(&self, answer: Result<bool, BrokerError>, what: &'static str) -> Result<(), LeaseLost> {
        match answer {
            Ok(true) => Ok(()),
            Ok(false) => Err(LeaseLost),
            Err(error) => {
                tracing::debug!(%error, id = %self.id(), "{what} was not stored");
                Ok(())
            }
        }
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (queue, kind, id) = (self.queue(), self.kind(), self.id());
        let mut fields = f.debug_struct("Context");
        fields.field("queue", &queue).field("kind", &kind).field("id", id).field("attempt", &self.attempt());
        fields.finish_non_exhaustive()
    }
}
