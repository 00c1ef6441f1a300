//! Scans: jobs that read a large table page by page and can be resumed. A scan processes the rows
//! itself, or makes jobs of them.
//!
//! After each page, the scan stores a checkpoint with the job: the position, which the table's
//! reader defines, and the tally. A later run continues after the last page that was stored, for
//! any reason that ended the earlier run.

mod drive;
mod fan_out;
mod inline;
mod mark;
mod naming;
mod options;
mod settings;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::handler::IntoFailure;
use tidegate_queue_broker::Job;

pub use fan_out::{FanOut, FanOutReport, FanOutScan};
pub use inline::{InlineScan, PageContext, ProcessRows, ScanReport};
pub use mark::RejectedRow;
pub use options::ScanOptions;
pub use settings::{ScanSettingsError, Scans};

/// A page of rows, and the position of the next page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanPage<Row, Position> {
    /// Rows. May be empty even if more follow.
    pub rows: Vec<Row>,
    /// Position of the next page. `None` at the end of the table.
    pub next: Option<Position>,
}

/// Reads a table page by page, for [`InlineScan`] or [`FanOutScan`].
///
/// A position is the last key of a page, or a page number. Reading by key (`where id > ? order by
/// id limit ?`) costs the same for each page, and inserted or deleted rows do not shift others.
/// Reading by number (`limit ? offset ?`) becomes slower with each page, and a row deleted from an
/// earlier page makes the scan skip another row.
pub trait Scan: Send + Sync + 'static {
    /// The job that requests a scan: which table, which rows.
    type Job: Job;
    /// A row.
    type Row: Send + 'static;
    /// Position of a page. Stored as JSON, up to about 40 KiB. A new release must be able to read
    /// the positions of the old one.
    type Position: Serialize + DeserializeOwned + Send + Sync + 'static;
    /// Error of reading or processing. Its class decides the outcome of the job.
    type Error: IntoFailure + Send;

    /// Reads at most `limit` rows from `position` on; from the start with `None`.
    ///
    /// # Errors
    /// The scan stops, and continues at this page when the job runs again.
    fn page(
        &self,
        job: &Self::Job,
        position: Option<&Self::Position>,
        limit: usize,
    ) -> impl Future<Output = Result<ScanPage<Self::Row, Self::Position>, Self::Error>> + Send;

    /// Approximate number of rows, for the progress. Called once, at the start. `None` by default.
    /// Implement it if it is cheap: a job whose progress grows does not become dead for lost
    /// leases.
    ///
    /// # Errors
    /// Like [`page`](Self::page).
    fn count(&self, job: &Self::Job) -> impl Future<Output = Result<Option<u64>, Self::Error>> + Send {
        let _ = job;
        async { Ok(None) }
    }
}
