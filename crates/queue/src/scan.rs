//! Work over large tables, page by page, resumable: a job that reads a table by cursor and either works through the rows
//! itself or makes jobs of them.
//!
//! What has been done is stored with the job after each page, as its checkpoint: the position, which the table's reader
//! defines, and the tally. Whatever ends a run, the next one goes on behind the last page that was stored.

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
use crate::job::Job;

pub use fan_out::{FanOut, FanOutReport, FanOutScan};
pub use inline::{InlineScan, PageContext, ProcessRows, ScanReport};
pub use mark::RejectedRow;
pub use options::ScanOptions;
pub use settings::{ScanSettingsError, Scans};

/// Some rows of a table, and where the next ones begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanPage<Row, Position> {
    /// The rows. May be none though more follow.
    pub rows: Vec<Row>,
    /// Where to go on; `None` at the end of the table.
    pub next: Option<Position>,
}

/// Reads a table page by page, for [`InlineScan`] or [`FanOutScan`].
///
/// The position is what the table is read by: the last key of a page, or a page's number. By key (`where id > ? order by id
/// limit ?`) each page costs the same and rows that come or go meanwhile move no others; by number (`limit ? offset ?`) later
/// pages cost ever more, and a row that goes from an earlier page makes the scan pass over another one.
pub trait Scan: Send + Sync + 'static {
    /// The job that asks for a scan: which table, which rows.
    type Job: Job;
    /// A row.
    type Row: Send + 'static;
    /// Where a page begins: stored as JSON, up to about 40 KiB. A release that changes it must read what the old one wrote.
    type Position: Serialize + DeserializeOwned + Send + Sync + 'static;
    /// What reading and processing may fail with; its class decides what becomes of the job.
    type Error: IntoFailure + Send;

    /// Reads the rows from `position` on, at most `limit`; from the start with `None`.
    ///
    /// # Errors
    /// The scan stops, and goes on there when the job runs again.
    fn page(
        &self,
        job: &Self::Job,
        position: Option<&Self::Position>,
        limit: usize,
    ) -> impl Future<Output = Result<ScanPage<Self::Row, Self::Position>, Self::Error>> + Send;

    /// How many rows there are, about, for the progress. Asked once, at the start. A job whose progress grows is not given up
    /// for the leases it has lost, so give it where it is cheap to know. `None` by default.
    ///
    /// # Errors
    /// As [`page`](Self::page).
    fn count(&self, job: &Self::Job) -> impl Future<Output = Result<Option<u64>, Self::Error>> + Send {
        let _ = job;
        async { Ok(None) }
    }
}
