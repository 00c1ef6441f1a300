//! The handlers of each queue, by its name in [`tidegate_model::queues`].

use tidegate_queue::WorkerBuilder;

use super::{JobContext, analytics, backup, email, export, import, notification, report, schedule};

type Join = fn(WorkerBuilder, &JobContext<'_>) -> WorkerBuilder;

/// Adds the handlers of a queue to a worker, in the order of the table of queues.
const HANDLERS: &[(&str, Join)] = &[
    ("analytics", analytics::join),
    ("backup", backup::join),
    ("email", email::join),
    ("export", export::join),
    ("import", import::join),
    ("notification", notification::join),
    ("report", report::join),
    ("schedule", schedule::join),
    // Posts of `notification` have a separate queue: a slow receiver must not delay the publication
    // of notifications.
    ("webhook", notification::join_deliveries),
];

/// Adds the handlers of that queue to the worker.
pub(super) fn join(queue: &str, worker: WorkerBuilder, context: &JobContext<'_>) -> WorkerBuilder {
    let handlers = HANDLERS.iter().find(|(name, _)| *name == queue);
    let (_, join) = handlers.expect("a test holds this table to that of the queues");
    join(worker, context)
}

#[cfg(test)]
mod tests {
    use tidegate_model::queues::ALL;
    use tidegate_queue::Job;

    use super::*;
    use crate::jobs::analytics::RollAnalytics;
    use crate::jobs::backup::MakeBackup;
    use crate::jobs::email::SendEmail;
    use crate::jobs::export::ExportSchedules;
    use crate::jobs::import::ImportSchedules;
    use crate::jobs::notification::{DeliverNotification, SendNotification};
    use crate::jobs::reindex;
    use crate::jobs::report::MakeReport;
    use crate::jobs::schedule::{ExpandSchedules, RemindOfSchedule};

    #[test]
    fn each_queue_has_its_handlers() {
        let names: Vec<_> = HANDLERS.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, tidegate_model::queues::QUEUES);
    }

    #[test]
    fn the_table_names_every_job_as_it_names_itself() {
        fn of<J: Job>() -> (&'static str, &'static str) {
            (J::QUEUE, J::KIND)
        }
        let mut jobs = vec![
            of::<RollAnalytics>(),
            of::<MakeBackup>(),
            of::<SendEmail>(),
            of::<ExportSchedules>(),
            of::<ImportSchedules>(),
            of::<SendNotification>(),
            of::<MakeReport>(),
            of::<ExpandSchedules>(),
            of::<RemindOfSchedule>(),
        ];
        jobs.extend(reindex::KINDS.map(|kind| ("schedule", kind)));
        jobs.push(of::<DeliverNotification>());
        let table: Vec<_> = ALL.iter().flat_map(|queue| queue.kinds.iter().map(|kind| (queue.name, *kind))).collect();
        assert_eq!(table, jobs);
    }
}
