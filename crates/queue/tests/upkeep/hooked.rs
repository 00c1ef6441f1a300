//! A broker whose every step first does what a test wants.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tidegate_queue::{
    Ack, Broker, BrokerError, Change, CleanableState, Cursor, Document, Documents, EventCursor, EventPage, Fetch,
    GroupCounts, GroupId, Heartbeat, JobId, JobRecord, LeaseToken, LeasedJob, LogLine, MemoryBroker, Nack, NewJob,
    Page, Progress, Promoted, QueueCounts, QueueSettings, Reclaim, Reclaimed, Retention, Settled, State, Stored,
    Timestamp, Wake, WorkerId, WorkerInfo,
};

type Before = dyn Fn(&'static str) -> BoxFuture<'static, ()> + Send + Sync;

pub struct Hooked {
    broker: MemoryBroker,
    before: Box<Before>,
}

impl Hooked {
    /// `before` is told the name of the step.
    pub fn new(before: impl Fn(&'static str) -> BoxFuture<'static, ()> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { broker: MemoryBroker::new(), before: Box::new(before) })
    }
}

#[async_trait]
impl Documents for Hooked {
    async fn document(&self, collection: &str, name: &str) -> Result<Option<Document>, BrokerError> {
        self.broker.document(collection, name).await
    }

    async fn put_document(
        &self,
        collection: &str,
        name: &str,
        expected: Option<u64>,
        body: Option<String>,
    ) -> Result<bool, BrokerError> {
        self.broker.put_document(collection, name, expected, body).await
    }

    async fn documents(&self, collection: &str) -> Result<Vec<(String, Document)>, BrokerError> {
        self.broker.documents(collection).await
    }
}

macro_rules! passed_on {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl Broker for Hooked {
            $(async fn $name(&self, $($argument: $type),*) -> Result<$answer, BrokerError> {
                (self.before)(stringify!($name)).await;
                self.broker.$name($($argument),*).await
            })*
        }
    };
}

passed_on! {
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
    list(queue: &str, state: State, cursor: Option<Cursor>, limit: usize) -> Page;
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
    clean(queue: &str, state: CleanableState, older_than: Duration, limit: usize) -> usize;
    announce(worker: WorkerInfo) -> ();
    withdraw(worker: &WorkerId) -> ();
    workers() -> Vec<WorkerInfo>;
}
