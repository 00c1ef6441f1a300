//! Sessions of `tower-sessions` in the cache.

#![cfg(feature = "sessions")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

use std::time::{Duration, SystemTime};

use tidegate_cache::{CacheSessions, ManualClock, TieredCache};
use time::OffsetDateTime;
use tower_sessions_core::session::{Id, Record};

mod here;
#[cfg(feature = "redis")]
mod shared;

fn clock() -> ManualClock {
    ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000))
}

fn store() -> (CacheSessions, ManualClock, TieredCache) {
    let clock = clock();
    let cache = TieredCache::builder().clock(clock.clone()).build();
    (CacheSessions::new(&cache), clock, cache)
}

fn record(clock: &ManualClock, user: u32, seconds: i64) -> Record {
    let expiry_date = OffsetDateTime::from(clock.wall()) + time::Duration::seconds(seconds);
    Record { id: Id::default(), data: [("user".to_owned(), user.into())].into(), expiry_date }
}
