//! Remembers that a replica cancelled a long read.
//!
//! A replica cancels a read that blocks its replication for too long
//! (`max_standby_streaming_delay`). A retry on another replica would most likely end the same way,
//! again and again.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long such reads use the primary after a cancellation.
const REST: Duration = Duration::from_hours(1);

/// When a replica last cancelled a read.
#[derive(Debug, Default)]
pub(super) struct CutOff(Mutex<Option<Instant>>);

impl CutOff {
    /// Records a cancellation. Returns whether it is the first within `REST`.
    pub(super) fn note(&self) -> bool {
        let is_first = !self.was_lately();
        *self.last() = Some(Instant::now());
        is_first
    }

    pub(super) fn was_lately(&self) -> bool {
        self.last().is_some_and(|last| last.elapsed() < REST)
    }

    fn last(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_remembered_for_an_hour() {
        let cut_off = CutOff::default();
        assert!(!cut_off.was_lately());
        assert!(cut_off.note() && !cut_off.note() && cut_off.was_lately());
        tokio::time::advance(REST).await;
        assert!(!cut_off.was_lately() && cut_off.note());
    }
}
