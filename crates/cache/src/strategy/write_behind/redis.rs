//! What waits in Redis. All keys of a name share a slot, so that each step is one script.

use std::sync::LazyLock;

use async_trait::async_trait;
use bytes::Bytes;
use tidegate_redis::{Arg, Client, ClockPrelude, Error, KeyGroup, Keyspace, Role, Script, Value};

use super::error::{FlushError, WriteBehindError};
use super::options::WriteBehindOptions;
use super::pending::{Oldest, PendingIncrement, PendingIncrements, PendingValues, Taken};
use super::sink::{Increment, IncrementBatch, ValueWrite};
use super::turn::Turn;
use crate::codec::{Codec, CodecError, versioned};
use crate::key::Key;

struct Scripts {
    put: Script,
    oldest: Script,
    settle: Script,
    defer: Script,
    add: Script,
    take: Script,
    settle_batch: Script,
    sums: Script,
}

static SCRIPTS: LazyLock<Scripts> = LazyLock::new(|| {
    let clock = &ClockPrelude::SERVER;
    Scripts {
        // A second attempt at one of these would come after what others did meanwhile, or count twice.
        put: Script::timed("write-behind put", include_str!("lua/put.lua"), clock),
        add: Script::timed("write-behind add", include_str!("lua/add.lua"), clock),
        oldest: Script::new("write-behind oldest", include_str!("lua/oldest.lua")).idempotent(),
        settle: Script::new("write-behind settle", include_str!("lua/settle.lua")).idempotent(),
        defer: Script::timed("write-behind defer", include_str!("lua/defer.lua"), clock).idempotent(),
        take: Script::timed("write-behind take", include_str!("lua/take.lua"), clock).idempotent(),
        settle_batch: Script::new("write-behind settle_batch", include_str!("lua/settle_batch.lua")).idempotent(),
        sums: Script::new("write-behind sums", include_str!("lua/sums.lua")).idempotent(),
    }
});

/// Where the writes of one name wait.
pub(super) struct Place {
    client: Client,
    group: KeyGroup,
}

impl Place {
    pub(super) fn of_values(
        client: &Client,
        keyspace: &Keyspace,
        options: &WriteBehindOptions,
    ) -> Result<Self, WriteBehindError> {
        Self::new(client, keyspace.group("wv", &[&options.name]))
    }

    pub(super) fn of_increments(
        client: &Client,
        keyspace: &Keyspace,
        options: &WriteBehindOptions,
    ) -> Result<Self, WriteBehindError> {
        Self::new(client, keyspace.group("wi", &[&options.name]))
    }

    fn new(client: &Client, group: KeyGroup) -> Result<Self, WriteBehindError> {
        match client.role() {
            Role::Durable => Ok(Self { client: client.clone(), group }),
            role => Err(WriteBehindError::NotDurable { role }),
        }
    }

    pub(super) fn turn(&self, options: &WriteBehindOptions) -> Turn {
        Turn::Shared { client: self.client.clone(), key: self.group.key("turn"), lease: options.lease }
    }

    async fn run(&self, script: &Script, names: &[&str], args: Vec<Arg>) -> Result<Value, Error> {
        let keys: Vec<String> = names.iter().map(|name| self.group.key(name)).collect();
        self.client.run(script, &keys, args).await
    }

    async fn length(&self, name: &str) -> Result<u64, Error> {
        let command = tidegate_redis::Command::new("HLEN").key(self.group.key(name)).idempotent();
        self.client.execute(command).await?.as_count()
    }
}

/// Values in Redis.
pub(super) struct RedisValues<V> {
    place: Place,
    codec: Box<dyn Codec<V>>,
    limit: usize,
}

impl<V: 'static> RedisValues<V> {
    pub(super) fn new(place: Place, codec: Box<dyn Codec<V>>, limit: usize) -> Self {
        Self { place, codec, limit }
    }

    /// The version of the write, and the value: `<version> <version of the codec><value>`.
    fn decode(&self, packed: &Bytes) -> Result<(u64, V), CodecError> {
        let end = packed.iter().position(|byte| *byte == b' ').ok_or(CodecError::NotAnEntry { at: 0 })?;
        let version = str::from_utf8(&packed[..end]).ok().and_then(|digits| digits.parse().ok());
        let version = version.ok_or(CodecError::NotAnEntry { at: 0 })?;
        Ok((version, versioned::open(&*self.codec, &packed[end + 1..], end + 1)?))
    }

    async fn defer(&self, keys: Vec<Value>) -> Result<(), WriteBehindError> {
        let keys = keys.into_iter().map(|key| Ok(key.into_bytes()?.into())).collect::<Result<_, Error>>()?;
        self.place.run(&SCRIPTS.defer, &["order"], keys).await?;
        Ok(())
    }
}

