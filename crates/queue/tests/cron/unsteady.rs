//! A broker that yields before and after every step, so that a test may run anything in between, or
//! drop the caller there. It fails on request, before or after a step.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tidegate_queue::{
    Ack, Broker, BrokerError, Change, CleanableState, Cursor, Document, Documents, EventCursor, EventPage, Fetch,
    GroupCounts, GroupId, Heartbeat, JobId, JobRecord, JobState, LeaseToken, LeasedJob, LogLine, Nack, NewJob, Page,
    Progress, Promoted, QueueCounts, QueueSettings, Reclaim, Reclaimed, Retention, Settled, Stored, Timestamp, Wake,
    WorkerId, WorkerInfo,
};

use crate::steps::each_step;

pub struct Unsteady {
    broker: Arc<dyn Broker>,
    dice: Mutex<StdRng>,
    /// How many steps of a thousand fail before, and how many after.
    failing: AtomicU32,
    /// Reads of a whole collection, and all other steps.
    pub reads: AtomicUsize,
    pub others: AtomicUsize,
    /// Number of yields before and after steps.
    pub moments: AtomicUsize,
}

impl Unsteady {
    pub fn new(broker: Arc<dyn Broker>, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            broker,
            dice: Mutex::new(StdRng::seed_from_u64(seed)),
            failing: AtomicU32::new(0),
            reads: AtomicUsize::new(0),
            others: AtomicUsize::new(0),
            moments: AtomicUsize::new(0),
        })
    }

    pub fn fail(&self, of_a_thousand: u32) {
        self.failing.store(of_a_thousand, Ordering::Relaxed);
    }

    async fn moment(&self) -> Result<(), BrokerError> {
        tokio::task::yield_now().await;
        self.moments.fetch_add(1, Ordering::Relaxed);
        if self.dice.lock().unwrap().random_range(0..1_000) < self.failing.load(Ordering::Relaxed) {
            let source = "as intended".into();
            return Err(BrokerError::Store { operation: "step", transient: true, may_have_run: true, source });
        }
        Ok(())
    }
}

#[async_trait]
impl Documents for Unsteady {
    async fn document(&self, collection: &str, name: &str) -> Result<Option<Document>, BrokerError> {
        self.others.fetch_add(1, Ordering::Relaxed);
        self.moment().await?;
        let answer = self.broker.document(collection, name).await?;
        self.moment().await?;
        Ok(answer)
    }

    async fn put_document(
        &self,
        collection: &str,
        name: &str,
        expected: Option<u64>,
        body: Option<String>,
    ) -> Result<bool, BrokerError> {
        self.others.fetch_add(1, Ordering::Relaxed);
        self.moment().await?;
        let answer = self.broker.put_document(collection, name, expected, body).await?;
        self.moment().await?;
        Ok(answer)
    }

    async fn documents(&self, collection: &str) -> Result<Vec<(String, Document)>, BrokerError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.moment().await?;
        let answer = self.broker.documents(collection).await?;
        self.moment().await?;
        Ok(answer)
    }
}

macro_rules! passed_on {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl Broker for Unsteady {
            $(async fn $name(&self, $($argument: $type),*) -> Result<$answer, BrokerError> {
                self.others.fetch_add(1, Ordering::Relaxed);
                self.moment().await?;
                let answer = self.broker.$name($($argument),*).await?;
                self.moment().await?;
                Ok(answer)
            })*
        }
    };
}

each_step!(passed_on);
