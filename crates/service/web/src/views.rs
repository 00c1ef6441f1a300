//! Views of schedules: counted in memory, added to the tables a moment later.
//!
//! A read only adds one to a number in memory, in a shard that few other threads use. Once a second
//! the numbers go into the write-behind of the cache, on Redis where there is one, which adds them
//! to the day of each tenant in one transaction.

use std::collections::HashMap;
use std::io;
use std::mem;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::NaiveDate;
use futures_util::stream::{self, StreamExt};
use tidegate_base::clock;
use tidegate_cache::{IncrementBatch, IncrementSink, Increments, WriteBehindOptions};
use tidegate_model::cache_keys::{self, Named};
use tidegate_model::tenant::TenantId;
use tidegate_node::node::Node;
use tidegate_store::{Store, StoreError, Views as DayViews};
use tokio_util::sync::CancellationToken;

/// Pause between two writes of one process.
const PERIOD: Duration = Duration::from_secs(1);
/// Maximum number of tenants and days in one transaction.
const BATCH: usize = 1_000;
/// Maximum number of tenants that are handed over at a time.
const AT_ONCE: usize = 64;
/// Time that a shutdown waits for the views to be handed over and written.
const LAST_WRITE: Duration = Duration::from_secs(2);

/// Number of shards of the counts. Each thread counts in one of them.
const SHARDS: usize = 16;

/// Threads that have counted so far.
static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The shard in which this thread counts.
    static SHARD: usize = THREADS.fetch_add(1, Ordering::Relaxed) % SHARDS;
}

/// Counts of some threads, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(Mutex<HashMap<TenantId, i64>>);

impl Shard {
    fn counts(&self) -> MutexGuard<'_, HashMap<TenantId, i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, tenant: &TenantId, by: i64) {
        let mut counts = self.counts();
        match counts.get_mut(tenant) {
            Some(count) => *count += by,
            None => drop(counts.insert(tenant.clone(), by)),
        }
    }
}

/// The counts of views that were not handed over yet.
#[derive(Debug, Default)]
struct Counts(Box<[Shard; SHARDS]>);

impl Counts {
    fn add(&self, tenant: &TenantId, by: i64) {
        let shard = SHARD.with(|shard| *shard);
        self.0[shard].add(tenant, by);
    }

    /// The counts of all threads, which begin at zero again.
    fn take(&self) -> HashMap<TenantId, i64> {
        let mut all: HashMap<TenantId, i64> = HashMap::new();
        for shard in &*self.0 {
            let counted = mem::take(&mut *shard.counts());
            for (tenant, count) in counted {
                *all.entry(tenant).or_default() += count;
            }
        }
        all
    }
}

/// Counts views of schedules in the memory, and adds them to the store from time to time.
#[derive(Debug)]
pub struct Views {
    counts: Counts,
    /// Views that are being handed over.
    in_transit: AtomicI64,
    increments: Increments,
}

impl Views {
    /// Counts for the tables of `node`.
    ///
    /// # Errors
    ///
    /// When its Redis may evict what waits there.
    pub fn start(node: &Node) -> io::Result<Self> {
        let (sink, options) = (Sink(node.store.clone()), WriteBehindOptions::new("views").every(PERIOD).count(BATCH));
        let increments = match node.redis() {
            Some(redis) => {
                let keyspace = redis.keyspace().within(node.store.installation());
                Increments::on_redis(sink, redis.queue(), &keyspace, options).map_err(io::Error::other)?
            }
            None => Increments::in_memory(sink, options),
        };
        Ok(Self { counts: Counts::default(), in_transit: AtomicI64::new(0), increments })
    }

    /// Counts one view.
    pub fn count(&self, tenant: &TenantId) {
        self.counts.add(tenant, 1);
    }

    /// Hands over what was counted, every second until `stop`, and then a last time. Ends at most
    /// `LAST_WRITE` after `stop`, even if views are being handed over then.
    pub async fn keep(&self, stop: CancellationToken) {
        let written = async {
            while stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_some() {
                self.hand_over().await;
            }
            self.hand_over().await;
            self.increments.shut_down(LAST_WRITE).await
        };
        let too_late = async {
            stop.cancelled().await;
            tokio::time::sleep(LAST_WRITE).await;
        };
        tokio::select! {
            biased;
            written = written => if let Err(error) = written {
                tracing::warn!(%error, "views of schedules could not be written before the process ended");
            },
            () = too_late => {
                tracing::warn!("views of schedules could not be written before the process ended");
            }
        }
        let lost = self.in_transit.load(Ordering::Relaxed) + self.counts.take().values().sum::<i64>();
        if lost > 0 {
            tracing::warn!(views = lost, "views of schedules may be lost: they were not handed over in time");
        }
    }

    /// A view of the last second before midnight may count for the next day.
    async fn hand_over(&self) {
        let day = clock::now().date_naive();
        let counted = self.counts.take();
        self.in_transit.fetch_add(counted.values().sum(), Ordering::Relaxed);
        stream::iter(counted)
            .for_each_concurrent(AT_ONCE, |(tenant, count)| self.hand_over_of(tenant, day, count))
            .await;
    }

    async fn hand_over_of(&self, tenant: TenantId, day: NaiveDate, count: i64) {
        match self.increments.add(&cache_keys::views(&tenant, day), count).await {
            Ok(()) => {}
            // Adding it again could count it twice.
            Err(error) if error.may_have_run() => {
                tracing::debug!(%error, %tenant, count, "views of schedules may be lost");
            }
            Err(error) => {
                tracing::debug!(%error, %tenant, count, "views of schedules wait for the next second");
                self.counts.add(&tenant, count);
            }
        }
        self.in_transit.fetch_sub(count, Ordering::Relaxed);
    }
}

struct Sink(Store);

impl IncrementSink for Sink {
    type Error = StoreError;

    async fn add(&self, batch: &IncrementBatch) -> Result<(), StoreError> {
        let mut views = Vec::with_capacity(batch.increments.len());
        for increment in &batch.increments {
            match Named::of(&increment.key) {
                Some(Named::Views(tenant, day)) => views.push(DayViews { tenant, day, count: increment.by }),
                // Another version wrote it. An error would block all others for ever.
                _ => tracing::warn!(key = %increment.key, "an increment that is not for views is ignored"),
            }
        }
        self.0.add_views(&batch.stream, batch.number, &views).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_threads_count_is_taken_once() {
        let counts = Counts::default();
        let acme: TenantId = "acme".parse().unwrap();
        let other: TenantId = "other".parse().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..2 * SHARDS {
                scope.spawn(|| {
                    counts.add(&acme, 1);
                    counts.add(&other, 2);
                    counts.add(&acme, 1);
                });
            }
        });
        let threads = 2 * i64::try_from(SHARDS).unwrap();
        assert_eq!(counts.take(), HashMap::from([(acme, 2 * threads), (other, 2 * threads)]));
        assert_eq!(counts.take(), HashMap::new());
    }
}
