//! The queues of the application: one row each, which says what it is for and how it is run.
//!
//! The handlers are not known here: the crate that has them holds its own table to this one.

use std::time::Duration;

use tidegate_queue::{Backoff, RetryPolicy, Timestamp, WorkerInfo};

use crate::file::FileKind;

/// A queue of the application.
#[derive(Debug)]
pub struct AppQueue {
    /// Its name.
    pub name: &'static str,
    /// The kinds of its jobs, the usual one first.
    pub kinds: &'static [&'static str],
    /// The setting of how many of its jobs one process runs at a time.
    pub concurrency: &'static str,
    /// The setting of how long one run may take.
    pub timeout: &'static str,
    /// How a job of it that failed is tried again.
    pub retry: fn() -> RetryPolicy,
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
pub const ALL: &[AppQueue] = &[
    AppQueue {
        name: "analytics",
        kinds: &["analytics.roll"],
        concurrency: "queue.analytics_concurrency",
        timeout: "queue.analytics_timeout",
        retry: RetryPolicy::default,
    },
    AppQueue {
        name: "backup",
        kinds: &["backup.make"],
        concurrency: "queue.backup_concurrency",
        timeout: "backup.timeout",
        retry: for_a_day,
    },
    AppQueue {
        name: "email",
        kinds: &["email.send"],
        concurrency: "queue.email_concurrency",
        timeout: "queue.email_timeout",
        retry: for_a_day,
    },
    AppQueue {
        name: "export",
        kinds: &["schedules.export"],
        concurrency: "queue.export_concurrency",
        timeout: "export.timeout",
        retry: for_a_day,
    },
    AppQueue {
        name: "import",
        kinds: &["schedule.import"],
        concurrency: "queue.import_concurrency",
        timeout: "import.timeout",
        retry: RetryPolicy::default,
    },
    AppQueue {
        name: "notification",
        kinds: &["notification.send"],
        concurrency: "queue.notification_concurrency",
        timeout: "queue.notification_timeout",
        retry: for_a_day,
    },
    AppQueue {
        name: "report",
        kinds: &["report.make"],
        concurrency: "queue.report_concurrency",
        timeout: "report.timeout",
        retry: for_a_day,
    },
    AppQueue {
        name: "schedule",
        kinds: &[
            "schedule.expand",
            "schedule.remind",
            "schedule.reindex",
            "schedule.reindex-page",
            "schedule.reindexed",
        ],
        concurrency: "queue.schedule_concurrency",
        timeout: "queue.schedule_timeout",
        retry: RetryPolicy::default,
    },
    // What is posted for `notification` has a lane of its own: a receiver that is slow keeps no notice from being written.
    AppQueue {
        name: "webhook",
        kinds: &["notification.deliver"],
        concurrency: "queue.webhook_concurrency",
        timeout: "queue.webhook_timeout",
        retry: for_a_day,
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
pub fn is_known(kind: &str) -> bool {
    ALL.iter().any(|queue| queue.kinds.contains(&kind))
}

/// The queue of the jobs that make files of that kind for tenants.
pub fn queue_of(files: FileKind) -> Option<&'static str> {
    match files {
        FileKind::Export => Some("export"),
        FileKind::Report => Some("report"),
        FileKind::Backup | FileKind::Upload => None,
    }
}

/// The kind of jobs that a queue is for, where a producer names none.
pub fn usual_kind(queue: &str) -> Option<&'static str> {
    ALL.iter().find(|known| known.name == queue).and_then(|known| known.kinds.first().copied())
}

/// Whether the worker serves the queue and is not lost at `now`, by the broker's clock.
pub fn is_served_by(queue: &str, worker: &WorkerInfo, now: Timestamp) -> bool {
    !worker.is_lost(now) && worker.queues.iter().any(|served| served == queue)
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
