//! A broker that calls a function of the test before every step.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tidegate_queue::{
    Ack, Broker, BrokerError, Change, CleanableState, Cursor, Document, Documents, EventCursor, EventPage, Fetch,
    GroupCounts, GroupId, Heartbeat, JobId, JobRecord, JobState, LeaseToken, LeasedJob, LogLine, MemoryBroker, Nack,
    NewJob, Page, Progress, Promoted, QueueCounts, QueueSettings, Reclaim, Reclaimed, Retention, Settled, Stored,
    Timestamp, Wake, WorkerId, WorkerInfo,
};

use crate::steps::each_step;

type Before = dyn Fn(&'static str) -> BoxFuture<'static, ()> + Send + Sync;

pub struct Hooked {
    broker: MemoryBroker,
    before: Box<Before>,
}

impl Hooked {
    /// `before` gets the name of the step.
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

each_step!(passed_on);
