//! Pending writes in Redis. All keys of a name share a slot, so that each step is one script.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tidegate_redis::{Arg, Client, ClockPrelude, Error, KeyGroup, Keyspace, Role, Script, Value};
use tidegate_sync::{Lock, RedisStore};

use super::error::{FlushError, WriteBehindError};
use super::options::{Room, WriteBehindOptions};
use super::pending::{Oldest, PendingIncrement, PendingIncrements, PendingValues, Taken, TakenBatch};
use super::sink::{Increment, IncrementBatch, ValueWrite};
use tidegate_cache_tiers::{Codec, CodecError, Key, codec::versioned};

/// Maximum number of bytes of one step, unless a single value has more.
const STEP: usize = 256 << 10;
/// How long a replica may take to confirm. It blocks the client's connection meanwhile.
const CONFIRMED: Duration = Duration::from_millis(200);

/// Reason why pending writes in Redis did not go to the sink.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    /// No replica has confirmed these increments: a new primary would have them taken again.
    #[error("no replica confirmed in time that a batch was taken, so it was not added to the store yet")]
    NotReplicated,
    /// Some of a batch has names that are not keys. It was put aside.
    #[error("{count} waiting increments have no key that can be read, and were put aside: {reason}")]
    PutAside { count: usize, reason: CodecError },
    /// Some pending writes have a form that this process cannot read. They are kept for others.
    #[error("{count} waiting writes can't be read by this process and wait on: {reason}")]
    Unreadable { count: usize, reason: CodecError },
}

impl From<Unfit> for FlushError {
    fn from(error: Unfit) -> Self {
        Self::Refused(Box::new(error))
    }
}

impl From<Error> for FlushError {
    fn from(error: Error) -> Self {
        Self::Pending(error.into())
    }
}

struct Scripts {
    put: Script,
    oldest: Script,
    settle: Script,
    defer: Script,
    add: Script,
    take: Script,
    settle_batch: Script,
    sums: Script,
    waiting: Script,
}

fn of_batch(body: &str) -> String {
    [include_str!("lua/batch.lua"), body].concat()
}

static SCRIPTS: LazyLock<Scripts> = LazyLock::new(|| {
    let clock = &ClockPrelude::SERVER;
    Scripts {
        // A second attempt at one of these would follow writes of others, or count twice.
        put: Script::timed("write-behind put", include_str!("lua/put.lua"), clock).refuse_oom(),
        add: Script::timed("write-behind add", include_str!("lua/add.lua"), clock).refuse_oom(),
        oldest: Script::new("write-behind oldest", include_str!("lua/oldest.lua")).idempotent(),
        settle: Script::new("write-behind settle", include_str!("lua/settle.lua")).idempotent().allow_oom(),
        defer: Script::timed("write-behind defer", include_str!("lua/defer.lua"), clock).idempotent().allow_oom(),
        // The copy of a batch exists for a short time, and there is at most one.
        take: Script::timed("write-behind take", &of_batch(include_str!("lua/take.lua")), clock)
            .idempotent()
            .allow_oom(),
        settle_batch: Script::new("write-behind settle_batch", of_batch(include_str!("lua/settle_batch.lua")))
            .idempotent()
            .allow_oom(),
        sums: Script::new("write-behind sums", of_batch(include_str!("lua/sums.lua"))).idempotent(),
        waiting: Script::new("write-behind waiting", of_batch(include_str!("lua/waiting.lua"))).idempotent(),
    }
});

/// Location of the pending writes of one name.
pub(super) struct Place {
    client: Client,
    area: &'static str,
    group: KeyGroup,
}

impl Place {
    pub(super) fn of_values(
        client: &Client,
        keyspace: &Keyspace,
        options: &WriteBehindOptions,
    ) -> Result<Self, WriteBehindError> {
        Self::new(client, keyspace, "wv", options)
    }

    pub(super) fn of_increments(
        client: &Client,
        keyspace: &Keyspace,
        options: &WriteBehindOptions,
    ) -> Result<Self, WriteBehindError> {
        Self::new(client, keyspace, "wi", options)
    }

    fn new(
        client: &Client,
        keyspace: &Keyspace,
        area: &'static str,
        options: &WriteBehindOptions,
    ) -> Result<Self, WriteBehindError> {
        match client.role() {
            Role::Durable => Ok(Self { client: client.clone(), area, group: keyspace.group(area, &[&options.name]) }),
            role => Err(WriteBehindError::NotDurable { role }),
        }
    }

