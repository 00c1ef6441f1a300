//! A warm start: remembers the hottest keys over a restart and loads them again, hottest first.

mod file;
mod handle;
mod hot_keys;
mod loaders;
#[cfg(feature = "redis")]
mod redis;
mod run;

pub use handle::{WarmUpHandle, WarmUpProgress, WarmUpState};
pub use hot_keys::{HotKey, HotKeys, SnapshotError};
pub use loaders::WarmUp;
#[cfg(feature = "redis")]
pub use redis::RedisSnapshot;
