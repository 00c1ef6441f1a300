//! Finds queues in the registry, and registers new ones.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tidegate_redis::Command;

use super::broker::RedisBroker;
use super::queue::Queue;
use super::reply::failed;
use crate::error::BrokerError;
use crate::name::check_queue_name;

impl RedisBroker {
    /// Returns the queue, which need not exist. Reads the registry until it contains the queue, and
    /// caches the result from then on.
    pub(super) async fn queue(&self, name: &str) -> Result<Arc<Queue>, BrokerError> {
        let known = self.queues.lock().get(name).cloned();
        if let Some(queue) = known.as_ref().filter(|queue| queue.is_registered()) {
            return Ok(queue.clone());
        }
        if check_queue_name(name).is_err() {
            return Ok(Arc::new(Queue::new(&self.keyspace, name, 1, false)));
        }
        let command = Command::new("HGET").key(&self.registry.names).arg(name).idempotent();
        let partitions = self.client.execute(command).await.map_err(failed("find a queue"))?;
        if partitions.is_nil() {
            // Any name may be read, so an unknown name is not cached.
            let unknown = || Arc::new(Queue::new(&self.keyspace, name, self.options.partitions, false));
            return Ok(known.unwrap_or_else(unknown));
        }
        let partitions = partitions.as_count().map_err(failed("find a queue"))?;
        Ok(self.remember(name, u16::try_from(partitions).unwrap_or(u16::MAX), true))
    }

    /// Returns the queue. Caches it even if the registry does not contain it, because of its open
    /// requests.
    pub(super) async fn queue_to_lease(&self, name: &str) -> Result<Arc<Queue>, BrokerError> {
        let queue = self.queue(name).await?;
        if queue.is_registered() || check_queue_name(name).is_err() {
            return Ok(queue);
        }
        Ok(self.remember(name, self.options.partitions, false))
    }

    /// Returns the queue, after registering it if necessary.
    pub(super) async fn queue_or_make(&self, name: &str) -> Result<Arc<Queue>, BrokerError> {
        check_queue_name(name)?;
        let queue = self.queue(name).await?;
        if queue.is_registered() && !queue.owed.load(Ordering::Relaxed) {
            return Ok(queue);
        }
        self.register(&queue).await?;
        self.queue(name).await
    }

    /// Registers a queue, unless it is registered.
    pub(super) async fn register(&self, queue: &Queue) -> Result<(), BrokerError> {
        queue.register(&self.client, &self.registry.names).await.map_err(failed("register a queue"))
    }

    /// Caches a queue. If the number of partitions is the same, its open requests are kept.
    fn remember(&self, name: &str, partitions: u16, registered: bool) -> Arc<Queue> {
        let mut queues = self.queues.lock();
        match queues.get(name) {
            Some(queue) if queue.partitions.len() == usize::from(partitions.max(1)) => {
                queue.registered.fetch_or(registered, Ordering::Relaxed);
                queue.clone()
            }
            _ => {
                let queue = Arc::new(Queue::new(&self.keyspace, name, partitions, registered));
                queues.insert(name.to_owned(), queue.clone());
                queue
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_redis::Keyspace;

    use super::*;
    use crate::id::JobId;

    #[tokio::test]
    async fn names_that_are_only_read_are_not_kept() {
        use crate::broker::redis::RedisOptions;
        use crate::broker::{Broker, Fetch};
        use tidegate_redis::{BlockingPool, Client, Config, Role};

        let server = tidegate_testkit::redis::RedisServer::start().await;
        let config = Config::parse(&server.url()).unwrap();
        let client = Client::connect(&config, Role::Durable).await.unwrap();
        let pool = BlockingPool::new(&config, Role::Durable, 1);
        let broker = RedisBroker::connect(client, pool, Keyspace::new("t").unwrap(), RedisOptions::new());
        let id = JobId::new("a").unwrap();
        for nth in 0..50 {
            let name = format!("q{nth}");
            assert_eq!(broker.counts(&name).await.unwrap(), Default::default());
            assert!(broker.job(&name, &id).await.unwrap().is_none());
            assert_eq!(broker.promote(&name, 1).await.unwrap().moved, 0);
        }
        assert!(broker.queues.lock().is_empty());
        let fetch =
            Fetch { worker: crate::id::WorkerId::generate(), max: 1, lease: std::time::Duration::from_secs(30) };
        for name in ["fetched", "not a name!"] {
            broker.ack_and_fetch(name, Vec::new(), fetch.clone()).await.unwrap();
        }
        broker.pause("made").await.unwrap();
        broker.counts("made").await.unwrap();
        let mut kept: Vec<_> = broker.queues.lock().keys().cloned().collect();
        kept.sort();
        assert_eq!(kept, ["fetched", "made"]);
    }
}
