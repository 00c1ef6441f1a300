//! Options of a scan.

use std::time::Duration;

/// Options of a scan. Cheap to clone.
#[derive(Clone, Debug)]
#[must_use]
pub struct ScanOptions {
    pub(super) page_rows: usize,
    pub(super) pause: Duration,
    pub(super) slice: Duration,
    pub(super) max_pending: u64,
}

impl ScanOptions {
    /// Pages of 500 rows without pauses, slices of 10 minutes, at most 10,000 pending jobs.
    pub fn new() -> Self {
        Self { page_rows: 500, pause: Duration::ZERO, slice: Duration::from_secs(600), max_pending: 10_000 }
    }

    /// Sets the largest number of rows of a page. Zero counts as one. A crash repeats up to a page,
    /// and a shutdown waits for it, so a page should take well under a second.
    pub fn page_rows(mut self, rows: usize) -> Self {
        self.page_rows = rows.max(1);
        self
    }

    /// Sets the pause between two pages, if [`Scans`](crate::Scans) sets none. For pauses of 10 s
    /// and more the job releases its slot.
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Sets after what time the job goes back to its queue, to be continued, so that other jobs can
    /// run. Must be shorter than the job's time-out. At least one page is processed each time.
    pub fn slice(mut self, slice: Duration) -> Self {
        self.slice = slice;
        self
    }

    /// Sets how many jobs of a fan-out may be pending before the scan waits. Zero counts as one.
    /// A page may exceed it.
    pub fn max_pending(mut self, jobs: u64) -> Self {
        self.max_pending = jobs.max(1);
        self
    }
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self::new()
    }
}
