//! The jobs of the application: one file a queue, each with its job type and handler.

mod admission;
mod import;
#[cfg(test)]
mod import_tests;
#[cfg(test)]
pub(crate) mod test_ground;

use tidegate_queue::{Job, WorkerInfo};

pub use admission::{NotAdmitted, Ticket};
pub use import::ImportSchedules;
pub(crate) use import::{ImportHandler, Pace};

/// The queues that the application's workers serve.
pub const QUEUES: &[&str] = &["import"];

/// The kinds that handlers of this release know.
pub const KINDS: &[&str] = &[ImportSchedules::KIND];

/// Whether the worker takes jobs of that queue.
pub fn is_served_by(queue: &str, worker: &WorkerInfo) -> bool {
    worker.queues.iter().any(|served| served == queue)
}

/// The kind of jobs that a queue is for, where a producer names none.
pub fn usual_kind(queue: &str) -> Option<&'static str> {
    match queue {
        ImportSchedules::QUEUE => Some(ImportSchedules::KIND),
        _ => None,
    }
}
