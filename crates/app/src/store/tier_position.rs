//! Up to which invalidation the second tier of the cache is known to be true.
//!
//! A process may die between a commit and the invalidation that it asks for. The others act on the row all the same; but
//! where none is left, the row waits in the database while Redis keeps the old value. So the position up to which every
//! row has been acted on lies beside the values, and a process that starts goes on from there.

use tidegate_redis::{Arg, Client, Error, Keyspace, Script};

/// Longer than any value of the second tier lives: a position that is lost makes the next start clear the tier, no more.
const KEPT: &str = "2592000000"; // 30 days, in ms

/// The position, for one database on one server.
#[derive(Debug, Clone)]
pub struct TierPosition {
    redis: Client,
    key: String,
    advance: Script,
}

impl TierPosition {
    /// The position of the installation's second tier on that server.
    pub fn new(redis: Client, keyspace: &Keyspace) -> Self {
        let key = keyspace.group("cp", &[]).as_str().to_owned();
        let advance = Script::new("cache_position", include_str!("lua/cache_position.lua")).idempotent();
        Self { redis, key, advance }
    }

    /// The last row that has been acted on for the database `installation`; `None` where that is not known.
    pub(super) async fn read(&self, installation: &str) -> Result<Option<i64>, Error> {
        let Some(value) = self.redis.get(&self.key).await? else { return Ok(None) };
        let position = std::str::from_utf8(&value).ok().and_then(|text| text.split_once(' '));
        Ok(position.filter(|(database, _)| *database == installation).and_then(|(_, row)| row.parse().ok()))
    }

    /// Says that every row up to `row` has been acted on.
    pub(super) async fn advance(&self, installation: &str, row: i64) -> Result<(), Error> {
        let args = vec![Arg::from(installation), Arg::from(row), Arg::from(KEPT)];
        self.redis.run(&self.advance, &[&self.key], args).await.map(drop)
    }
}