#[async_trait]
impl<V: Send + Sync + 'static> PendingValues<V> for RedisValues<V> {
    async fn put(&self, key: &Key, value: V) -> Result<Taken, WriteBehindError> {
        let packed = versioned::pack(&*self.codec, &value)?;
        let args = vec![key.as_str().into(), packed.into(), self.limit.into()];
        let reply = self.place.run(&SCRIPTS.put, &["values", "order", "clock"], args).await?;
        let [version, waiting] = pair(reply)?;
        let (version, waiting) = (version.as_count()?, waiting.as_count()?);
        if version == 0 {
            return Err(WriteBehindError::Full { waiting, limit: self.limit });
        }
        Ok(Taken { version, waiting })
    }

    async fn get(&self, key: &Key) -> Result<Option<V>, WriteBehindError> {
        let get = tidegate_redis::Command::new("HGET").key(self.place.group.key("values")).arg(key.as_str());
        let packed = self.place.client.execute(get.idempotent()).await?.into_optional_bytes()?;
        Ok(packed.map(|packed| self.decode(&packed)).transpose()?.map(|(_, value)| value))
    }

    async fn oldest(&self, count: usize) -> Result<Oldest<V>, WriteBehindError> {
        let found = self.place.run(&SCRIPTS.oldest, &["values", "order"], vec![count.into()]).await?.into_map()?;
        let (mut writes, mut foreign, mut reason) = (Vec::with_capacity(found.len()), Vec::new(), None);
        for (name, packed) in found {
            let packed = packed.into_optional_bytes()?.unwrap_or_default();
            let key = Key::parse(&name.clone().into_text()?).map_err(CodecError::failed);
            match key.and_then(|key| Ok((key, self.decode(&packed)?))) {
                Ok((key, (version, value))) => writes.push(ValueWrite { key, value, version }),
                Err(error) => {
                    foreign.push(name);
                    reason = Some(error);
                }
            }
        }
        let mut unreadable = None;
        if let Some(reason) = reason {
            unreadable = Some(FlushError::Unreadable { count: foreign.len(), reason });
            self.defer(foreign).await?;
        }
        Ok(Oldest { writes, unreadable })
    }

    async fn settle(&self, written: &[ValueWrite<V>]) -> Result<(), WriteBehindError> {
        let pairs = written.iter().flat_map(|write| [Arg::from(write.key.as_str()), write.version.into()]);
        self.place.run(&SCRIPTS.settle, &["values", "order"], pairs.collect()).await?;
        Ok(())
    }

    async fn waiting(&self) -> Result<u64, WriteBehindError> {
        Ok(self.place.length("values").await?)
    }
}

/// Increments in Redis.
pub(super) struct RedisIncrements {
    place: Place,
    stream: String,
    limit: usize,
}

impl RedisIncrements {
    pub(super) fn new(place: Place, options: &WriteBehindOptions) -> Self {
        Self { place, stream: options.name.clone(), limit: options.limit }
    }
}

#[async_trait]
impl PendingIncrements for RedisIncrements {
    async fn add(&self, key: &Key, by: i64) -> Result<u64, WriteBehindError> {
        let args = vec![key.as_str().into(), by.into(), self.limit.into()];
        let reply = self.place.run(&SCRIPTS.add, &["sums", "order"], args).await?;
        let [answer, waiting] = pair(reply)?;
        let waiting = waiting.as_count()?;
        match answer.as_int()? {
            1 => Ok(waiting),
            0 => Err(WriteBehindError::Full { waiting, limit: self.limit }),
            _ => Err(WriteBehindError::Overflow { key: key.clone() }),
        }
    }

    async fn get(&self, key: &Key) -> Result<PendingIncrement, WriteBehindError> {
        let reply = self.place.run(&SCRIPTS.sums, &["sums", "batch"], vec![key.as_str().into()]).await?;
        let mut found = reply.into_array()?.into_iter();
        let mut next = || found.next().unwrap_or(Value::Nil);
        let (waiting, by, number) = (next(), next(), next());
        let sum = |value: &Value| if value.is_nil() { Ok(0) } else { value.as_int() };
        let under_way = if by.is_nil() { None } else { Some((number.as_count()?, by.as_int()?)) };
        Ok(PendingIncrement { waiting: sum(&waiting)?, under_way })
    }

    async fn take(&self, count: usize) -> Result<Option<(IncrementBatch, bool)>, WriteBehindError> {
        let reply = self.place.run(&SCRIPTS.take, &["sums", "order", "batch", "clock"], vec![count.into()]).await?;
        let [batch, more] = pair(reply)?;
        let (mut number, mut increments) = (None, Vec::new());
        for (name, by) in batch.into_map()? {
            match name.into_text()? {
                name if name.is_empty() => number = Some(by.as_count()?),
                name => {
                    let key = Key::parse(&name).map_err(CodecError::failed)?;
                    increments.push(Increment { key, by: by.as_int()? });
                }
            }
        }
        let Some(number) = number else { return Ok(None) };
        Ok(Some((IncrementBatch { stream: self.stream.clone(), number, increments }, more.as_int()? == 1)))
    }

    async fn settle(&self, number: u64) -> Result<(), WriteBehindError> {
        self.place.run(&SCRIPTS.settle_batch, &["batch"], vec![number.into()]).await?;
        Ok(())
    }

    async fn waiting(&self) -> Result<u64, WriteBehindError> {
        let batch = self.place.length("batch").await?.saturating_sub(1); // its number
        Ok(self.place.length("sums").await? + batch)
    }
}

fn pair(reply: Value) -> Result<[Value; 2], Error> {
    let mut values = reply.into_array()?.into_iter();
    let mut next = || values.next().unwrap_or(Value::Nil);
    Ok([next(), next()])
}
