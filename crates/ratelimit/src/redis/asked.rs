//! Whether a check has sent its own request to Redis.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::StoreError;

/// Whether a check has sent its own request to Redis. A request that another check sends for
/// several charges nothing for the waiting ones.
#[derive(Default)]
pub(crate) struct Asked<'a> {
    is_sent: AtomicBool,
    hangs: Option<&'a AtomicBool>,
}

impl<'a> Asked<'a> {
    /// For a check that sends nothing while Redis is known not to reply, which `hangs` says.
    pub(crate) fn unless(hangs: &'a AtomicBool) -> Self {
        Self { is_sent: AtomicBool::new(false), hangs: Some(hangs) }
    }

    /// Records that a request is sent. Returns an error if Redis is known not to reply.
    pub(crate) fn begin(&self) -> Result<(), StoreError> {
        if self.hangs.is_some_and(|hangs| hangs.load(Ordering::Relaxed)) {
            return Err(no_answer());
        }
        self.is_sent.store(true, Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn is_sent(&self) -> bool {
        self.is_sent.load(Ordering::Relaxed)
    }
}

pub(crate) fn no_answer() -> StoreError {
    StoreError::new("Redis gives no answer").transient()
}
