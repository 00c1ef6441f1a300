//! Records which database the jobs in Redis belong to.
//!
//! Two databases with one prefix take each other's jobs, which is never intended. The mark is
//! stored where nothing is evicted. It only causes a warning: cached values are stored under the id
//! of their database, so those of another one are never found.

use tidegate_redis::{Client, Command, Error, Keyspace};

/// Warns if the last start with this prefix used another database, and records this one.
pub(crate) async fn compare(redis: &Client, keyspace: &Keyspace, database: &str) {
    match last(redis, keyspace, database).await {
        Ok(true) => {}
        Ok(false) => tracing::warn!(
            prefix = keyspace.prefix(),
            "Redis was last used with another database. If both are in use, give each a prefix of its own (redis.prefix), \
             or they take each other's jobs"
        ),
        Err(error) => tracing::warn!(%error, "could not check whether Redis was last used with another database"),
    }
}

/// Whether the recorded database was this one, or none was recorded.
async fn last(redis: &Client, keyspace: &Keyspace, database: &str) -> Result<bool, Error> {
    let key = keyspace.group("database", &[]).as_str().to_owned();
    let known = redis.get(&key).await?;
    let known = known.as_deref();
    if known != Some(database.as_bytes()) {
        redis.execute(Command::new("SET").key(key).arg(database).idempotent()).await?;
    }
    Ok(known.is_none_or(|known| known == database.as_bytes()))
}
