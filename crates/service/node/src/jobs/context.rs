//! What a worker gives to its handlers.

use std::sync::Arc;

use tidegate_domain::files::Files;
use tidegate_domain::spool::Spool;
use tidegate_outgoing::webhook::Sender;
use tidegate_queue::Broker;
use tidegate_settings::Settings;
use tidegate_store::Store;

/// The dependencies of a worker's handlers.
#[derive(Clone, Copy)]
pub(crate) struct JobContext<'a> {
    /// The active settings.
    pub(crate) settings: &'a Settings,
    /// The tables.
    pub(crate) store: &'a Store,
    /// Exports, reports and backups.
    pub(crate) files: &'a Files,
    /// Uploads that wait for a job.
    pub(crate) spool: &'a Spool,
    /// The job broker.
    pub(crate) broker: &'a Arc<dyn Broker>,
    /// Posts to tenants' webhooks.
    pub(crate) webhooks: &'a Sender,
}
