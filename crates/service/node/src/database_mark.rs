//! Which database the jobs on Redis are about.
//!
//! Two databases under one prefix take each other's jobs, which nobody means. The mark lies where nothing is evicted, and
//! only warns: cached values lie under the name of their own database, so that none of another is ever found.

use tidegate_redis::{Client, Command, Error, Keyspace};

/// Warns where the last start under this prefix was with another database, and marks it as used with this one.
pub(crate) async fn compare(redis: &Client, keyspace: &Keyspace, database: &str) {
    match last(redis, keyspace, database).await {
        Ok(true) => {}
        Ok(false) => tracing::warn!(
            prefix = keyspace.prefix(),
            "Redis was last used with another database. If both are in use, give each a prefix of its own (redis.prefix), \
             or they take each other's jobs"
        ),
        Err(error) => tracing::warn!(%error, "whether Redis was last used with another database is not known"),
    }
}

/// Whether it was this one, or none.
async fn last(redis: &Client, keyspace: &Keyspace, database: &str) -> Result<bool, Error> {
    let key = keyspace.group("database", &[]).as_str().to_owned();
    let known = redis.get(&key).await?;
    let known = known.as_deref();
    if known != Some(database.as_bytes()) {
        redis.execute(Command::new("SET").key(key).arg(database).idempotent()).await?;
    }
    Ok(known.is_none_or(|known| known == database.as_bytes()))
}
