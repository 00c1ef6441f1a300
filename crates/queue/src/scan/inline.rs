//! A scan that processes the rows itself.

use std::fmt::Display;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::Scan;
use super::drive::{Sink, drive};
use super::mark::{RejectedRow, Tally};
use super::options::ScanOptions;
use crate::handler::{Context, Failure, Handler, IntoFailure, Outcome};

/// Processes the rows of a [`Scan`] in the scan's own job. See [`InlineScan`].
pub trait ProcessRows: Scan {
    /// Processes a page. A row that fails is [rejected](PageContext::reject); the scan continues.
    ///
    /// A page may be processed twice: processing must be idempotent.
    ///
    /// # Errors
    /// The scan stops, and starts with this page when the job runs again. The rejections of this
    /// page are discarded.
    fn process(
        &self,
        job: &Self::Job,
        rows: Vec<Self::Row>,
        page: &mut PageContext<'_>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Receives the rows that a page rejected, before the page counts as done. Receives all of
    /// them, while the job keeps only the first hundred. A repeated page is reported twice. Does
    /// nothing by default.
    ///
    /// # Errors
    /// Like [`process`](Self::process).
    fn report(
        &self,
        job: &Self::Job,
        rejected: &[RejectedRow],
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = (job, rejected);
        async { Ok(()) }
    }
}

/// The page that is being processed.
#[derive(Debug)]
pub struct PageContext<'a> {
    context: &'a Context,
    rejected: Vec<RejectedRow>,
}

impl PageContext<'_> {
    /// The context of the job's run. When it is [cancelled](Context::cancelled), the page has about
    /// a second to end.
    pub fn context(&self) -> &Context {
        self.context
    }

    /// Rejects a row. `row` identifies it (128 bytes are kept), `reason` says why (256 bytes).
    pub fn reject(&mut self, row: impl Into<String>, reason: impl Display) {
        self.rejected.push(RejectedRow::new(row.into(), &reason));
    }
}

/// The result of an [`InlineScan`]'s job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ScanReport {
    /// Number of pages.
    pub pages: u64,
    /// Number of rows, processed or rejected.
    pub rows: u64,
    /// Number of rejected rows.
    pub rejected: u64,
    /// The first rejected rows, up to 100.
    pub rejects: Vec<RejectedRow>,
}

/// The handler of a scan that processes the rows itself, page by page, in one job.
///
/// # Guarantees
///
/// Each row that is in the table during the whole scan is processed or rejected at least once
/// before the job is done, however often its worker crashes. The next run starts from the last
/// checkpoint, so a crash repeats at most one page. One page is in memory at a time.
///
/// # How it stops and resumes
///
/// - When it is asked to stop (the grace period of a shutdown has ended, or a time-out), it stops
///   between two pages and goes back to the queue, without using up an attempt. When it is
///   cancelled or its lease is lost, it also stops there. A page that takes longer is aborted and
///   repeated.
/// - A failure that would be retried delays the scan by 5 s if it made progress in this run.
///   Otherwise it uses up an attempt. So a page that always fails makes the job dead, and an
///   operator's retry continues with that page.
/// - It releases its slot after each [slice](ScanOptions::slice), and for pauses of 10 s and more.
///
/// ```
/// use std::time::Duration;
/// use tidegate_queue::{
///     InlineScan, Job, PageContext, ProcessRows, QueueOptions, Scan, ScanOptions, ScanPage, Worker,
/// };
/// # use std::sync::Arc;
/// # use tidegate_queue::{Broker, MemoryBroker};
/// # struct Account { id: u64 }
/// # #[derive(Clone)] struct Accounts;
/// # impl Accounts {
/// #     async fn after(&self, _: u64, _: usize) -> Result<Vec<Account>, std::io::Error> { Ok(Vec::new()) }
/// #     async fn rebuild(&self, _: &Account) -> Result<(), std::io::Error> { Ok(()) }
/// # }
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Rebuild { region: String }
///
/// impl Job for Rebuild {
///     const KIND: &'static str = "accounts.rebuild";
///     const QUEUE: &'static str = "maintenance";
/// }
///
/// struct RebuildScan { accounts: Accounts }
///
/// impl Scan for RebuildScan {
///     type Job = Rebuild;
///     type Row = Account;
///     type Position = u64; // the last id of the page before
///     type Error = std::io::Error;
///
///     async fn page(&self, job: &Rebuild, after: Option<&u64>, limit: usize) -> Result<ScanPage<Account, u64>, std::io::Error> {
///         let rows = self.accounts.after(after.copied().unwrap_or(0), limit).await?;
///         let next = rows.last().map(|account| account.id);
///         Ok(ScanPage { rows, next })
///     }
/// }
///
/// impl ProcessRows for RebuildScan {
///     async fn process(&self, job: &Rebuild, rows: Vec<Account>, page: &mut PageContext<'_>) -> Result<(), std::io::Error> {
///         for account in rows {
///             if let Err(error) = self.accounts.rebuild(&account).await {
///                 page.reject(account.id.to_string(), error);
///             }
///         }
///         Ok(())
///     }
/// }
///
/// # let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
/// # let accounts = Accounts;
/// let options = ScanOptions::new().page_rows(1_000).pause(Duration::from_millis(20));
/// let worker = Worker::builder(broker)
///     .queue("maintenance", QueueOptions::new())
///     .handler(InlineScan::new(RebuildScan { accounts }, options))
///     .build()?;
/// # Ok::<(), tidegate_queue::BuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct InlineScan<S> {
    scan: S,
    options: ScanOptions,
}

impl<S: ProcessRows> InlineScan<S> {
    /// Creates the handler.
    pub fn new(scan: S, options: ScanOptions) -> Self {
        Self { scan, options }
    }
}

#[async_trait]
impl<S: ProcessRows> Handler<S::Job> for InlineScan<S> {
    async fn run(&self, job: S::Job, context: &Context) -> Outcome {
        let mut sink = Rows { scan: &self.scan, context };
        drive(&self.scan, &mut sink, &self.options, &job, context).await
    }
}

struct Rows<'a, S> {
    scan: &'a S,
    context: &'a Context,
}

impl<S: ProcessRows> Sink<S> for Rows<'_, S> {
    type Report = ScanReport;

    async fn prepare(&mut self, _: &S::Job, _: &Tally) -> Result<(), Outcome> {
        Ok(())
    }

    async fn take(&mut self, job: &S::Job, rows: Vec<S::Row>, tally: &mut Tally) -> Result<(), Failure> {
        let mut page = PageContext { context: self.context, rejected: Vec::new() };
        self.scan.process(job, rows, &mut page).await.map_err(IntoFailure::into_failure)?;
        if !page.rejected.is_empty() {
            self.scan.report(job, &page.rejected).await.map_err(IntoFailure::into_failure)?;
            tally.reject(page.rejected);
        }
        Ok(())
    }

    async fn finish(&mut self, _: &S::Job, tally: Tally) -> Result<ScanReport, Failure> {
        let Tally { pages, rows, rejected, rejects, .. } = tally;
        Ok(ScanReport { pages, rows, rejected, rejects })
    }
}
