//! A cache that serves a value from memory while it is valid, loads it once when it is not, and
//! never brings back what an invalidation removed.
//!
//! A read needs a key, a class and a loader. Callers that miss together share one load. The load
//! continues if callers leave. After a write that names what it [`Touched`], the next read loads
//! again.
//!
//! ```
//! use tidegate_cache::{Fill, Key, Tag, TieredCache, Touched, TtlClass};
//!
//! const SCHEDULES: TtlClass = TtlClass::new("schedules", std::time::Duration::from_hours(2));
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cache = TieredCache::builder().build();
//! let schedules = cache.typed::<String>(SCHEDULES);
//! let key = Key::builder("schedule").part("tenant-1").part(42).build()?;
//! let tenant = Tag::of(["tenant", "tenant-1"]);
//!
//! let tag = tenant.clone();
//! let load = async move || Ok::<_, std::io::Error>(Fill::new("from SQL".to_owned()).tag(tag));
//! let read = schedules.get_or_load(&key, load).await?;
//! assert_eq!(*read.value, "from SQL");
//!
//! cache.invalidate(&Touched::new().tag(&tenant)).await?; // after the commit of a write
//! assert!(schedules.get(&key).await.into_value().is_none());
//! # Ok(())
//! # }
//! ```
//!
//! Worked examples: [a product page][product_page], [loyalty points][points], [a social
//! feed][feed], [a leaderboard][leaderboard], [an exchange rate of another service][exchange_rate]
//! and [a checkout][checkout].
//!
//! [product_page]: https://github.com/tidegate/tidegate/blob/main/examples/product_page.rs
//! [points]: https://github.com/tidegate/tidegate/blob/main/examples/points.rs
//! [feed]: https://github.com/tidegate/tidegate/blob/main/examples/feed/main.rs
//! [leaderboard]: https://github.com/tidegate/tidegate/blob/main/examples/leaderboard/main.rs
//! [exchange_rate]: https://github.com/tidegate/tidegate/blob/main/examples/exchange_rate/main.rs
//! [checkout]: https://github.com/tidegate/tidegate/blob/main/examples/checkout/main.rs
//!
//! # Batches
//!
//! Many keys in one call: [`TypedCache::get_many`], [`TypedCache::get_or_load_many`],
//! [`TypedCache::set_many`] and [`TieredCache::invalidate_keys`]. One loader call brings all
//! missing keys, and a thousand keys cost L2 a few round trips.
//!
//! ```
//! # use tidegate_cache::{Fill, Key, TieredCache, TtlClass};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let users = TieredCache::builder().build().typed::<String>(TtlClass::SESSION);
//! let keys = (1..=3).map(|id| Key::builder("user").part(id).build()).collect::<Result<Vec<_>, _>>()?;
//! users.set(&keys[0], "Ada".to_owned()).await;
//!
//! // `SELECT … WHERE id IN (…)`, with the keys that nobody has and nobody else is loading.
//! let load = async |missing: Vec<Key>| {
//!     assert_eq!(missing.len(), 2);
//!     let rows = missing.into_iter().take(1).map(|key| (key, Fill::new("Bob".to_owned())));
//!     Ok::<_, std::io::Error>(rows.collect::<Vec<_>>())
//! };
//! let reads = users.get_or_load_many(&keys, load).await.into_iter().collect::<Result<Vec<_>, _>>()?;
//! assert_eq!(*reads[0].as_ref().expect("held").value, "Ada");
//! assert_eq!(*reads[1].as_ref().expect("loaded").value, "Bob");
//! assert!(reads[2].is_none()); // the loader had nothing for it
//! # Ok(())
//! # }
//! ```
//!
//! # Tiers
//!
//! L1 is in process. With the feature `redis`, `TieredCacheBuilder::l2` adds a tier that processes
//! share, for handles that have a codec. A miss in both tiers calls the loader, which fills L2 and
//! L1.
//!
//! ```
//! # #[cfg(feature = "json")]
//! # mod example {
//! use std::time::Duration;
//!
//! use tidegate_cache::{Json, RedisTier, TieredCache, TtlClass, TypedCache};
//! use tidegate_redis::{Client, Keyspace};
//!
//! # pub
//! fn schedules(redis: Client, keys: &Keyspace) -> TypedCache<Vec<u64>> {
//!     let cache = TieredCache::builder().l2(RedisTier::new(redis, keys)).build();
//!     cache.typed_with_codec(TtlClass::COMPUTATION.l2_ttl(Duration::from_mins(10)), Json::new())
//! }
//! # }
//! ```
//!
//! A codec defines the form of a value in L2: `Json` (feature `json`), `MessagePack`
//! (`messagepack`), `RawBytes`, or one of your own. `Compressed` (`zstd`) wraps any of them. Every
//! entry names its codec and version. An entry of another codec or above the codec's limit is a
//! miss, and is reported.
//!
//! A value past its lifetime, but within the grace of its class, is served as stale while it is
//! reloaded, from L1 or L2. So a process that has just started need not wait for its first loads.
//!
//! While Redis is away, L2 is a miss that costs microseconds, and L1 continues to serve. An
//! invalidation that does not reach Redis returns an error ([`Owed`]), is kept, and is sent before
//! this process reads L2 again. If Redis refuses one for good (an account that may not `SCAN`, for
//! a pattern), everything is invalidated instead, and an event reports it.
//!
//! # Writing
//!
//! - [`Touched`]: write to the store, then invalidate; the store is the truth.
//! - [`TypedCache::expire`]: the same if an old value is better than none. The value is stale at
//!   once, everywhere, and is served within its grace.
//! - [`Fill::uncached`]: the callers get the value, no tier keeps it, and an earlier one is
//!   removed.
//! - [`TypedCache::write_through`]: write to the store, then cache what it holds.
//! - [`WriteBehind`] and [`Increments`]: a write is done when it is kept, in memory or in Redis.
//!   The store gets it a moment later.
//!
//! Beside values, [`Shapes`] has hashes, counters, sets, bitmaps and counts of different members.
//! After a restart, a [`WarmUp`] loads the [`HotKeys`] of the previous process, hottest first.
//!
//! # HTTP
//!
//! With the feature `tower`, `CacheLayer` keeps the responses of a service by the rules of RFC
//! 9111. With `sessions`, `CacheSessions` keeps the sessions of `tower-sessions`. Both use the same
//! tiers, keys, tags and classes. Put the layer inside of access, limits and compression. If an
//! outer layer wraps the bodies of requests without their `is_end_stream`, every GET bypasses the
//! cache.
//!
//! # Guarantees
//!
//! [What the cache guarantees, and what it does not][guarantees], is a page of its own.
//!
//! [guarantees]: https://github.com/tidegate/tidegate/blob/main/docs/guarantees/cache.md

