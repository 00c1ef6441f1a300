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
#[doc = include_str!("inline.md")]
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
