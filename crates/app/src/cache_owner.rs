//! Which database the values of the shared cache are about.
//!
//! A data directory may be emptied or restored while Redis keeps what was cached of the old one. So a process that starts
//! compares its database with the one that the cache was last used for, and clears the cache when it is another.

use tidegate_cache::{Owed, TieredCache};
use tidegate_redis::{Client, Command, Keyspace};

/// Longer than any value lives in the cache.
const KEPT_MS: u64 = 30 * 24 * 3600 * 1000;

/// Makes `database` the one that the cache is about.
pub(crate) async fn claim(redis: &Client, keyspace: &Keyspace, database: &str, cache: &TieredCache) {
    let key = keyspace.group("ci", &[]).as_str().to_owned();
    let known = redis.get(&key).await;
    if !matches!(&known, Ok(Some(known)) if **known == *database.as_bytes()) {
        if matches!(known, Ok(Some(_))) {
            tracing::warn!(
                prefix = keyspace.prefix(),
                "Redis was last used with another database: the shared cache is cleared. If both are in use, give each a \
                 prefix of its own (redis.prefix), or they take each other's jobs"
            );
        }
        // Unless it is cleared for certain, the next start asks again; until then this process reads nothing from there.
        if let Err(Owed { .. }) = cache.clear().await {
            return;
        }
    }
    let set = Command::new("SET").key(key).arg(database).arg("PX").arg(KEPT_MS).idempotent();
    if let Err(error) = redis.execute(set).await {
        tracing::warn!(%error, "the shared cache can't be marked as this database's: the next start clears it");
    }
}
