//! A queue as known to a process: its partitions, and the one to start with.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidegate_redis::{Client, Command, Error, Keyspace};

use super::RedisBroker;
use super::gather::Gather;
use super::keys::PartitionKeys;
use super::reply::failed;
use super::requests::Requests;
use crate::error::BrokerError;
use crate::id::JobId;
use crate::name::check_queue_name;

pub(super) struct Queue {
    pub(super) name: String,
    pub(super) partitions: Vec<Partition>,
    /// Whether the registry contains it, so that its number of partitions is final.
    registered: AtomicBool,
    /// Whether the registry has lost it, and may not contain it again yet.
    owed: AtomicBool,
    turn: AtomicUsize,
}

pub(super) struct Partition {
    pub(super) keys: PartitionKeys,
    pub(super) requests: Requests,
    pub(super) gather: Gather,
    /// For jobs with a unique key, an ordering key or a group. Separate, so that plain jobs don't
    /// wait for their slower step.
    pub(super) gather_linked: Gather,
}

impl Queue {
    fn new(keyspace: &Keyspace, name: &str, partitions: u16, registered: bool) -> Self {
        let partition = |nth| Partition {
            keys: PartitionKeys::new(keyspace, name, nth),
            requests: Requests::default(),
            gather: Gather::default(),
            gather_linked: Gather::default(),
        };
        Self {
            name: name.to_owned(),
            partitions: (0..partitions.max(1)).map(partition).collect(),
            registered: AtomicBool::new(registered),
            owed: AtomicBool::new(false),
            turn: AtomicUsize::new(0),
        }
    }

    pub(super) fn is_registered(&self) -> bool {
        self.registered.load(Ordering::Relaxed)
    }

    /// Registers the queue, unless it is registered. If that fails, the next operation that may
    /// create a queue tries again.
    pub(super) async fn register(&self, client: &Client, names: &str) -> Result<(), Error> {
        self.owed.store(true, Ordering::Relaxed);
        let enter = Command::new("HSETNX").key(names).arg(&self.name).arg(self.partitions.len());
        client.execute(enter.idempotent()).await?;
        self.owed.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// The partition of a job: FNV-1a of its id, or of the route at its end, mixed once more. The
    /// same in every process.
    pub(super) fn partition_of(&self, id: &JobId) -> usize {
        if self.partitions.len() == 1 {
            return 0;
        }
        let id = id.as_str();
        let hash = id
            .rsplit_once('~')
            .map_or(id, |(_, route)| route)
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        // Otherwise ids that differ in one digit would be distributed unevenly.
        let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        usize::try_from((hash ^ (hash >> 33)) % self.partitions.len() as u64).unwrap_or(0)
    }

    pub(super) fn keys_of(&self, id: &JobId) -> &PartitionKeys {
        &self.partitions[self.partition_of(id)].keys
    }

    /// Groups items by partition. Each keeps its position in `items`.
    pub(super) fn by_partition<T>(&self, items: Vec<T>, id: impl Fn(&T) -> &JobId) -> Vec<Vec<(usize, T)>> {
        let mut sorted: Vec<Vec<(usize, T)>> = self.partitions.iter().map(|_| Vec::new()).collect();
        for (position, item) in items.into_iter().enumerate() {
            let partition = self.partition_of(id(&item));
            sorted[partition].push((position, item));
        }
        sorted
    }

    /// All partitions, starting with a different one each time.
    pub(super) fn in_turn(&self) -> impl Iterator<Item = usize> + use<> {
        let count = self.partitions.len();
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        (0..count).map(move |step| (first.wrapping_add(step)) % count)
    }
}

/// The queues that this process has used.
#[derive(Default)]
pub(super) struct Queues(Mutex<HashMap<String, Arc<Queue>>>);

impl Queues {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Queue>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RedisBroker {
    /// Returns the queue, which need not exist. Reads the registry until it contains the queue, and
    /// caches the result from then on.
    pub(super) async fn queue(&self, name: &str) -> Result<Arc<Queue>, BrokerError> {
        let known = self.queues.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if let Some(queue) = known.as_ref().filter(|queue| queue.is_registered()) {
            return Ok(queue.clone());
        }
        if check_queue_name(name).is_err() {
            return Ok(Arc::new(Queue::new(&self.keyspace, name, 1, false)));
        }
        let ask = Command::new("HGET").key(&self.registry.names).arg(name).idempotent();
        let partitions = self.client.execute(ask).await.map_err(failed("find a queue"))?;
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
    use super::*;

    #[test]
    fn ids_spread_over_partitions_and_always_the_same_way() {
        let queue = Queue::new(&Keyspace::new("t").unwrap(), "q", 3, true);
        let mut counts = [0; 3];
        for n in 0..3_000 {
            counts[queue.partition_of(&JobId::new(format!("job-{n:06}")).unwrap())] += 1;
        }
        assert!(counts.iter().all(|count| (900..1_100).contains(count)), "{counts:?}");
        // Stored jobs are found by this function: it must never change.
        let of = |id| queue.partition_of(&JobId::new(id).unwrap());
        assert_eq!([of("a"), of("b"), of("c"), of("job-1")], [2, 1, 1, 2]);
        assert_eq!([of("x~a"), of("y~z~a"), of("x~b")], [2, 2, 1]);
    }

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

    #[test]
    fn every_partition_comes_first_in_its_turn() {
        let queue = Queue::new(&Keyspace::new("t").unwrap(), "q", 3, true);
        let firsts: Vec<_> = (0..4).map(|_| queue.in_turn().collect::<Vec<_>>()).collect();
        assert_eq!(firsts, [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]);
    }
}
