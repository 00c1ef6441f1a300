//! Typed shapes: cached things for which one value under one key is the wrong form.
//!
//! A hash whose fields are read and written one by one, a counter, a set, a sorted set, a bitmap
//! (such as presence on a day) and a count of different visitors. Each is in the memory of this
//! process or in Redis, chosen once by [`Shapes`], and does the same in both: one suite of tests
//! runs on either.

mod bitmap;
mod counter;
mod error;
#[cfg(feature = "redis")]
mod hash;
mod memory;
#[cfg(feature = "redis")]
mod redis;
mod set;
mod sorted;
mod store;
mod unique;

use std::fmt;
use std::sync::Arc;

pub use bitmap::BitmapShape;
pub use counter::CounterShape;
pub use error::ShapeError;
#[cfg(feature = "redis")]
pub use hash::HashShape;
pub use set::SetShape;
pub use sorted::{Direction, ScoreCursor, ScoredMember, SortedSetShape};
pub use unique::UniqueShape;

use store::{Bound, Life, ShapeStore};
use tidegate_cache_tiers::TtlClass;
use tidegate_clock::Clock;

/// Creates shapes in one store, memory or Redis. Cloning copies a pointer.
///
/// ```
/// use tidegate_cache::{Key, Shapes, TtlClass};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// const DAY: TtlClass = TtlClass::new("day", std::time::Duration::from_secs(48 * 3600));
/// let shapes = Shapes::in_memory(10_000);
/// let today = Key::builder("visitors").part("2026-11-21").build()?;
///
/// let visitors = shapes.unique(DAY);
/// visitors.add(&today, "ada").await?;
/// visitors.add(&today, "ada").await?;
/// assert_eq!(visitors.count(&today).await?, 1);
///
/// let attendance = shapes.bitmap(DAY);
/// attendance.set(&today, 4711, true).await?;
/// assert_eq!((attendance.get(&today, 4711).await?, attendance.count(&today).await?), (true, 1));
/// # Ok(())
/// # }
/// ```
///
/// # What it guarantees
///
/// - Every key expires. The TTL of its class (in Redis its cap for L2) begins with the first write
///   of the key. With `renewing`, which every shape has, it begins again with each write.
/// - Every operation is atomic: concurrent writers lose no increment, member or bit, in Redis also
///   across processes.
/// - Sizes are bounded: what would go above is a [`ShapeError`], and nothing was changed.
/// - Keys of different kinds never meet, though they have the same name.
///
/// # What it does not guarantee
///
/// - It is a cache: a key may be evicted at any time, and then begins anew. In memory that happens
///   if there are more keys than the capacity. Data that must not be lost belongs in the store, and
///   counts go there by [`Increments`](crate::Increments).
/// - In Redis each operation is one round trip, and an error while Redis is away. L1 holds nothing
///   of it, and [`TieredCache`](crate::TieredCache) doesn't know of it: delete a shape by its own
///   `delete`.
/// - Shapes in memory are this process's own.
#[derive(Clone)]
pub struct Shapes {
    store: Arc<dyn ShapeStore>,
}

impl Shapes {
    /// Shapes in the memory of this process. `keys` is about the maximum number of keys, of any
    /// size, and at least one. It is divided among several parts and rounded up. Expired keys are
    /// freed once as many new keys have come as there were.
    pub fn in_memory(keys: usize) -> Self {
        Self::in_memory_by(keys, Clock::system())
    }

    /// Like [`in_memory`](Self::in_memory), with the clock by which they expire.
    pub fn in_memory_by(keys: usize, clock: impl Into<Clock>) -> Self {
        Self { store: Arc::new(memory::MemoryShapes::new(keys, clock.into())) }
    }

    /// Shapes in Redis, for all processes with the same keyspace. The cache role is sufficient.
    #[cfg(feature = "redis")]
    pub fn on_redis(client: tidegate_redis::Client, keyspace: &tidegate_redis::Keyspace) -> Self {
        Self { store: Arc::new(redis::RedisShapes::new(client, keyspace)) }
    }

    /// Creates hashes: fields of type `V` under a key, read and written one by one.
    #[cfg(feature = "redis")]
    pub fn hash<V: 'static>(&self, class: TtlClass, codec: impl tidegate_cache_tiers::Codec<V>) -> HashShape<V> {
        HashShape::new(self.bound(class), Arc::new(codec))
    }

    /// Creates counters: numbers that go up and down.
    pub fn counter(&self, class: TtlClass) -> CounterShape {
        CounterShape(self.bound(class))
    }

    /// Creates sets of texts.
    pub fn set(&self, class: TtlClass) -> SetShape {
        SetShape::new(self.bound(class))
    }

    /// Creates sorted sets of texts with scores: feeds and leaderboards.
    pub fn sorted_set(&self, class: TtlClass) -> SortedSetShape {
        SortedSetShape::new(self.bound(class))
    }

    /// Creates bitmaps: one bit per number, such as the number of a pupil.
    pub fn bitmap(&self, class: TtlClass) -> BitmapShape {
        BitmapShape::new(self.bound(class))
    }

    /// Creates approximate counts of distinct members, in fixed memory.
    pub fn unique(&self, class: TtlClass) -> UniqueShape {
        UniqueShape(self.bound(class))
    }

    fn bound(&self, class: TtlClass) -> Bound {
        let life = Life { ttl: self.store.lifetime(&class), renews: false };
        Bound { store: Arc::clone(&self.store), life }
    }
}

impl fmt::Debug for Shapes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shapes").finish_non_exhaustive()
    }
}
