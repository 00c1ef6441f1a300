//! Sessions of `tower-sessions` in the cache.

#[cfg(feature = "redis")]
mod written;
/// Replaces the codec of sessions.
#[cfg(not(feature = "redis"))]
mod written {
    pub(super) struct Written;
}

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use data_encoding::HEXLOWER;
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, MutexGuard};
use tower_sessions_core::SessionStore;
use tower_sessions_core::session::{Id, Record};
use tower_sessions_core::session_store::{self, Error};

use crate::handle::TypedCache;
use crate::tiered::TieredCache;
use tidegate_cache_tiers::{
    Fill, Key, LoadError, Scope, TtlClass,
    follow::recheck,
    l2::{L2, Mark, New, Untold},
    nested,
};

use self::written::Written;

/// Number of locks. Concurrent saves in one process wait for one another if they share one.
const LOCKS: usize = 64;

/// How long the end of a session is remembered: longer than any request that had it takes.
const ENDED: Duration = Duration::from_secs(60 * 60);

/// A store for `tower-sessions` on a [`TieredCache`]: in this process, and with an L2 in all.
///
/// ```
/// use std::sync::Arc;
/// use tidegate_cache::{CacheSessions, TieredCache};
/// use tower_sessions_core::Session;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Arc::new(CacheSessions::new(&TieredCache::builder().build()));
/// let session = Session::new(None, store.clone(), None);
/// session.insert("user", 7).await?;
/// session.save().await?;
/// let again = Session::new(session.id(), store, None);
/// assert_eq!(again.get::<u32>("user").await?, Some(7));
/// # Ok(())
/// # }
/// ```
///
/// # What it guarantees
///
/// - The id of a session is in no key, value, event or log, here or in Redis. Its SHA-256 is. Read
///   access to Redis is not enough to take a session over.
/// - A session is never returned after its expiry.
/// - A deleted session stays deleted. A request that had it and saves it afterwards changes
///   nothing, in any process, for an hour or for the maximum lifetime of its class, whichever is
///   shorter. Its end goes to L2 first. If L2 cannot be reached, the end is an error, and is kept
///   and sent as soon as possible. [`create`](SessionStore::create) never takes a live id.
/// - A save or an end that has begun is completed in both tiers, even if its caller leaves. A save
///   that Redis did not take while a caller waited is not taken later, even if a connection hangs
///   and delivers it then.
/// - With an L2, a session that cannot be read from it is an error, not a missing session. So no
///   user is logged out because Redis hangs, is away, or has not received an invalidation yet. A
///   save of which L2 is not known to have it is an error too, and leaves the session either as it
///   was or as it was to be. A failed end is an error. It holds in this process at once, and in all
///   processes as soon as L2 can be reached.
/// - Stores of different [names](Self::named) share no session.
///
/// # What it does not guarantee
///
/// - If two requests save one session, the later one wins as a whole. Its data replaces the other's
///   and is not merged by key. This is the contract of `tower-sessions`.
/// - Other processes hear of a save or an end within moments, as of any change in L2.
/// - **A cache forgets.** Without an L2, sessions end with the process. If the cache is full, a
///   session is evicted and its user must log in again. The end of a session may be evicted in the
///   same way, and a later save then brings the session back. If L2 could not be reached for an
///   end, a save in another process is served until the end arrives, and stays if this process is
///   killed first. Give sessions a cache of their own with room for all of them. With an L2, use a
///   server that does not evict.
#[derive(Clone)]
pub struct CacheSessions {
    sessions: TypedCache<Held>,
    name: Arc<str>,
    locks: Arc<[Mutex<()>]>,
}

type Data = HashMap<String, serde_json::Value>;

/// A session without its id.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Held {
    /// Valid until this time, in seconds since 1970.
    Live { data: Data, expires: i64 },
    /// Deleted.
    Ended,
}

/// Reason why a session was not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// There is no such session.
    Absent,
    /// L2, which may have it, could not be queried.
    Unknown,
}

impl CacheSessions {
    /// A store in the class [`TtlClass::SESSION`]. Each session lives until its own expiry.
    pub fn new(cache: &TieredCache) -> Self {
        Self::in_class(cache, TtlClass::SESSION)
    }

