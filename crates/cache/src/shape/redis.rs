//! Shapes in Redis: one key each, of the type that Redis has for it.

use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use tidegate_redis::{Arg, Client, Command, Error, Keyspace, Script, Value};

use super::error::ShapeError;
use super::sorted::{self, Around, Position, SortedRead, SortedWrite};
use super::store::{Kind, Life, ShapeStore};
use tidegate_cache_tiers::{Key, TtlClass};

static WRITE: LazyLock<Script> = LazyLock::new(|| Script::new("shape write", include_str!("lua/write.lua")));

/// Limit of a write: a command that counts, one that checks for the item, and the maximum.
type Limit = (&'static str, &'static str, usize);

/// The shapes of one [`Shapes`](crate::Shapes).
pub(super) struct RedisShapes {
    client: Client,
    prefix: String,
}

impl RedisShapes {
    pub(super) fn new(client: Client, keyspace: &Keyspace) -> Self {
        Self { client, prefix: keyspace.prefix().to_owned() }
    }

    fn name(&self, kind: Kind, key: &Key) -> String {
        let area = match kind {
            Kind::Hash => "csh",
            Kind::Counter => "csc",
            Kind::Set => "css",
            Kind::Bitmap => "csb",
            Kind::Unique => "csu",
            Kind::Highest => "csz",
            Kind::Lowest => "csy",
        };
        format!("{}:{area}:{{{key}}}", self.prefix)
    }

    /// The names of a sorted set's two keys.
    fn names(&self, kind: Kind, key: &Key) -> [String; 2] {
        let names = self.name(kind, key);
        let area = if kind == Kind::Lowest { "csyx" } else { "cszx" };
        [names, format!("{}:{area}:{{{key}}}", self.prefix)]
    }

    /// Runs a command that changes a key, and sets its expiry. `args` follow the key.
    async fn write(
        &self,
        kind: Kind,
        key: &Key,
        life: Life,
        limit: Option<Limit>,
        command: &'static str,
        args: Vec<Arg>,
    ) -> Result<Value, ShapeError> {
        let (length, has, most) = limit.unwrap_or(("", "", 0));
        let millis = u64::try_from(life.ttl.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut all: Vec<Arg> = vec![millis.into(), u64::from(life.renews).into()];
        all.extend([length.into(), has.into(), most.into(), command.into()]);
        all.extend(args);
        let mut reply = self.client.run(&WRITE, &[self.name(kind, key)], all).await?.into_array()?.into_iter();
        let answer = reply.next().unwrap_or(Value::Nil).as_int()?;
        match answer {
            1 => Ok(reply.next().unwrap_or(Value::Nil)),
            0 => Err(ShapeError::Full { limit: most }),
            _ => Err(ShapeError::Overflow),
        }
    }

    async fn read(&self, command: &'static str, kind: Kind, key: &Key, arg: Option<Arg>) -> Result<Value, Error> {
        let command = Command::new(command).key(self.name(kind, key)).idempotent();
        self.client.execute(arg.into_iter().fold(command, Command::arg)).await
    }

    /// Sent once: a second attempt would not know the result of the first one.
    async fn take(&self, command: &'static str, kind: Kind, key: &Key, arg: Option<Arg>) -> Result<bool, ShapeError> {
        let command = Command::new(command).key(self.name(kind, key));
        let command = arg.into_iter().fold(command, Command::arg);
        Ok(self.client.execute(command).await?.as_int()? > 0)
    }
}

#[async_trait]
impl ShapeStore for RedisShapes {
    fn lifetime(&self, class: &TtlClass) -> Duration {
        class.in_l2(None)
    }

    async fn hash_set(
        &self,
        key: &Key,
        field: &str,
        value: Vec<u8>,
        life: Life,
        limit: usize,
    ) -> Result<bool, ShapeError> {
        let (limit, args) = (Some(("HLEN", "HEXISTS", limit)), vec![field.into(), value.into()]);
        Ok(self.write(Kind::Hash, key, life, limit, "HSET", args).await?.as_int()? == 1)
    }

    async fn hash_get(&self, key: &Key, field: &str) -> Result<Option<Vec<u8>>, ShapeError> {
        let value = self.read("HGET", Kind::Hash, key, Some(field.into())).await?.into_optional_bytes()?;
        Ok(value.map(Vec::from))
    }

    async fn hash_all(&self, key: &Key) -> Result<Vec<(String, Vec<u8>)>, ShapeError> {
        let fields = self.read("HGETALL", Kind::Hash, key, None).await?.into_map()?;
        fields.into_iter().map(|(field, value)| Ok((field.into_text()?, value.into_bytes()?.into()))).collect()
    }

