//! How a scan goes.

use std::time::Duration;

/// How a scan goes. Cheap to clone.
#[derive(Clone, Debug)]
#[must_use]
pub struct ScanOptions {
    pub(super) page_rows: usize,
    pub(super) pause: Duration,
    pub(super) slice: Duration,
    pub(super) max_pending: u64,
}

impl ScanOptions {
    /// Pages of 500 rows without a pause between them; 10 minutes at a time; at most 10,000 jobs pending.
    pub fn new() -> Self {
        Self { page_rows: 500, pause: Duration::ZERO, slice: Duration::from_secs(600), max_pending: 10_000 }
    }

    /// Sets how many rows a page has at most; zero counts as one. A page is what is repeated after a crash, and what is
    /// waited for at a shutdown: it should take well under a second.
    pub fn page_rows(mut self, rows: usize) -> Self {
        self.page_rows = rows.max(1);
        self
    }

    /// Sets the pause between two pages, where [`Scans`](crate::Scans) sets none. From 10 s on the job gives its slot back
    /// meanwhile.
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Sets after how long the job goes back to its queue, to be continued, so that others have their turn. Must be shorter
    /// than the time-out of the job. At least one page is done each time.
    pub fn slice(mut self, slice: Duration) -> Self {
        self.slice = slice;
        self
    }

    /// Sets how many jobs of a fan-out may be pending before it waits; zero counts as one. A page may go above it.
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
