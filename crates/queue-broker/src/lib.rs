//! The brokers of [tidegate-queue]: stores of jobs, in memory, in SQLite, and on Redis or Valkey.
//!
//! Services use `tidegate-queue`, which has all of this under the same names. This crate is for
//! code that needs a store and no worker: another broker, or a tool that reads queues.
//!
//! ```
//! use std::time::Duration;
//! use tidegate_queue_broker::{Broker, EnqueueOptions, Fetch, MemoryBroker, NewJob, WorkerId};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = MemoryBroker::new();
//! let payload = serde_json::json!({"name": "Ada"});
//! let job = NewJob::new("greet", &payload, EnqueueOptions::new(), 1024)?;
//! broker.enqueue("email", vec![job]).await?;
//!
//! let lease = Duration::from_secs(30);
//! let fetch = Fetch { worker: WorkerId::generate(), max: 10, lease };
//! let (_, leased) = broker.ack_and_fetch("email", vec![], fetch).await?;
//! assert_eq!(leased[0].kind, "greet");
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```
//!
//! | feature | adds |
//! |---|---|
//! | `sqlite` | `SqliteBroker`: durable, shared by the processes of one machine |
//! | `redis` | `RedisBroker`: shared by many machines |
//!
//! [`Broker`] is the trait of a store: each method is one atomic step. [`NewJob`] is what goes in,
//! [`LeasedJob`] and [`JobRecord`] are what comes out. A broker of your own implements [`Broker`]
//! and [`Documents`]; the three here pass one conformance suite, `tests/conformance` of
//! `tidegate-queue`. [What they guarantee, and what they do not][guarantees], is a page of its own.
//!
//! The module `internal` is for `tidegate-queue` alone, and may change in any release.
//!
//! [tidegate-queue]: https://docs.rs/tidegate-queue
//! [guarantees]: https://github.com/tidegate/tidegate/blob/main/docs/guarantees/queue.md

mod broker;
mod error;
mod id;
mod job;
mod lease;
mod name;
mod options;
mod record;
mod state;
mod timestamp;
mod unique;

#[doc(hidden)]
pub mod internal {
    pub use crate::broker::admission::{COMPLETED, OPEN};
    pub use crate::name::check;
    pub use crate::record::{TEXT_LIMIT, shortened};
}

#[cfg(feature = "redis")]
pub use broker::redis::{NotDurable, RedisBroker, RedisDurability, RedisOptions};
#[cfg(feature = "sqlite")]
pub use broker::sqlite::{Durability, OpenError, OpenFile, SqliteBroker, SqliteOptions};
pub use broker::{
    Broker, Change, CleanableState, Cursor, CursorError, Document, Documents, EventCursor, EventPage, Fetch,
    GroupCounts, JobEvent, JobEventKind, MemoryBroker, NewJob, Page, Promoted, QueueCounts, QueueOverview,
    QueueSettings, Rate, RateError, Reclaim, Reclaimed, Retention, Stored, Wake, WorkerInfo,
};
pub use error::{BrokerError, EnqueueError, GroupRefusal};
pub use id::{GroupId, IdError, JobId, WorkerId};
pub use job::{Job, UpcastError};
pub use lease::{Ack, Heartbeat, LeaseToken, LeasedJob, Nack, NackAction, Settled, TokenError};
pub use name::{NameError, check_kind, check_queue_name};
pub use options::EnqueueOptions;
pub use record::{Attempt, JobRecord, LogLine, Progress};
pub use state::{JobState, JobStateError, Priority, PriorityError};
pub use timestamp::Timestamp;
pub use unique::Unique;