    async fn hash_remove(&self, key: &Key, field: &str) -> Result<bool, ShapeError> {
        self.take("HDEL", Kind::Hash, key, Some(field.into())).await
    }

    async fn counter_add(&self, key: &Key, by: i64, life: Life) -> Result<i64, ShapeError> {
        Ok(self.write(Kind::Counter, key, life, None, "INCRBY", vec![by.into()]).await?.as_int()?)
    }

    async fn counter_get(&self, key: &Key) -> Result<Option<i64>, ShapeError> {
        let number = self.read("GET", Kind::Counter, key, None).await?;
        Ok(if number.is_nil() { None } else { Some(number.as_int()?) })
    }

    async fn set_add(&self, key: &Key, member: &str, life: Life, limit: usize) -> Result<bool, ShapeError> {
        let limit = Some(("SCARD", "SISMEMBER", limit));
        Ok(self.write(Kind::Set, key, life, limit, "SADD", vec![member.into()]).await?.as_int()? == 1)
    }

    async fn set_has(&self, key: &Key, member: &str) -> Result<bool, ShapeError> {
        Ok(self.read("SISMEMBER", Kind::Set, key, Some(member.into())).await?.as_int()? == 1)
    }

    async fn set_all(&self, key: &Key) -> Result<Vec<String>, ShapeError> {
        let members = self.read("SMEMBERS", Kind::Set, key, None).await?.into_array()?;
        members.into_iter().map(|member| Ok(member.into_text()?)).collect()
    }

    async fn set_remove(&self, key: &Key, member: &str) -> Result<bool, ShapeError> {
        self.take("SREM", Kind::Set, key, Some(member.into())).await
    }

    async fn bit_set(&self, key: &Key, bit: u32, value: bool, life: Life) -> Result<bool, ShapeError> {
        let args = vec![bit.into(), u64::from(value).into()];
        Ok(self.write(Kind::Bitmap, key, life, None, "SETBIT", args).await?.as_int()? == 1)
    }

    async fn bit_get(&self, key: &Key, bit: u32) -> Result<bool, ShapeError> {
        Ok(self.read("GETBIT", Kind::Bitmap, key, Some(bit.into())).await?.as_int()? == 1)
    }

    async fn unique_add(&self, key: &Key, member: &str, life: Life) -> Result<(), ShapeError> {
        self.write(Kind::Unique, key, life, None, "PFADD", vec![member.into()]).await?;
        Ok(())
    }

    async fn sorted_write(
        &self,
        kind: Kind,
        keys: &[&Key],
        step: SortedWrite<'_>,
        life: Life,
        limit: usize,
    ) -> Vec<Result<i64, ShapeError>> {
        let sets = keys.iter().map(|key| self.names(kind, key)).collect();
        sorted::redis::write(&self.client, sets, step, life, limit).await
    }

    async fn sorted_read(
        &self,
        kind: Kind,
        key: &Key,
        read: SortedRead,
    ) -> Result<Vec<(Position, String)>, ShapeError> {
        sorted::redis::read(&self.client, &self.names(kind, key), &read).await
    }

    async fn sorted_around(
        &self,
        kind: Kind,
        key: &Key,
        member: &str,
        each_side: u32,
    ) -> Result<Option<Around>, ShapeError> {
        sorted::redis::around(&self.client, &self.names(kind, key), member, each_side).await
    }

    async fn count(&self, kind: Kind, key: &Key) -> Result<u64, ShapeError> {
        let command = match kind {
            Kind::Hash => "HLEN",
            Kind::Set => "SCARD",
            Kind::Bitmap => "BITCOUNT",
            Kind::Unique => "PFCOUNT",
            Kind::Counter => return Ok(0),
            Kind::Highest | Kind::Lowest => return sorted::redis::count(&self.client, &self.names(kind, key)).await,
        };
        Ok(self.read(command, kind, key, None).await?.as_count()?)
    }

    async fn ttl(&self, kind: Kind, key: &Key) -> Result<Option<Duration>, ShapeError> {
        let left = self.read("PTTL", kind, key, None).await?.as_int()?;
        // Negative without such a key, or without an expiry, which this crate never writes.
        Ok(u64::try_from(left).ok().map(Duration::from_millis))
    }

    async fn delete(&self, kind: Kind, key: &Key) -> Result<bool, ShapeError> {
        let other = matches!(kind, Kind::Highest | Kind::Lowest).then(|| self.names(kind, key)[1].clone());
        self.take("UNLINK", kind, key, other.map(Arg::from)).await
    }
}
