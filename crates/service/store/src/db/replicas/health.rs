//! Whether a replica may be read: how far it is, and whether it failed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::Error;
use tidegate_settings::DatabaseUrl;
use tokio::time::Instant;

use super::super::losses::LastLoss;
use super::cut_off::CutOff;

/// A replica that is this far behind is not read. Its known position expires after the same time.
pub(super) const BEHIND: Duration = Duration::from_secs(3);
/// How long a replica is not used after a failed read.
const REST: Duration = Duration::from_secs(10);

/// State of one replica.
#[derive(Debug)]
pub(in crate::db) struct ReplicaHealth {
    place: DatabaseUrl,
    losses: LastLoss,
    /// Shared by all replicas.
    cut_off: Arc<CutOff>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The replica has everything that was committed before this moment. `None` if that is unknown.
    has_all_before: Option<Instant>,
    failed: Option<Instant>,
    /// Whether its failure was logged, so that its return has to be logged too.
    is_told: bool,
}

impl ReplicaHealth {
    pub(super) fn new(place: DatabaseUrl, losses: LastLoss, cut_off: Arc<CutOff>) -> Self {
        Self { place, losses, cut_off, state: Mutex::default() }
    }

    /// Address, database and login.
    pub(super) fn place(&self) -> &DatabaseUrl {
        &self.place
    }

    /// A moment before which the replica has everything. `None` if it is too far behind or not used
    /// for now.
    pub(super) fn has_all_before(&self, now: Instant) -> Option<Instant> {
        let state = self.state();
        let is_resting = state.is_resting(now);
        state.has_all_before.filter(|before| !is_resting && now.saturating_duration_since(*before) < BEHIND)
    }

    /// Whether it is not used for now.
    pub(super) fn is_resting(&self, now: Instant) -> bool {
        self.state().is_resting(now)
    }

    /// Records that the replica cancelled a read-only transaction.
    pub(in crate::db) fn has_cut_off(&self) {
        if self.cut_off.note() {
            tracing::warn!(
                "the replica {} cut off an export, a report or a backup: for an hour all such are taken from the primary; \
                 raise its `max_standby_streaming_delay`, or set `hot_standby_feedback`",
                self.place
            );
        }
    }

    /// Records a failure: the replica is not used for a while.
    pub(in crate::db) fn failed(&self, error: &Error) {
        self.losses.note();
        let mut state = self.state();
        (state.failed, state.has_all_before) = (Some(Instant::now()), None);
        if !std::mem::replace(&mut state.is_told, true) {
            tracing::warn!(%error, "the replica {} is not read for now; the primary is read instead", self.place);
        }
    }

    /// Records that it has everything that was committed before this moment.
    pub(super) fn has_come_to(&self, before: Instant) {
        let mut state = self.state();
        state.has_all_before = Some(before);
        if !state.is_resting(Instant::now()) && std::mem::replace(&mut state.is_told, false) {
            tracing::info!("the replica {} is read again", self.place);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_resting(&self, now: Instant) -> bool {
        self.failed.is_some_and(|failed| now.saturating_duration_since(failed) < REST)
    }
}
