//! Serve a value from memory while it may be believed, load it once when it may not, and never bring back what an
//! invalidation took away.
//!
//! A read is "key, class, loader"; everything else happens inside: callers that miss together share one load, the
//! load outlives callers that leave, and a write that names what it [`Touched`] makes the next read load anew.
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
//! Many keys in one call: [`TypedCache::get_many`], [`TypedCache::get_or_load_many`], [`TypedCache::set_many`] and
//! [`TieredCache::invalidate_keys`]. One loader call brings all that is missing, and a thousand keys cost L2 a few round trips.
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
//! L1 is in process. With the feature `redis`, `TieredCacheBuilder::l2` puts a tier behind it that processes share, for
//! handles that have a codec: L1, then the flight, then L2, then the loader, which fills L2 and then L1.
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
//! A codec says what a value is in L2: `Json` (feature `json`), `MessagePack` (`messagepack`), `RawBytes`, or one of your own;
//! `Compressed` (`zstd`) around any of them. Every entry names its codec and version: bytes of another one are a reported
//! miss, and so is what is larger than the codec's limit.
//!
//! What is past its lifetime, in the grace of its class, is served as stale while it is loaded anew, whether L1 has it or
//! only L2: a process that has just started need not wait for its first loads.
//!
//! While Redis is away L2 is a miss that costs microseconds, and L1 serves on. An invalidation that Redis could not be
//! told of is an error that says so ([`Owed`]), is kept, and is told before this process reads L2 again. One that Redis refuses
//! for good (an account that may not `SCAN`, for a pattern) invalidates everything instead, and an event says so.
//!
//! # Writing
//!
//! - [`Touched`]: write to the store, then invalidate; the store is the truth.
//! - [`TypedCache::expire`]: the same where an old value is better than none: it is stale at once, everywhere, and serves within its grace.
//! - [`Fill::uncached`]: what a loader or caller brings is given on and kept nowhere, and what was there goes.
//! - [`TypedCache::write_through`]: write to the store, then cache what it holds.
//! - [`WriteBehind`] and [`Increments`]: a write is done when it is kept, in memory or in Redis, and the store is told a moment later.
//!
//! Where a value under a key is the wrong form, [`Shapes`] has hashes, counters, sets, bitmaps and counts of different members.
//! After a restart a [`WarmUp`] loads the [`HotKeys`] of the process before, hottest first.
//!
//! # HTTP
//!
//! With the feature `tower`, `CacheLayer` keeps the responses of a service by the rules of RFC 9111; with `sessions`, `CacheSessions`
//! keeps the sessions of `tower-sessions`. Both lie in the same tiers, under keys, tags and classes like everything else. Put the layer inside of
//! access, limits and compression; a layer outside that wraps the bodies of requests without their `is_end_stream` makes every GET pass it by.
//!
//! # What it guarantees
//!
//! - Concurrent misses on one key, with one type of value and of error, run one loader, in a task of its own. Its value, error or panic
//!   reaches every waiter.
//! - A value whose load started before an invalidation is not served to a read that started after that invalidation
//!   returned, whether by key, tag, pattern, class or [`TieredCache::clear`], and however late the load ends.
//! - The same through L2 for every process: a load that began before an invalidation and ended after it leaves its value
//!   readable in no tier of any process. What a process still holds in L1, or believes in L2 by what it remembers of a tag, a class
//!   or of everything, goes when the notice arrives, within moments; a process that may not wait for that invalidates too, before
//!   it reads.
//! - What is set reaches L2 before its caller gives up, or never, even where a connection hangs and delivers it later. Where it
//!   is not known whether it did, the key is deleted at once, and once more when nothing can come any more.
//! - A batch promises for each of its keys what a single call does. No step of it takes Redis more than 64 keys or 256 KiB (or
//!   one value that is larger), so that others come through between them.
//! - What is built with one tenant's id as a part of its own ([`KeyBuilder::part`], [`KeyBuilder::below`], [`Tag::of`]) reaches
//!   no key of another tenant, whatever characters the ids hold.
//! - A read waits for Redis for at most one time-out in all, and the next ones not at all. So does a batch of up to 1,000 keys.
//! - A load ends after [`TtlClass::load_limit`] at the latest for all who wait for it, and holds its key no longer, even
//!   when its loader blocks its thread; a reader waits no longer than its class's time-outs say. However soon its callers
//!   leave, a load fills.
//! - Of bounded loads ([`TieredCacheBuilder::max_loads`]) each gets its turn in order, or is refused in time. A loader may
//!   load: it needs no second place, and one that would wait for itself is told so ([`LoadError::Circle`]).
//! - Word of an invalidation comes from the server (`CLIENT TRACKING`), and where that is refused over a channel (pub/sub). What
//!   may have been lost with a connection, a flush or a failover empties L1 within two heartbeats of half a second; and for less than
//!   that a hit in L2 goes by what Redis said of tags, classes and everything before. While a process does not hear of changes, each
//!   hit asks.
//! - L1 never holds more than its [`Capacity`]; tags cost memory only while an entry carries them.
//! - No loader, observer or weighing function runs under a lock of the cache.
//!
//! # What it does not guarantee
//!
//! - Other processes, without an L2: this is one process's memory. Pass what was touched on, and rebuild it with
//!   [`Key::parse`] and [`Tag::parse`].
//! - An L2 that comes back older than it was: a failover that loses the last writes, or a snapshot that is loaded, can
//!   lose an invalidation. Clear after it.
//! - Writes that wait in the memory of a process which is killed: by default those of its last 5 s. In Redis they survive it. And a sink that
//!   doesn't compare versions and numbers, as [`ValueSink`] and [`IncrementSink`] say, can turn values back and count twice.
//! - That increments are counted once when Redis itself comes back older than it was, and no replica had confirmed what was taken ([`Increments`]).
//! - An [`Owed`] invalidation if its process is killed first. Write it down with the rows, if that matters.
//! - One load for all processes: a miss waits for another process's load for a second, then loads by itself. Where there is
//!   a stale value to serve, nobody waits in front of a caller.
//! - One load for a key that somebody is loading since before the last invalidation of anything, when a batch that has other keys to
//!   load comes: it loads that key too, since it can't wait to see whether the invalidation was meant for it.
//! - All of a batch at once: others may see some of its values before the rest, and when Redis fails half-way some are stored.
//! - That [`TtlClass::l1_ttl`] bounds what is served stale: a class with a grace serves for that time, as stale, what L1 holds past it.
//! - That what a batch's loader left out is gone from an L2 that could not be told of it.
//! - Over a channel, in place of tracking: that L1 hears of expiry, of eviction and of what other programs write.
//! - Where values are read from replicas (`RedisTier::read_replicas`), that a key or pattern which another process has invalidated is gone for a read
//!   that starts before word of it has come: that read may find the old value in a replica. Once it has come, none does.
//! - Entries of L1 that L2 does not hold are invisible to a pattern's walk over L2, but not to its notice.
//! - That a pattern finds a key which moves between the servers of a cluster more than once while it walks.
//! - [`TypedCache::set`] believes its caller: a value that was read from the store before an invalidation and set
//!   after it stays. Loaders are fenced, callers are not.
//! - A key above 200 characters keeps only its leading parts for patterns to match.
//! - A value may be evicted at any time, and a collision of tag hashes or more than 256 classes can invalidate or
//!   refuse more than was asked, never less. Through L2, of 128 cells that invalidations of tags move each takes the loads under way
//!   with it that carry a tag of that cell: their values are given to their callers and stored nowhere. At 1,000 such invalidations
//!   a second in all processes that is about every second load of 100 ms with one tag, and nine of ten with three.
//! - The `Drop` of a value may run under a lock of the cache, and must not call it.
//! - Expiry is as fine as the clock: 1 to 4 ms with [`SystemClock`].
//! - The number of loads that run at once for different keys is not limited, unless the builder or a class says so.
//! - A loader that blocks its thread can't be stopped: at its limit it loses its key and its callers, and keeps the thread.
//! - Only L1 slides: in L2 a value of a sliding class lives from its load for the lifetime of the class, however it is read.

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
