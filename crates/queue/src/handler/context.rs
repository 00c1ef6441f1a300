//! The context of a run, as its handler sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio_util::sync::CancellationToken;

use super::error::{LeaseLost, MissingData};
use super::resources::Resources;
use tidegate_queue_broker::{BrokerError, JobId, LeasedJob, Progress, internal::shortened};

/// The context of a run, besides the job. Cheap to clone.
///
/// It is an extractor, and the request of tower layers.
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
    resources: Arc<Resources>,
    queue: Arc<str>,
    job: LeasedJob,
    cancelled: CancellationToken,
    /// The percentage that this run reported last.
    last_percent: AtomicU8,
}

/// No percentage was reported yet.
const NO_PERCENT: u8 = u8::MAX;

impl Context {
    pub(crate) fn new(
        resources: Arc<Resources>,
        queue: Arc<str>,
        job: LeasedJob,
        cancelled: CancellationToken,
    ) -> Self {
        Self(Arc::new(Run { resources, queue, job, cancelled, last_percent: AtomicU8::new(NO_PERCENT) }))
    }

    pub(crate) fn resources(&self) -> &Resources {
        &self.0.resources
    }

    /// The job as leased: kind, payload as JSON, priority and times.
    pub fn job(&self) -> &LeasedJob {
        &self.0.job
    }

    /// The job's id. The same in each run, so it can be used as an idempotency key.
    pub fn id(&self) -> &JobId {
        &self.0.job.token.id
    }

    /// The kind of job.
    pub fn kind(&self) -> &str {
        &self.0.job.kind
    }

    /// The queue of the job.
    pub fn queue(&self) -> &str {
        &self.0.queue
    }

    /// The W3C `traceparent` that the job was enqueued with. Each run is in a `tracing` span named
    /// `job` that has it as a field; the exporter of traces has to make it the span's parent. As an
    /// argument of a function: [`TraceParent`](crate::TraceParent).
    pub fn trace_parent(&self) -> Option<&str> {
        self.0.job.trace_parent.as_deref()
    }

    /// Number of this attempt, from 1. Lost leases, releases and snoozes don't increase it.
    pub fn attempt(&self) -> u32 {
        self.0.job.failures.saturating_add(1)
    }

    /// Number of this lease, from 1. It grows with each run, however the last one ended, so it can
    /// be used as a fencing token.
    pub fn delivery(&self) -> u32 {
        self.0.job.token.delivery
    }

    /// Cancelled when the run should end: the lease is lost, the job was cancelled, the run has
    /// timed out, or the grace period of a shutdown has ended. The run is aborted a short time
    /// later.
    pub fn cancelled(&self) -> &CancellationToken {
        &self.0.cancelled
    }

    /// Returns shared data of the worker by its type. As an argument of a function:
    /// [`Data`](crate::Data).
    ///
    /// # Errors
    /// [`MissingData`] if the worker was given no data of this type.
    pub fn data<T: Clone + Send + Sync + 'static>(&self) -> Result<&T, MissingData> {
        self.0.resources.data.get()
    }

    /// Stores the progress of the run. A percentage above 100 counts as 100, and 4 KiB of the
    /// message are kept. One write to the broker, so report steps, not rows. A broker error is
    /// ignored, since it is no reason to stop.
    ///
    /// # Errors
    /// [`LeaseLost`]: stop.
    pub async fn progress(&self, percent: u8, message: impl Into<String> + Send) -> Result<(), LeaseLost> {
        let progress = Progress { percent: percent.min(100), message: shortened(message.into()) };
        let run = &*self.0;
        run.last_percent.store(progress.percent, Ordering::Relaxed);
        self.held(run.resources.broker.progress(&run.queue, &run.job.token, progress).await, "progress")
    }

    /// Writes a line to the job's log, which keeps the last 100 lines of up to 4 KiB. One write to
    /// the broker. A broker error is ignored, since it is no reason to stop.
    ///
    /// # Errors
    /// [`LeaseLost`]: stop.
    pub async fn log(&self, line: impl Into<String> + Send) -> Result<(), LeaseLost> {
        let run = &*self.0;
        self.held(run.resources.broker.log(&run.queue, &run.job.token, vec![line.into()]).await, "a line of the log")
    }

    pub(super) async fn store_checkpoint(&self, text: String) -> Result<bool, BrokerError> {
        let run = &*self.0;
        run.resources.broker.checkpoint(&run.queue, &run.job.token, text).await
    }

    pub(super) fn last_percent(&self) -> Option<u8> {
        Some(self.0.last_percent.load(Ordering::Relaxed)).filter(|percent| *percent != NO_PERCENT)
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
