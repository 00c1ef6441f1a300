//! The queues of the application: one row each, which says what it is for and which handlers it brings to a worker.

use std::time::Duration;

use tidegate_queue::{Backoff, Job, RetryPolicy, WorkerBuilder};

use super::analytics::{self, RollAnalytics};
use super::backup::{self, MakeBackup};
use super::email::{self, SendEmail};
use super::export::{self, ExportSchedules};
use super::import::{self, ImportSchedules};
use super::notification::{self, DeliverNotification, SendNotification};
use super::reindex;
use super::report::{self, MakeReport};
use super::schedule::{self, ExpandSchedules, RemindOfSchedule};
use crate::files::FileKind;
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
    /// How a job of it that failed is tried again.
    pub(super) retry: fn() -> RetryPolicy,
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
        retry: RetryPolicy::default,
        join: analytics::join,
    },
    AppQueue {
        name: MakeBackup::QUEUE,
        kinds: &[MakeBackup::KIND],
        concurrency: "queue.backup_concurrency",
        timeout: "backup.timeout",
        retry: for_a_day,
        join: backup::join,
    },
    AppQueue {
        name: SendEmail::QUEUE,
        kinds: &[SendEmail::KIND],
        concurrency: "queue.email_concurrency",
        timeout: "queue.email_timeout",
        retry: for_a_day,
        join: email::join,
    },
    AppQueue {
        name: ExportSchedules::QUEUE,
        kinds: &[ExportSchedules::KIND],
        concurrency: "queue.export_concurrency",
        timeout: "export.timeout",
        retry: for_a_day,
        join: export::join,
    },
    AppQueue {
        name: ImportSchedules::QUEUE,
        kinds: &[ImportSchedules::KIND],
        concurrency: "queue.import_concurrency",
        timeout: "import.timeout",
        retry: RetryPolicy::default,
        join: import::join,
    },
    AppQueue {
        name: SendNotification::QUEUE,
        kinds: &[SendNotification::KIND],
        concurrency: "queue.notification_concurrency",
        timeout: "queue.notification_timeout",
        retry: for_a_day,
        join: notification::join,
    },
    AppQueue {
        name: MakeReport::QUEUE,
        kinds: &[MakeReport::KIND],
        concurrency: "queue.report_concurrency",
        timeout: "report.timeout",
        retry: for_a_day,
        join: report::join,
    },
    AppQueue {
        name: ExpandSchedules::QUEUE,
        kinds: &[
            ExpandSchedules::KIND,
            RemindOfSchedule::KIND,
            reindex::KINDS[0],
            reindex::KINDS[1],
            reindex::KINDS[2],
        ],
        concurrency: "queue.schedule_concurrency",
        timeout: "queue.schedule_timeout",
        retry: RetryPolicy::default,
        join: schedule::join,
    },
    // What is posted for `notification` has a lane of its own: a receiver that is slow keeps no notice from being written.
    AppQueue {
        name: DeliverNotification::QUEUE,
        kinds: &[DeliverNotification::KIND],
        concurrency: "queue.webhook_concurrency",
        timeout: "queue.webhook_timeout",
        retry: for_a_day,
        join: notification::join_deliveries,
    },
];

/// Servers of others and places of files are away for hours, and greylists want a mail again after a quarter of one.
fn for_a_day() -> RetryPolicy {
    let (base, cap) = (Duration::from_secs(10), Duration::from_secs(2 * 3600));
    RetryPolicy::new(24, Backoff::Exponential { base, cap, jitter: 0.2 })
        .expect("the cap is above the base, the jitter a share")
}

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

/// The queue of the jobs that make files of that kind for tenants.
pub(crate) fn queue_of(files: FileKind) -> Option<&'static str> {
    match files {
        FileKind::Export => Some(ExportSchedules::QUEUE),
        FileKind::Report => Some(MakeReport::QUEUE),
        FileKind::Backup | FileKind::Upload => None,
    }
}

/// The kind of jobs that a queue is for, where a producer names none.
pub fn usual_kind(queue: &str) -> Option<&'static str> {
    ALL.iter().find(|known| known.name == queue).and_then(|known| known.kinds.first().copied())
}

#[cfg(test)]
mod tests {
    use tidegate_queue::FailedAttempt;

    use super::*;

    #[test]
    fn what_needs_others_is_tried_for_a_day() {
        for queue in ALL
            .iter()
            .filter(|queue| ["backup", "email", "export", "notification", "report", "webhook"].contains(&queue.name))
        {
            let policy = (queue.retry)();
            let delays = (1..).map_while(|attempt| policy.next(&FailedAttempt::new(attempt, "away")));
            let hours = delays.sum::<Duration>().as_secs() / 3600;
            assert!((22..30).contains(&hours), "{}: {hours} h", queue.name);
        }
    }

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
