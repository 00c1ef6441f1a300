//! A queue as known to a process: its partitions, and the one to start with.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidegate_redis::{Client, Command, Error, Keyspace};

use super::gather::Gather;
use super::keys::PartitionKeys;
use super::requests::Requests;
use crate::id::JobId;

pub(super) struct Queue {
    pub(super) name: String,
    pub(super) partitions: Vec<Partition>,
    /// Whether the registry contains it, so that its number of partitions is final.
    pub(super) registered: AtomicBool,
    /// Whether the registry has lost it, and may not contain it again yet.
    pub(super) owed: AtomicBool,
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
    pub(super) fn new(keyspace: &Keyspace, name: &str, partitions: u16, registered: bool) -> Self {
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
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Queue>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

    #[test]
    fn every_partition_comes_first_in_its_turn() {
        let queue = Queue::new(&Keyspace::new("t").unwrap(), "q", 3, true);
        let firsts: Vec<_> = (0..4).map(|_| queue.in_turn().collect::<Vec<_>>()).collect();
        assert_eq!(firsts, [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]);
    }
}
