//! The alerts of all processes of one database: one process sends them, and silences apply to all
//! processes.
//!
//! Each process writes its firing alerts to the database. The holder of a lease merges them,
//! records the notices that it will send in the same transaction, and sends them. A successor
//! continues from there, so each notice is sent at least once. It is sent again if its sender dies,
//! hangs or loses the database between the answer and the record of it. While the database is
//! unreachable, each process sends its own alerts.

mod lease;
mod merge;
mod own;
mod sightings;
pub(super) mod task;
mod view;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_perfmon::Silence;
use tidegate_store::{Store, StoreError};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::receivers::Receiver;
use view::View;

/// Timeout for releasing the lease when a process ends.
const FAREWELL: Duration = Duration::from_secs(2);

/// State that the dispatcher shares with the task that shares its alerts.
pub(super) struct Fleet {
    store: Store,
    receivers: Vec<Arc<Receiver>>,
    /// Wakes the task: an alert fires or has ended, or a notice was delivered.
    wake: Arc<Notify>,
    view: Mutex<View>,
    /// Locked while silences are read or written, so that neither undoes the other.
    silencing: tokio::sync::Mutex<()>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Fleet {
    /// `wake` wakes the task, which is also what the receivers do.
    pub(super) fn new(store: Store, receivers: Vec<Arc<Receiver>>, wake: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self {
            store,
            receivers,
            wake,
            view: Mutex::default(),
            silencing: tokio::sync::Mutex::default(),
            task: Mutex::default(),
        })
    }

    /// Starts the task, whose end [`ended`](Self::ended) awaits.
    pub(super) fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(tokio::spawn(task));
    }

    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    pub(super) fn receivers(&self) -> &[Arc<Receiver>] {
        &self.receivers
    }

    /// The last state of the fleet that this process has read.
    pub(super) fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a silence for all processes. `apply` also applies it to the dispatcher.
    pub(super) async fn silence<T>(&self, silence: &Silence, apply: impl FnOnce() -> T) -> Result<T, StoreError> {
        let _silencing = self.silencing.lock().await;
        self.store.put_alert_silence(silence).await?;
        self.wake();
        Ok(apply())
    }

    /// Ends a silence for all processes. Returns whether it existed.
    pub(super) async fn lift_silence(
        &self,
        rule: &str,
        subject: Option<&str>,
        apply: impl FnOnce(),
    ) -> Result<bool, StoreError> {
        let _silencing = self.silencing.lock().await;
        let was_there = self.store.lift_alert_silence(rule, subject).await?;
        apply();
        self.wake();
        Ok(was_there)
    }

    /// Waits until the task has ended, which is soon after its shutdown.
    pub(super) async fn ended(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // A task that panicked has ended too.
            let _ = tokio::time::timeout(FAREWELL * 2, task).await;
        }
    }
}

/// Whether a silence covers that rule and subject.
pub(super) fn is_silenced(silences: &[Silence]) -> impl Fn(&str, &str) -> bool {
    |rule, subject| {
        silences
            .iter()
            .any(|silence| silence.rule == rule && silence.subject.as_deref().is_none_or(|covered| covered == subject))
    }
}
