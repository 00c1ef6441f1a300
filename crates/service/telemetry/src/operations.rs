//! What a node measures of its own work beside requests and lookups in the cache: each under one name, looked up once.

use std::sync::Arc;

use tidegate_perfmon::{Kind, OperationHandle, Registry};

/// The recorders of a node's own work. A record takes no lock and allocates nothing, unless it is slow.
#[derive(Debug, Clone)]
pub struct Operations {
    /// Statements to the application's tables, however they came to be run.
    pub(super) app_statements: Arc<OperationHandle>,
    /// Statements to the queue's; none where that is Redis.
    pub(super) queue_statements: Option<Arc<OperationHandle>>,
    /// Changes of the application's tables, from the wait for the writer's place to the end of the commit.
    pub changes: Arc<OperationHandle>,
    /// `/metrics`, from the figures to the text.
    pub(super) metrics: Arc<OperationHandle>,
    /// `/api/performance`, whatever is asked of it.
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

/// The deliveries of alerts to one kind of receiver.
pub(super) fn receiver(registry: &Registry, way: &str) -> Arc<OperationHandle> {
    registry.operation_handle(Kind::Api, way)
}

/// What is sent to the collector, for whoever has one.
#[cfg(feature = "otlp")]
pub(crate) fn collector(registry: &Registry) -> Arc<OperationHandle> {
    registry.operation_handle(Kind::Api, "collector")
}

#[cfg(test)]
mod tests;
