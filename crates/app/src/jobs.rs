//! The jobs of the application: one file a queue, each with its job type and handler.

mod import;

use tidegate_queue::WorkerInfo;

pub use import::{ImportHandler, ImportSchedules, Pace};

/// The queues that the application's workers serve.
pub const QUEUES: &[&str] = &["import"];

/// Whether the worker takes jobs of that queue.
pub fn is_served_by(queue: &str, worker: &WorkerInfo) -> bool {
    worker.queues.iter().any(|served| served == queue)
}
