//! The queues of the application: one row each, with its purpose and its settings.
//!
//! This module does not know the handlers. The crate with the handlers compares its own table with
//! this one.

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
    /// Retry policy of a failed job.
    pub retry: fn() -> RetryPolicy,
}

/// A queue with the settings of one process.
#[derive(Debug, Clone, Copy)]
pub struct ServedQueue {
    /// The queue.
    pub queue: &'static AppQueue,
    /// Maximum number of jobs that the process runs at a time.
    pub concurrency: usize,
    /// Timeout of one run.
    pub timeout: Duration,
}

/// Every queue, by name.
pub const ALL: &[AppQueue] = &[
    AppQueue { name: "analytics", kinds: &["analytics.roll"], retry: RetryPolicy::default },
    AppQueue { name: "backup", kinds: &["backup.make"], retry: for_a_day },
    AppQueue { name: "email", kinds: &["email.send"], retry: for_a_day },
    AppQueue { name: "export", kinds: &["schedules.export"], retry: for_a_day },
    AppQueue { name: "import", kinds: &["schedule.import"], retry: RetryPolicy::default },
    AppQueue { name: "notification", kinds: &["notification.send"], retry: for_a_day },
    AppQueue { name: "report", kinds: &["report.make"], retry: for_a_day },
    AppQueue {
        name: "schedule",
        kinds: &[
            "schedule.expand",
            "schedule.remind",
            "schedule.reindex",
            "schedule.reindex-page",
            "schedule.reindexed",
        ],
        retry: RetryPolicy::default,
    },
    // Posts for `notification` have a queue of their own, so that a slow receiver does not delay
    // other notices.
    AppQueue { name: "webhook", kinds: &["notification.deliver"], retry: for_a_day },
];

/// Other servers and file stores may be unavailable for hours. Greylisting asks for a mail again
/// after a quarter of an hour.
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

/// Whether this release has a handler for the kind.
pub fn is_known(kind: &str) -> bool {
    ALL.iter().any(|queue| queue.kinds.contains(&kind))
}

/// Returns the queue of the jobs that create files of that kind for tenants.
pub fn queue_of(files: FileKind) -> Option<&'static str> {
    match files {
        FileKind::Export => Some("export"),
        FileKind::Report => Some("report"),
        FileKind::Backup | FileKind::Upload => None,
    }
}

/// Returns the default kind of jobs in a queue, for producers that name none.
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
    fn jobs_that_depend_on_other_services_are_retried_for_a_day() {
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
