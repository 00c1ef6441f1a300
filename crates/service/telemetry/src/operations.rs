//! Operations of a node that are measured, apart from requests and cache lookups. Each has one
//! name, which is looked up once.

use std::sync::Arc;

use tidegate_perfmon::{Kind, OperationHandle, Registry};

/// Recorders of the node's operations. A record takes no lock and allocates nothing, unless it is
/// slow.
#[derive(Debug, Clone)]
pub struct Operations {
    /// All statements on the application's tables.
    pub(super) app_statements: Arc<OperationHandle>,
    /// Statements on the queue's tables. `None` if the queue is in Redis.
    pub(super) queue_statements: Option<Arc<OperationHandle>>,
    /// Changes of the application's tables, from the wait for the writer to the end of the commit.
    pub changes: Arc<OperationHandle>,
    /// Requests of `/metrics`, from the collection to the text.
    pub(super) metrics: Arc<OperationHandle>,
    /// Requests of `/api/performance`, with any parameters.
    pub performance: Arc<OperationHandle>,
}

impl Operations {
    pub(super) fn of(registry: &Registry, has_queue_tables: bool) -> Self {
        let handle = |kind, name| registry.operation_handle(kind, name);
        Self {
            app_statements: handle(Kind::Database, "app.statement"),
            queue_statements: has_queue_tables.then(|| handle(Kind::Database, "queue.statement")),
            changes: handle(Kind::Database, "app.change"),
            metrics: handle(Kind::Rendering, "metrics"),
            performance: handle(Kind::Rendering, "performance"),
        }
    }
}

/// Returns the recorder of alert deliveries to one kind of receiver.
pub(super) fn receiver(registry: &Registry, way: &str) -> Arc<OperationHandle> {
    registry.operation_handle(Kind::Api, way)
}

/// Returns the recorder of messages to the collector.
#[cfg(feature = "otlp")]
pub(crate) fn collector(registry: &Registry) -> Arc<OperationHandle> {
    registry.operation_handle(Kind::Api, "collector")
}

#[cfg(test)]
mod tests;
