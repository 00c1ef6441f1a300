//! A warm-up in progress, as its starter sees it.

use std::time::Duration;

use tokio::sync::watch;

/// Whether a warm-up is still running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WarmUpState {
    /// Keys are left.
    Running,
    /// Every key was processed.
    Done,
    /// It was cancelled, or its runtime was shut down, with keys left.
    Cancelled,
}

/// Progress of a warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WarmUpProgress {
    /// Whether it is still running.
    pub state: WarmUpState,
    /// Keys in all.
    pub total: usize,
    /// Keys that a loader loaded.
    pub loaded: usize,
    /// Keys that a tier held already, or that another caller loaded.
    pub present: usize,
    /// Keys whose loader failed. The next reader loads them.
    pub failed: usize,
    /// Keys whose class has no loader.
    pub unknown: usize,
    /// Time since its start.
    pub elapsed: Duration,
}

impl WarmUpProgress {
    pub(super) fn new(total: usize) -> Self {
        let state = WarmUpState::Running;
        Self { state, total, loaded: 0, present: 0, failed: 0, unknown: 0, elapsed: Duration::ZERO }
    }

    /// Returns the number of processed keys.
    pub fn done(&self) -> usize {
        self.loaded + self.present + self.failed + self.unknown
    }
}

/// A warm-up that was started; clones are the same one. Dropping all of them does not stop it.
#[derive(Debug, Clone)]
pub struct WarmUpHandle {
    pub(super) progress: watch::Receiver<WarmUpProgress>,
    pub(super) cancel: watch::Sender<bool>,
}

impl WarmUpHandle {
    /// Returns its progress.
    pub fn progress(&self) -> WarmUpProgress {
        let mut seen = *self.progress.borrow();
        // A runtime that was shut down has dropped its task, which could not report that.
        if seen.state == WarmUpState::Running && self.progress.has_changed().is_err() {
            seen.state = WarmUpState::Cancelled;
        }
        seen
    }

    /// Returns a receiver that is notified of every key.
    pub fn follow(&self) -> watch::Receiver<WarmUpProgress> {
        self.progress.clone()
    }

    /// Stops it: no further key is started. Loads in progress complete, and fill the cache.
    pub fn cancel(&self) {
        self.cancel.send_replace(true);
    }

    /// Waits for the end, and returns the result. May be dropped without consequence.
    pub async fn wait(&self) -> WarmUpProgress {
        let mut progress = self.progress.clone();
        // An error means that its task is gone, which `progress` reports.
        let _ = progress.wait_for(|seen| seen.state != WarmUpState::Running).await;
        self.progress()
    }
}
