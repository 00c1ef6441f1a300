//! Long reads that replicas don't let come to their end.
//!
//! A replica ends a read that holds up what it follows (`max_standby_streaming_delay`). Done again on another one it would most likely end
//! the same way, and so on for ever.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long such reads are made on the primary.
const REST: Duration = Duration::from_hours(1);

/// When a replica last did that.
#[derive(Debug, Default)]
pub(super) struct CutOff(Mutex<Option<Instant>>);

impl CutOff {
    /// Notes one. Answers whether it is the first in a while.
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
