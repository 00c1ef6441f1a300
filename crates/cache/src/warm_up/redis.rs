//! A snapshot of hot keys in Redis, for processes without a disk of their own.

use std::time::Duration;

use tidegate_redis::{Client, Command, Keyspace};

use super::hot_keys::{HotKeys, SnapshotError};

/// Lifetime of a snapshot that is not renewed: 7 days.
const LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A snapshot under a name in Redis. The last of several processes that saves wins. Evictable.
#[derive(Debug, Clone)]
pub struct RedisSnapshot {
    client: Client,
    key: String,
}

impl RedisSnapshot {
    /// Opens the snapshot of that name. Needs no round trip.
    pub fn new(client: Client, keyspace: &Keyspace, name: &str) -> Self {
        Self { client, key: keyspace.group("chot", &[name]).as_str().to_owned() }
    }

    /// Replaces the keys, for 7 days. One command, 60 bytes per key: limit it to 10,000 keys.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::Redis`].
    pub async fn save(&self, keys: &HotKeys) -> Result<(), SnapshotError> {
        let set = Command::new("SET").key(self.key.as_str()).arg(keys.to_text()).arg("EX").arg(LIFETIME.as_secs());
        self.client.execute(set.idempotent()).await?;
        Ok(())
    }

    /// Returns the keys; empty if nothing was saved, or the snapshot has expired or was evicted.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::Redis`], and those of [`HotKeys::parse`].
    pub async fn load(&self) -> Result<HotKeys, SnapshotError> {
        let get = Command::new("GET").key(self.key.as_str()).idempotent();
        match self.client.execute(get).await? {
            value if value.is_nil() => Ok(HotKeys::default()),
            value => HotKeys::parse(&value.into_text()?),
        }
    }
}