    /// Creates a store in this class, which caps lifetimes per tier. Its grace is not used.
    pub fn in_class(cache: &TieredCache, class: TtlClass) -> Self {
        let class = class.grace(Duration::ZERO);
        let mut sessions = cache.typed::<Held>(class);
        sessions.form.codec = Some(Arc::new(Written));
        Self {
            sessions: sessions.weigh(Held::weight),
            name: Arc::from(""),
            locks: (0..LOCKS).map(|_| Mutex::default()).collect(),
        }
    }

    /// Separates these sessions from those of other names in the same cache.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into().into();
        self
    }

    /// Returns the time of day by the cache's clock.
    fn wall_time(&self) -> SystemTime {
        self.sessions.cache.tiers.clock.wall()
    }

    fn key(&self, id: &Id) -> session_store::Result<Key> {
        let text = HEXLOWER.encode(&Sha256::digest(id.0.to_le_bytes()));
        Key::builder("session").part(&*self.name).part(text).build().map_err(|error| Error::Backend(error.to_string()))
    }

    async fn lock(&self, id: &Id) -> MutexGuard<'_, ()> {
        // An id is random: its lowest byte spreads well.
        self.locks[usize::from(id.0.to_le_bytes()[0]) % LOCKS].lock().await
    }

    /// Returns the held session, live or ended.
    async fn held(&self, key: &Key) -> session_store::Result<Option<Arc<Held>>> {
        let missing = async || {
            if nested::is_without_l2() {
                return Err(Missing::Unknown);
            }
            Err::<Fill<Held>, _>(Missing::Absent)
        };
        match self.sessions.fetch(key, missing).await {
            Ok(read) => Ok(Some(read.value).filter(|held| !held.is_over(self.wall_time()))),
            Err(LoadError::Loader(missing)) => match *missing {
                Missing::Absent => Ok(None),
                Missing::Unknown => Err(unreachable("the session could not be read from")),
            },
            Err(error) => Err(Error::Backend(error.to_string())),
        }
    }

    async fn put(&self, key: &Key, data: Data, expiry_date: OffsetDateTime) -> session_store::Result<()> {
        let left = expiry_date - OffsetDateTime::from(self.wall_time());
        let Some(left) = Duration::try_from(left).ok().filter(|left| !left.is_zero()) else {
            // It has expired already.
            return self.end(key).await;
        };
        let held = Held::Live { data, expires: expiry_date.unix_timestamp() };
        self.put_in_both(key, Fill::new(held).ttl(left)).await
    }

    /// Stores a live session, unless it has ended meanwhile in any process. L2 comes first: a
    /// session that it does not take is in no tier.
    async fn put_in_both(&self, key: &Key, fill: Fill<Held>) -> session_store::Result<()> {
        let tiers = &self.sessions.cache.tiers;
        let Some(l2) = &tiers.l2 else { return room(self.sessions.put(key, fill).await) };
        let (fill, new, mark) = self.packed(l2, key, fill)?;
        let since = tiers.fence.now();
        match l2.put_unless(key, new, ENDING).boxed().await {
            Ok(true) => {
                if self.sessions.set_in_l1(key, since, fill, Some(mark)).stored
                    && let Some(slot) = tiers.memory.peek(key)
                {
                    // A notice of an end that came before this found nothing here to compare.
                    recheck(tiers, key, &slot);
                }
                Ok(())
            }
            other => {
                // The value of L2 is the one that counts.
                tiers.drop_scope(Scope::Key(key));
                other.map(drop).map_err(|Untold| unreachable("the session could not be stored in"))
            }
        }
    }

    /// Marks the session as ended. L2 comes first, so that no process can save the session once
    /// this call returns. If L2 cannot be reached now, the mark is owed, and this process applies
    /// it at once.
    async fn end(&self, key: &Key) -> session_store::Result<()> {
        let fill = Fill::new(Held::Ended).ttl(ENDED);
        let tiers = &self.sessions.cache.tiers;
        if let Some(l2) = &tiers.l2 {
            let (fill, new, mark) = self.packed(l2, key, fill)?;
            let since = tiers.fence.now();
            let told = l2.put_end(key, new).boxed().await;
            self.sessions.set_in_l1(key, since, fill, Some(mark));
            return told.map_err(|Untold| unreachable("the end of the session could not be stored in"));
        }
        room(self.sessions.put(key, fill).await)
    }

    /// Returns the same for both tiers.
    fn packed(&self, l2: &L2, key: &Key, mut fill: Fill<Held>) -> session_store::Result<(Fill<Held>, New, Mark)> {
        let class = &self.sessions.class;
        self.sessions.cache.tiers.settle(class, &mut fill);
        let new = l2.pack(&class.ttl, &Written, &fill).map_err(|error| {
            l2.codec_failed(class, key, &error);
            Error::Encode(error.to_string())
        })?;
        let mark = Mark { id: Some(new.id), left: class.ttl.in_l2(fill.ttl), noticed: 0 };
        Ok((fill, new, mark))
    }

    /// Completes a change in its own task, so that a caller that leaves changes both tiers.
    async fn carry_out<T, F>(&self, change: impl FnOnce(Self) -> F) -> session_store::Result<T>
    where
        T: Send + 'static,
        F: Future<Output = session_store::Result<T>> + Send + 'static,
    {
        let runtime = Handle::try_current().map_err(|error| Error::Backend(error.to_string()))?;
        let done = runtime.spawn(change(self.clone())).await;
        done.unwrap_or_else(|_| Err(Error::Backend("the change of the session was broken off".to_owned())))
    }
}