    /// The turn to flush: one process at a time, so that no work is done twice. Nothing depends on
    /// it.
    pub(super) fn turn(&self, keyspace: &Keyspace, options: &WriteBehindOptions) -> Lock {
        let store = RedisStore::new(self.client.clone(), keyspace.clone());
        Lock::new(Arc::new(store), format!("{}:{}", self.area, options.name)).lease(options.lease).without_renewal()
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
    room: Room,
    /// The highest version that this process has seen. A server that comes back with less, or with
    /// a clock that is behind, issues no version below it.
    floor: AtomicU64,
}

impl<V: 'static> RedisValues<V> {
    pub(super) fn new(place: Place, codec: Box<dyn Codec<V>>, room: Room) -> Self {
        Self { place, codec, room, floor: AtomicU64::new(0) }
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
        let (Room { keys, bytes }, floor) = (self.room, self.floor.load(Ordering::Acquire));
        let args = vec![key.as_str().into(), packed.into(), keys.into(), bytes.into(), floor.into()];
        let reply = self.place.run(&SCRIPTS.put, &["values", "order", "clock", "bytes"], args).await?;
        let [version, waiting] = some_of(reply)?;
        let waiting = waiting.as_count()?;
        match version.as_int()? {
            0 => Err(WriteBehindError::Full { waiting, limit: keys }),
            -1 => Err(WriteBehindError::TooManyBytes { waiting, limit: bytes }),
            _ => {
                let version = version.as_count()?;
                self.floor.fetch_max(version, Ordering::AcqRel);
                Ok(Taken { version, waiting })
            }
        }
    }

    async fn get(&self, key: &Key) -> Result<Option<V>, WriteBehindError> {
        let get = tidegate_redis::Command::new("HGET").key(self.place.group.key("values")).arg(key.as_str());
        let packed = self.place.client.execute(get.idempotent()).await?.into_optional_bytes()?;
        Ok(packed.map(|packed| self.decode(&packed)).transpose()?.map(|(_, value)| value))
    }

    async fn oldest(&self, count: usize) -> Result<Oldest<V>, WriteBehindError> {
        let args = vec![count.into(), STEP.into()];
        let [found, more] = some_of(self.place.run(&SCRIPTS.oldest, &["values", "order"], args).await?)?;
        let (found, more) = (found.into_map()?, more.as_int()? == 1);
        let (mut writes, mut foreign, mut reason) = (Vec::with_capacity(found.len()), Vec::new(), None);
        for (name, packed) in found {
            let packed = packed.into_optional_bytes()?.unwrap_or_default();
            let key = Key::parse(&name.clone().into_text()?).map_err(CodecError::failed);
            match key.and_then(|key| Ok((key, self.decode(&packed)?))) {
                Ok((key, (version, value))) => {
                    self.floor.fetch_max(version, Ordering::AcqRel);
                    writes.push(ValueWrite { key, value, version });
                }
                Err(error) => {
                    foreign.push(name);
                    reason = Some(error);
                }
            }
        }
        let mut unreadable = None;
        if let Some(reason) = reason {
            unreadable = Some(Unfit::Unreadable { count: foreign.len(), reason }.into());
            self.defer(foreign).await?;
        }
        Ok(Oldest { writes, more, unreadable })
    }

    async fn settle(&self, written: &[ValueWrite<V>]) -> Result<(), WriteBehindError> {
        let pairs = written.iter().flat_map(|write| [Arg::from(write.key.as_str()), write.version.into()]);
        self.place.run(&SCRIPTS.settle, &["values", "order", "bytes"], pairs.collect()).await?;
        Ok(())
    }

    async fn waiting(&self) -> Result<u64, WriteBehindError> {
        Ok(self.place.length("values").await?)
    }

    fn outlives_the_process(&self) -> bool {
        true
    }
}

/// Increments in Redis.
pub(super) struct RedisIncrements {
    place: Place,
    stream: String,
    limit: usize,
    /// The highest number that this process has seen.
    floor: AtomicU64,
    /// Whether there was a replica when a batch was last taken.
    has_replicas: AtomicBool,
}

impl RedisIncrements {
    pub(super) fn new(place: Place, options: &WriteBehindOptions) -> Self {
        let (stream, limit) = (options.name.clone(), options.room.keys);
        Self { place, stream, limit, floor: AtomicU64::new(0), has_replicas: AtomicBool::new(false) }
    }

