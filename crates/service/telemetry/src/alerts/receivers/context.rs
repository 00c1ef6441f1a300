//! The part of a message that is the same for every alert.

use std::sync::Arc;

/// The part of a message that is the same for every alert.
#[derive(Debug, Clone)]
pub(super) struct Context {
    /// Id of the installation.
    pub(super) installation: Arc<str>,
    /// URL of the dashboard.
    pub(super) dashboard: Option<Arc<str>>,
}