mod batch;
mod bell;
mod builder;
mod class;
mod class_id;
mod clock;
#[cfg(feature = "redis")]
mod codec;
#[cfg(not(feature = "redis"))]
use l2::codec;
mod dice;
mod event;
mod fallback;
mod fence;
mod fill;
mod flight;
mod follow;
mod form;
mod generation;
mod handle;
mod heat;
mod held;
mod inquiry;
mod inspect;
mod invalidate;
mod key;
#[cfg(not(feature = "redis"))]
#[path = "no_l2.rs"]
mod l2;
#[cfg(feature = "redis")]
mod l2;
#[cfg(feature = "tower")]
mod layer;
mod listen;
mod load;
mod memory;
mod moment;
mod moves;
mod nested;
mod owed;
mod parcel;
mod pattern;
mod places;
mod read;
#[cfg(feature = "sessions")]
mod sessions;
#[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "hashes need codecs, which come with the feature"))]
mod shape;
mod slot;
mod stats;
mod strategy;
mod sweep;
mod tag;
mod tag_table;
mod text;
mod tiered;
mod tiers;
mod touched;
mod ttl;
mod typed;
mod upkeep;
mod warm_up;
mod weak;

#[cfg(all(doctest, feature = "json", feature = "sessions", feature = "tower"))]
#[doc = include_str!("../../../docs/caching.md")]
mod caching_page {}

pub use builder::TieredCacheBuilder;
pub use clock::{Clock, ManualClock, SystemClock};
#[cfg(feature = "zstd")]
pub use codec::Compressed;
#[cfg(feature = "json")]
pub use codec::Json;
#[cfg(feature = "messagepack")]
pub use codec::MessagePack;
#[cfg(feature = "redis")]
pub use codec::{Codec, CodecError, RawBytes};
pub use event::{Event, LoadResult, LookupOutcome, Observer, Removal, Scope};
pub use fill::{Fill, Known};
pub use handle::TypedCache;
pub use inspect::Inspected;
pub use key::{Key, KeyBuilder, KeyError, KeyPart};
#[cfg(feature = "redis")]
pub use l2::RedisTier;
#[cfg(feature = "tower")]
pub use layer::{CacheLayer, CacheLayerBuilder, CachedBody, HttpCache, ResponseTags};
pub use memory::Capacity;
pub use owed::Owed;
pub use pattern::{Pattern, PatternError};
pub use read::{DynError, LoadError, Lookup, Read, Source};
#[cfg(feature = "sessions")]
pub use sessions::CacheSessions;
#[cfg(feature = "redis")]
pub use shape::HashShape;
pub use shape::{
    BitmapShape, CounterShape, Direction, ScoreCursor, ScoredMember, SetShape, ShapeError, Shapes, SortedSetShape,
    UniqueShape,
};
pub use stats::{CacheStats, ClassStats, TierStats};
pub use strategy::write_behind::{
    Accepted, Increment, IncrementBatch, IncrementSink, Increments, NotFlushed, PendingIncrement, ValueSink,
    ValueWrite, WriteBehind, WriteBehindError, WriteBehindOptions, WriteBehindReadError, WriteBehindStatus,
};
pub use strategy::write_through::{WriteError, Written};
pub use tag::Tag;
pub use tiered::TieredCache;
pub use touched::Touched;
pub use ttl::TtlClass;
#[cfg(feature = "redis")]
pub use warm_up::RedisSnapshot;
pub use warm_up::{HotKey, HotKeys, SnapshotError, WarmUp, WarmUpHandle, WarmUpProgress, WarmUpState};
pub use weak::WeakTypedCache;