    /// Takes a batch, or finds the one that was taken. If there is a replica, makes sure that it
    /// has the batch. Otherwise a replica that becomes primary right after it would hold these sums
    /// again, and give them another number.
    async fn take_for_good(&self, count: usize) -> Result<[Value; 2], FlushError> {
        let names = ["sums", "order", "clock"].map(|name| self.place.group.key(name));
        let slot = Client::slot_of(&names[0]);
        loop {
            let had_replicas = self.has_replicas.load(Ordering::Acquire);
            let args = [count.into(), self.floor.load(Ordering::Acquire).into()];
            let all = names.iter().map(|name| Arg::from(name.as_str())).chain(args).collect();
            let ms = u64::try_from(CONFIRMED.as_millis()).unwrap_or(u64::MAX);
            let wait = tidegate_redis::Command::new("WAIT").arg(u64::from(had_replicas)).arg(ms);
            let (reply, confirmed) = self.place.client.run_then(slot, &SCRIPTS.take, names.len(), all, wait).await?;
            let [batch, more, replicas] = some_of(reply)?;
            let has_replicas = replicas.as_count()? > 0;
            self.has_replicas.store(has_replicas, Ordering::Release);
            if !has_replicas || (had_replicas && confirmed.as_count()? > 0) {
                return Ok([batch, more]);
            }
            if had_replicas {
                return Err(Unfit::NotReplicated.into());
            }
            // Now a replica is known to follow; the same batch is taken again.
        }
    }
}

#[async_trait]
impl PendingIncrements for RedisIncrements {
    async fn add(&self, key: &Key, by: i64) -> Result<u64, WriteBehindError> {
        let args = vec![key.as_str().into(), by.into(), self.limit.into()];
        let reply = self.place.run(&SCRIPTS.add, &["sums", "order"], args).await?;
        let [answer, waiting] = some_of(reply)?;
        let waiting = waiting.as_count()?;
        match answer.as_int()? {
            1 => Ok(waiting),
            0 => Err(WriteBehindError::Full { waiting, limit: self.limit }),
            _ => Err(WriteBehindError::Overflow { key: key.clone() }),
        }
    }

    async fn get(&self, key: &Key) -> Result<PendingIncrement, WriteBehindError> {
        let reply = self.place.run(&SCRIPTS.sums, &["sums"], vec![key.as_str().into()]).await?;
        let mut found = reply.into_array()?.into_iter();
        let mut next = || found.next().unwrap_or(Value::Nil);
        let (waiting, by, number) = (next(), next(), next());
        let sum = |value: &Value| if value.is_nil() { Ok(0) } else { value.as_int() };
        let under_way = if by.is_nil() { None } else { Some((number.as_count()?, by.as_int()?)) };
        Ok(PendingIncrement { waiting: sum(&waiting)?, under_way })
    }

    async fn take(&self, count: usize) -> Result<Option<TakenBatch>, FlushError> {
        let [batch, more] = self.take_for_good(count).await?;
        let (mut number, mut increments, mut foreign, mut reason) = (None, Vec::new(), Vec::new(), None);
        for (name, by) in batch.into_map()? {
            let name = name.into_bytes()?;
            if name.is_empty() {
                number = Some(by.as_count()?);
                continue;
            }
            match str::from_utf8(&name).map_err(CodecError::failed).and_then(|name| {
                let key = Key::parse(name).map_err(CodecError::failed)?;
                Ok(Increment { key, by: by.as_int().map_err(CodecError::failed)? })
            }) {
                Ok(increment) => increments.push(increment),
                Err(error) => {
                    foreign.push(Vec::from(name));
                    reason = Some(error);
                }
            }
        }
        let Some(number) = number else { return Ok(None) };
        self.floor.fetch_max(number, Ordering::AcqRel);
        let batch = IncrementBatch { stream: self.stream.clone(), number, increments };
        let unreadable = reason.map(|reason| {
            let error = Unfit::PutAside { count: foreign.len(), reason };
            (foreign, error.into())
        });
        Ok(Some(TakenBatch { batch, more: more.as_int()? == 1, unreadable }))
    }

    async fn settle(&self, taken: &TakenBatch) -> Result<(), WriteBehindError> {
        let foreign = taken.unreadable.iter().flat_map(|(keys, _)| keys).map(|key| Arg::from(key.clone()));
        let args = std::iter::once(taken.batch.number.into()).chain(foreign).collect();
        self.place.run(&SCRIPTS.settle_batch, &["sums", "order", "aside"], args).await?;
        Ok(())
    }

    async fn waiting(&self) -> Result<u64, WriteBehindError> {
        Ok(self.place.run(&SCRIPTS.waiting, &["sums"], Vec::new()).await?.as_count()?)
    }
}

/// Returns the first values of an array.
fn some_of<const N: usize>(reply: Value) -> Result<[Value; N], Error> {
    let mut values = reply.into_array()?.into_iter();
    Ok(std::array::from_fn(|_| values.next().unwrap_or(Value::Nil)))
}