fn room(is_kept: bool) -> session_store::Result<()> {
    is_kept.then_some(()).ok_or_else(|| Error::Backend("the cache has no room for the session".to_owned()))
}

fn unreachable(what: &str) -> Error {
    Error::Backend(format!("{what} the tier that processes share"))
}

#[async_trait]
impl SessionStore for CacheSessions {
    async fn create(&self, record: &mut Record) -> session_store::Result<()> {
        let (mut id, data, expiry_date) = (record.id, record.data.clone(), record.expiry_date);
        record.id = self
            .carry_out(async move |store| {
                loop {
                    let key = store.key(&id)?;
                    let guard = store.lock(&id).await;
                    if store.held(&key).await?.is_none() {
                        store.put(&key, data, expiry_date).await?;
                        return Ok(id);
                    }
                    drop(guard);
                    id = Id::default();
                }
            })
            .await?;
        Ok(())
    }

    async fn save(&self, record: &Record) -> session_store::Result<()> {
        let (id, data, expiry_date) = (record.id, record.data.clone(), record.expiry_date);
        self.carry_out(async move |store| {
            let key = store.key(&id)?;
            let _guard = store.lock(&id).await;
            match store.held(&key).await?.as_deref() {
                Some(Held::Ended) => Ok(()),
                Some(Held::Live { .. }) | None => store.put(&key, data, expiry_date).await,
            }
        })
        .await
    }

    async fn load(&self, id: &Id) -> session_store::Result<Option<Record>> {
        let held = self.held(&self.key(id)?).await?;
        let record = |held: Arc<Held>| match &*held {
            Held::Live { data, expires } => {
                let expiry_date = OffsetDateTime::from_unix_timestamp(*expires).ok()?;
                Some(Record { id: *id, data: data.clone(), expiry_date })
            }
            Held::Ended => None,
        };
        Ok(held.and_then(record))
    }

    async fn delete(&self, id: &Id) -> session_store::Result<()> {
        let id = *id;
        self.carry_out(async move |store| {
            let key = store.key(&id)?;
            let _guard = store.lock(&id).await;
            store.end(&key).await
        })
        .await
    }
}

/// [`Held::Ended`] as bytes; no live session ends with them.
const ENDING: &[u8] = b"\"Ended\"";

impl Held {
    fn is_over(&self, now: SystemTime) -> bool {
        matches!(self, Self::Live { expires, .. } if *expires <= OffsetDateTime::from(now).unix_timestamp())
    }

    /// Returns its approximate size in bytes.
    fn weight(&self) -> usize {
        let inside = match self {
            Self::Live { data, .. } => {
                data.iter().map(|(name, value)| name.len() + weight(value) + size_of::<serde_json::Value>()).sum()
            }
            Self::Ended => 0,
        };
        size_of::<Self>() + inside
    }
}

fn weight(value: &serde_json::Value) -> usize {
    use serde_json::Value;

    let around = size_of::<Value>();
    match value {
        Value::String(text) => around + text.len(),
        Value::Array(items) => around + items.iter().map(weight).sum::<usize>(),
        Value::Object(fields) => around + fields.iter().map(|(name, value)| name.len() + weight(value)).sum::<usize>(),
        _ => around,
    }
}

impl fmt::Debug for CacheSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheSessions").field("name", &self.name).finish_non_exhaustive()
    }
}
