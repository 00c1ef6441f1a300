//! The steps of a broker, listed once for all tests that wrap each of them.

/// Passes all steps, except those of [`Documents`](tidegate_queue::Documents), to the named macro.
/// The types of their signatures must be in scope there.
macro_rules! each_step {
    ($macro:ident) => {
        $macro! {
            now() -> Timestamp;
            enqueue(queue: &str, jobs: Vec<NewJob>) -> Vec<Stored>;
            ack_and_fetch(queue: &str, acks: Vec<Ack>, fetch: Fetch) -> (Vec<Settled>, Vec<LeasedJob>);
            nack(queue: &str, nacks: Vec<Nack>) -> Vec<Settled>;
            heartbeat(queue: &str, tokens: Vec<LeaseToken>, lease: Duration) -> Heartbeat;
            progress(queue: &str, token: &LeaseToken, progress: Progress) -> bool;
            checkpoint(queue: &str, token: &LeaseToken, checkpoint: String) -> bool;
            log(queue: &str, token: &LeaseToken, lines: Vec<String>) -> bool;
            promote(queue: &str, limit: usize) -> Promoted;
            reclaim(queue: &str, request: Reclaim) -> Reclaimed;
            prune(queue: &str, retention: Retention, limit: usize) -> usize;
            wait(queues: &[String], timeout: Duration) -> Wake;
            job(queue: &str, id: &JobId) -> Option<JobRecord>;
            logs(queue: &str, id: &JobId) -> Vec<LogLine>;
            list(queue: &str, state: JobState, cursor: Option<Cursor>, limit: usize) -> Page;
            counts(queue: &str) -> QueueCounts;
            queues() -> Vec<String>;
            pause(queue: &str) -> ();
            resume(queue: &str) -> ();
            configure(queue: &str, settings: QueueSettings) -> ();
            settings(queue: &str) -> QueueSettings;
            events(queue: &str, after: Option<EventCursor>, limit: usize) -> EventPage;
            group(queue: &str, group: &GroupId) -> Option<GroupCounts>;
            forget_group(queue: &str, group: &GroupId) -> ();
            drain(queue: &str, limit: usize) -> usize;
            retry_dead(queue: &str, limit: usize) -> usize;
            cancel(queue: &str, id: &JobId) -> Change;
            retry(queue: &str, id: &JobId) -> Change;
            remove(queue: &str, ids: &[JobId]) -> Vec<Change>;
            clean(queue: &str, state: CleanableState, older_than: Duration, limit: usize) -> usize;
            announce(worker: WorkerInfo) -> ();
            withdraw(worker: &WorkerId) -> ();
            workers() -> Vec<WorkerInfo>;
        }
    };
}

pub(crate) use each_step;
