//! The shared state of the processes of a test: a directory with their records, and a broker.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate_queue::{Broker, QueueCounts};
use tidegate_testkit::{Scratch, poll_until};

use crate::child::QUEUE;

/// Time limit for an event on a busy machine.
pub const LONG: Duration = Duration::from_secs(60);

/// The shared state of the processes of a test.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoreLocation {
    pub directory: PathBuf,
    /// URL of Redis. `None` if the broker is a file in the directory.
    url: Option<String>,
}

impl StoreLocation {
    #[cfg(feature = "sqlite")]
    pub fn sqlite(scratch: &Scratch) -> Self {
        Self { directory: scratch.path().to_owned(), url: None }
    }

    #[cfg(feature = "redis")]
    pub fn redis(scratch: &Scratch, url: String) -> Self {
        Self { directory: scratch.path().to_owned(), url: Some(url) }
    }

    /// Connects. Repeats it while the server is unreachable.
    pub async fn broker(&self) -> Arc<dyn Broker> {
        poll_until(LONG, async || self.connect().await).await.unwrap()
    }

    async fn connect(&self) -> Option<Arc<dyn Broker>> {
        match &self.url {
            #[cfg(feature = "redis")]
            Some(url) => {
                let config = tidegate_redis::Config::parse(url).unwrap();
                let role = tidegate_redis::Role::Durable;
                let client = tidegate_redis::Client::connect(&config, role).await.ok()?;
                let pool = tidegate_redis::BlockingPool::new(&config, role, 4);
                let keyspace = tidegate_redis::Keyspace::new("test").unwrap();
                let options = tidegate_queue::RedisOptions::new();
                Some(Arc::new(tidegate_queue::RedisBroker::connect(client, pool, keyspace, options)))
            }
            #[cfg(feature = "sqlite")]
            None => {
                let (path, options) = (self.directory.join("queue.db"), tidegate_queue::SqliteOptions::new());
                Some(Arc::new(tidegate_queue::SqliteBroker::open(path, options).await.ok()?))
            }
            #[allow(unreachable_patterns, reason = "depends on what is built")]
            _ => unreachable!("no test without its broker is built"),
        }
    }
}

/// Polls the counts of the queue until they satisfy `wanted`. Repeats the read while the broker is
/// unreachable.
pub async fn until(broker: &dyn Broker, deadline: Duration, wanted: impl Fn(&QueueCounts) -> bool) -> QueueCounts {
    let counts = async || broker.counts(QUEUE).await.ok().filter(&wanted);
    poll_until(deadline, counts).await.unwrap()
}
