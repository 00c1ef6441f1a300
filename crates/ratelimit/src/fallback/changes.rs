//! Changes by hand, which answers that were under way know nothing of.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many blocks, unblocks and resets have ended, of whatever key: they are rare. What was asked before the end of one may be of
/// before it, so nothing is learned of that.
///
/// To be counted before the key is changed here, and compared while the key is locked: then no answer slips in between.
#[derive(Default)]
pub(super) struct Changes(AtomicU64);

impl Changes {
    pub(super) fn so_far(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    pub(super) fn ended(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}
