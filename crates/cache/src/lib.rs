//! A cache that serves a value from memory while it is valid, loads it once when it is not, and
//! never brings back what an invalidation removed.
//!
//! A read takes a key, class and loader. Callers that miss together share one load, which continues
//! if callers leave. After a write that names what it [`Touched`], the next read loads again.
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
//! let read = schedules.fetch(&key, load).await?;
//! assert_eq!(*read.value, "from SQL");
//!
//! cache.invalidate(&Touched::new().tag(&tenant)).await?; // after the commit of a write
//! assert!(schedules.get(&key).await.into_value().is_none());
//! # Ok(())
//! # }
//! ```
//!
//! [`TypedCache`] explains batches. [`TieredCache`] explains tiers, outages of Redis, and ways to
//! write. After a restart, a [`WarmUp`] loads the [`HotKeys`] of the previous process, hottest
//! first.
//!
//! | feature | adds |
//! |---|---|
//! | `redis` | `RedisTier`: a tier that processes share |
//! | `json`, `messagepack`, `zstd` | `redis` and a codec: `Json`, `MessagePack`, `Compressed` |
//! | `tower` | `CacheLayer`: stores the responses of a service by RFC 9111 |
//! | `sessions` | `CacheSessions`: a store for `tower-sessions` |
//! | `shapes` | `Shapes`: cached counters, sets, sorted sets and more, in memory or on Redis |
//! | `write-behind` | `WriteBehind`, `Increments`: deferred writes, in memory or on Redis |
//!
//! None is on by default. The tiers, keys, tags and classes are the same in all of them.
//!
//! [What the cache guarantees, and what it does not][guarantees], is a page of its own. Worked
//! examples: [a product page][product_page], [loyalty points][points], [a social feed][feed], [a
//! leaderboard][leaderboard], [an exchange rate][exchange_rate] and [a checkout][checkout].
//!
//! [product_page]: https://github.com/tidegate/tidegate/blob/main/examples/product_page.rs
//! [points]: https://github.com/tidegate/tidegate/blob/main/examples/points.rs
//! [feed]: https://github.com/tidegate/tidegate/blob/main/examples/feed/main.rs
//! [leaderboard]: https://github.com/tidegate/tidegate/blob/main/examples/leaderboard/main.rs
//! [exchange_rate]: https://github.com/tidegate/tidegate/blob/main/examples/exchange_rate/main.rs
//! [checkout]: https://github.com/tidegate/tidegate/blob/main/examples/checkout/main.rs
//! [guarantees]: https://github.com/tidegate/tidegate/blob/main/docs/guarantees/cache.md

mod batch;
mod builder;
mod handle;
mod inspect;
mod invalidate;
#[cfg(feature = "tower")]
mod layer;
mod load;
#[cfg(feature = "sessions")]
mod sessions;
#[cfg(feature = "shapes")]
#[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "hashes need codecs, which come with `redis`"))]
mod shape;
mod tiered;
mod touched;
mod typed;
mod warm_up;
mod weak;
#[cfg(feature = "write-behind")]
mod write_behind;
mod write_through;

#[cfg(all(doctest, feature = "json", feature = "sessions", feature = "shapes", feature = "tower"))]
#[doc = include_str!("../../../docs/guides/caching.md")]
mod caching_page {}

pub use builder::TieredCacheBuilder;
pub use handle::TypedCache;
pub use inspect::Inspected;
#[cfg(feature = "tower")]
pub use layer::{CacheLayer, CacheLayerBuilder, CachedBody, HttpCache, ResponseTags};
#[cfg(feature = "sessions")]
pub use sessions::CacheSessions;
#[cfg(all(feature = "redis", feature = "shapes"))]
pub use shape::HashShape;
#[cfg(feature = "shapes")]
pub use shape::{
    BitmapShape, CounterShape, Direction, ScoreCursor, ScoredMember, SetShape, ShapeError, Shapes, SortedSetShape,
    UniqueShape,
};
#[cfg(feature = "zstd")]
pub use tidegate_cache_tiers::Compressed;
#[cfg(feature = "json")]
pub use tidegate_cache_tiers::Json;
#[cfg(feature = "messagepack")]
pub use tidegate_cache_tiers::MessagePack;
pub use tidegate_cache_tiers::{
    CacheStats, Capacity, ClassStats, DynError, Event, Fill, Key, KeyBuilder, KeyError, KeyPart, Known, LoadError,
    LoadResult, Lookup, LookupOutcome, Observer, Owed, Pattern, PatternError, Read, Removal, Scope, Source, Tag,
    TierStats, TtlClass,
};
#[cfg(feature = "redis")]
pub use tidegate_cache_tiers::{Codec, CodecError, RawBytes, RedisTier};
pub use tidegate_clock::{Clock, ManualClock};
pub use tiered::TieredCache;
pub use touched::Touched;
#[cfg(feature = "redis")]
pub use warm_up::RedisSnapshot;
pub use warm_up::{HotKey, HotKeys, SnapshotError, WarmUp, WarmUpHandle, WarmUpProgress, WarmUpState};
pub use weak::WeakTypedCache;
#[cfg(feature = "write-behind")]
pub use write_behind::{
    Accepted, Increment, IncrementBatch, IncrementSink, Increments, NotFlushed, PendingIncrement, ValueSink,
    ValueWrite, WriteBehind, WriteBehindError, WriteBehindOptions, WriteBehindReadError, WriteBehindStatus,
};
pub use write_through::{WriteError, Written};
