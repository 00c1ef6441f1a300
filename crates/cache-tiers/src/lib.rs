//! The tiers of [tidegate-cache]: memory, Redis or Valkey, and what keeps them consistent.
//!
//! Services use `tidegate-cache`, which has all of this under the same names. This crate is for
//! code that handles keys, tags, classes, codecs or events of a cache, and reads none.
//!
//! ```
//! use std::time::Duration;
//! use tidegate_cache_tiers::{Key, Pattern, Tag, TtlClass};
//!
//! const USERS: TtlClass = TtlClass::new("users", Duration::from_mins(5));
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = Key::builder("user").part("tenant-1").part(42).build()?;
//! assert_eq!(key.as_str(), "user:tenant-1:42");
//! assert_eq!(Tag::of(["tenant", "tenant-1"]).as_str(), "tenant:tenant-1");
//! assert!(Pattern::parse("user:tenant-1:*")?.matches(key.as_str()));
//! assert_eq!(USERS.name(), "users");
//! # Ok(())
//! # }
//! ```
//!
//! | feature | adds |
//! |---|---|
//! | `redis` | `RedisTier`: a tier that processes share |
//! | `json`, `messagepack`, `zstd` | `redis` and a codec: `Json`, `MessagePack`, `Compressed` |
//! | `sessions` | what `CacheSessions` of `tidegate-cache` needs of the shared tier |
//!
//! [What the cache guarantees, and what it does not][guarantees], is a page of its own. Hidden
//! modules are for `tidegate-cache` alone, and may change in any release.
//!
//! [tidegate-cache]: https://docs.rs/tidegate-cache
//! [guarantees]: https://github.com/tidegate/tidegate/blob/main/docs/guarantees/cache.md

mod bell;
#[doc(hidden)]
pub mod bring;
#[doc(hidden)]
pub mod class;
#[doc(hidden)]
pub mod class_id;
#[cfg(feature = "redis")]
#[doc(hidden)]
pub mod codec;
#[cfg(not(feature = "redis"))]
#[doc(hidden)]
pub use l2::codec::{self, Codec, CodecError};
mod dice;
#[doc(hidden)]
pub mod event;
mod fallback;
mod fence;
#[doc(hidden)]
pub mod fill;
#[doc(hidden)]
pub mod flight;
#[doc(hidden)]
pub mod follow;
#[doc(hidden)]
pub mod form;
#[doc(hidden)]
pub mod generation;
mod heat;
mod held;
mod inquiry;
mod key;
#[cfg(not(feature = "redis"))]
#[doc(hidden)]
#[path = "no_l2.rs"]
pub mod l2;
#[cfg(feature = "redis")]
#[doc(hidden)]
pub mod l2;
mod listen;
#[doc(hidden)]
pub mod memory;
mod moment;
mod moves;
#[doc(hidden)]
pub mod nested;
mod owed;
#[doc(hidden)]
pub mod parcel;
mod pattern;
mod places;
mod read;
mod removal;
#[doc(hidden)]
pub mod slot;
#[doc(hidden)]
pub mod start;
mod stats;
mod sweep;
mod tag;
mod tag_table;
#[doc(hidden)]
pub mod text;
#[doc(hidden)]
pub mod tiers;
mod ttl;
mod upkeep;

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
pub use key::{Key, KeyBuilder, KeyError, KeyPart};
#[cfg(feature = "redis")]
pub use l2::RedisTier;
pub use memory::Capacity;
pub use owed::Owed;
pub use pattern::{Pattern, PatternError};
pub use read::{DynError, LoadError, Lookup, Read, Source};
pub use stats::{CacheStats, ClassStats, TierStats};
pub use tag::Tag;
pub use ttl::TtlClass;
