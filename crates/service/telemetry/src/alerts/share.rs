//! Shares the alerts of this process with the other processes of the database.

use std::sync::Arc;

use tidegate_outgoing::webhook::WebhookError;
use tidegate_perfmon::Registry;
use tidegate_settings::Settings;
use tidegate_store::Store;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::dispatcher::AlertDispatcher;
use super::fleet::Fleet;
use super::fleet::task::Task;
use super::receivers;

impl AlertDispatcher {
    /// Shares alerts and silences with the other processes of the database, and sends to the
    /// configured receivers, until `shutdown`. Only the first call has an effect.
    ///
    /// # Errors
    ///
    /// [`WebhookError`] if no client for a receiver can be created.
    pub(crate) fn share(
        self: &Arc<Self>,
        settings: &Settings,
        store: &Store,
        registry: &Registry,
        shutdown: CancellationToken,
    ) -> Result<(), WebhookError> {
        if self.fleet.get().is_none() {
            let wake = Arc::new(Notify::new());
            let receivers = receivers::start(settings, store.installation(), registry, &wake, &shutdown)?;
            let fleet = Fleet::new(store.clone(), receivers, wake);
            fleet.run(Task::new(Arc::clone(&fleet), Arc::clone(self)).run(shutdown));
            self.fleet.get_or_init(|| fleet);
        }
        Ok(())
    }

    /// Waits until the sharing of alerts has stopped, which is soon after the shutdown.
    pub async fn unshared(&self) {
        if let Some(fleet) = self.fleet.get() {
            fleet.ended().await;
        }
    }
}
