//! A scan that works through the rows itself.

use std::fmt::Display;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::Scan;
use super::drive::{Sink, drive};
use super::mark::{RejectedRow, Tally};
use super::options::ScanOptions;
use crate::handler::{Context, Failure, Handler, IntoFailure, Outcome};

/// Works through the rows of a [`Scan`] in the scan's own job. See [`InlineScan`].
pub trait ProcessRows: Scan {
    /// Works through a page. A row that fails is [rejected](PageContext::reject) and stops nothing.
    ///
    /// A page may come twice: its rows must stand that.
    ///
    /// # Errors
    /// The scan stops, and begins with this page when the job runs again; rejections of this time are forgotten.
    fn process(
        &self,
        job: &Self::Job,
        rows: Vec<Self::Row>,
        page: &mut PageContext<'_>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Hears of the rows that a page rejected, before the page counts as done: of all of them, where the job keeps only the
    /// first hundred. A page that comes twice is heard of twice. Does nothing by default.
    ///
    /// # Errors
    /// As [`process`](Self::process).
    fn report(
        &self,
        job: &Self::Job,
        rejected: &[RejectedRow],
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = (job, rejected);
        async { Ok(()) }
    }
}

/// The page that is worked through.
#[derive(Debug)]
pub struct PageContext<'a> {
    context: &'a Context,
    rejected: Vec<RejectedRow>,
}

impl PageContext<'_> {
    /// The context of the job's run. When it is [cancelled](Context::cancelled), the page has about a second to end.
    pub fn context(&self) -> &Context {
        self.context
    }

    /// Tells that a row can't be processed: what names it (128 bytes are kept), and why (256 bytes).
    pub fn reject(&mut self, row: impl Into<String>, reason: impl Display) {
        self.rejected.push(RejectedRow::new(row.into(), &reason));
    }
}

/// The result of an [`InlineScan`]'s job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ScanReport {
    /// Pages.
    pub pages: u64,
    /// Rows, processed or rejected.
    pub rows: u64,
    /// Rows that were rejected.
    pub rejected: u64,
    /// The first of those, up to 100.
    pub rejects: Vec<RejectedRow>,
}

/// The handler of a scan that works through the rows itself, page after page, in one job.
///
/// # What is guaranteed
///
/// Each row that is in the table all the time is processed or rejected at least once before the job is done, however often
/// its worker dies: what was stored last is where the next run begins, so at most a page is repeated each time. One page is
/// in memory at a time.
///
/// # How it goes on and stops
///
/// - Told to stop (a shutdown whose grace has ended, a time-out) it does so between two pages and goes back to the queue; no attempt
///   is burnt. Cancelled, or its lease lost, it stops there too; a page that takes longer is aborted and repeated.
/// - A failure that would be retried puts the scan off for 5 s where it has come further in this run, and burns an
///   attempt where it has not: so a page that always fails ends the job among the dead, and an operator's retry goes on
///   with that page.
/// - It gives its slot back after each [slice](ScanOptions::slice), and for pauses of 10 s and more.
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
    /// Describes the handler.
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
