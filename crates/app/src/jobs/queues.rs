//! The queues of the application: one row each, which says what it is for and which handlers it brings to a worker.

use std::time::Duration;

use tidegate_queue::{Job, WorkerBuilder};

use super::analytics::{self, RollAnalytics};
use super::backup::{self, MakeBackup};
use super::export::{self, ExportSchedules};
use super::import::{self, ImportSchedules};
use crate::node::Node;

/// A queue of the application.
#[derive(Debug)]
pub struct AppQueue {
    /// Its name.
    pub name: &'static str,
    /// The kinds of its jobs, the usual one first.
    pub(super) kinds: &'static [&'static str],
    /// The setting of how many of its jobs one process runs at a time.
    pub(crate) concurrency: &'static str,
    /// The setting of how long one run may take.
    pub(crate) timeout: &'static str,
    /// Gives its handlers to a worker.
    pub(super) join: fn(WorkerBuilder, &Node) -> WorkerBuilder,
}

/// A queue as one process serves it.
#[derive(Debug, Clone, Copy)]
pub struct ServedQueue {
    /// Which.
    pub queue: &'static AppQueue,
    /// Jobs of it that the process runs at a time.
    pub concurrency: usize,
    /// How long one run may take.
    pub timeout: Duration,
}

/// Every queue, by name.
pub(crate) const ALL: &[AppQueue] = &[
    AppQueue {
        name: RollAnalytics::QUEUE,
        kinds: &[RollAnalytics::KIND],
        concurrency: "queue.analytics_concurrency",
        timeout: "queue.analytics_timeout",
        join: analytics::join,
    },
    AppQueue {
        name: MakeBackup::QUEUE,
        kinds: &[MakeBackup::KIND],
        concurrency: "queue.backup_concurrency",
        timeout: "backup.timeout",
        join: backup::join,
    },
    AppQueue {
        name: ExportSchedules::QUEUE,
        kinds: &[ExportSchedules::KIND],
        concurrency: "queue.export_concurrency",
        timeout: "export.timeout",
        join: export::join,
    },
    AppQueue {
        name: ImportSchedules::QUEUE,
        kinds: &[ImportSchedules::KIND],
        concurrency: "queue.import_concurrency",
        timeout: "import.timeout",
        join: import::join,
    },
];

/// Their names.
pub const QUEUES: &[&str] = &names();

const fn names() -> [&'static str; ALL.len()] {
    let mut names = [""; ALL.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = ALL[index].name;
        index += 1;
    }
    names
}

/// Whether a handler of this release knows the kind.
pub(crate) fn is_known(kind: &str) -> bool {
    ALL.iter().any(|queue| queue.kinds.contains(&kind))
}

/// The kind of jobs that a queue is for, where a producer names none.
pub fn usual_kind(queue: &str) -> Option<&'static str> {
    ALL.iter().find(|known| known.name == queue).and_then(|known| known.kinds.first().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_stand_in_order_and_no_kind_is_in_two() {
        assert!(QUEUES.is_sorted());
        let mut kinds: Vec<_> = ALL.iter().flat_map(|queue| queue.kinds).collect();
        let all = kinds.len();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds.len(), all);
        assert!(ALL.iter().all(|queue| usual_kind(queue.name).is_some_and(is_known)));
    }
}
