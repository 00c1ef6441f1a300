//! A start that is not cold: which keys were hottest, kept over a restart and loaded again, hottest first.

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
