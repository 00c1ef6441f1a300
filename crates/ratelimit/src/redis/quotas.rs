//! Quotas that are changed for all nodes.

mod field;
mod known;
mod live;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_redis::{Arg, Client, Command, Keyspace, Script, Value};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use field::Field;
use known::Known;
use live::Roll;

use crate::{CheckError, Limiter, LiveProcesses, Quota, QuotaError, Quotas, StoreError};

/// Quotas that are changed on one node and apply on every node within one second.
///
/// They are stored in one small hash in Redis, `{rl:quotas}`, which each node reads twice per
/// second. Limiters are [registered](Self::register) by name. If a quota is published for a
/// limiter's name, the limiter gets it with [`set_quota`](Limiter::set_quota), so usage is carried
/// over. After a [withdrawal](Self::withdraw) it gets its own quota back. A quota for a name that
/// is not registered on this node is kept for the nodes on which it is.
///
/// - **During an outage** each node keeps the last known quotas, and reads changes when Redis is
///   available again.
/// - **If a server has lost a change** (failover, flush), the nodes that know the change write it
///   again. Each change has the server's time at which it was made, and of two changes for one
///   limiter the later one wins. A change that was published after the loss therefore wins, even if
///   its node did not know the lost one. Between servers with different clocks, the order is only
///   as exact as the clocks. On a node that knew the earlier change, the new one always has a later
///   time.
/// - A quota that cannot be applied on this node, such as an invalid text of another program,
///   changes nothing and is listed by [`refused`](Self::refused).
/// - In a limiter with several windows ([`Windows`](crate::Windows)), a published quota changes the
///   window with the same period. Other published windows are kept, and the rest are each node's
///   own. Publish for such a limiter from a node on which it is registered: other nodes do not know
///   its windows, and would replace a single published one.
/// - A quota set with [`set_quota`](Limiter::set_quota) before the first publication is the
///   limiter's own. A quota set after that applies on that node until something else is published
///   or withdrawn.
///
/// Each node also reports every 3 s that it is alive, so that all nodes know the number of [live
/// processes](Self::live_processes) that share the limits. A stopped node is counted for up to 20 s
/// more.
///
/// If limiters are wrapped, register the outermost one, so that all of them are informed. For a
/// limiter with a [`DynamicQuota`](crate::DynamicQuota), register the `DynamicQuota`. Clones share
/// their state. Reading stops when the last clone is dropped.
#[derive(Clone)]
pub struct SharedQuotas {
    inner: Arc<Inner>,
    _reader: Arc<Reader>,
}

const READ_EVERY: Duration = Duration::from_millis(500);
/// Interval between reports that a node is alive. Each is a write.
const TOUCH_EVERY: Duration = Duration::from_secs(3);
const MAX_NAME_BYTES: usize = 512;
/// Maximum number of attempts for a change if other nodes make changes first.
const ATTEMPTS: usize = 16;

/// Reason why a quota was not published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The limiter that is registered on this node cannot apply the quota. Nothing has changed.
    #[error("the limiter can't apply that quota: {0}")]
    Quota(#[from] QuotaError),
    /// The length of a limiter's name is not between 1 and 512 bytes.
    #[error("a limiter's name of {length} bytes is not between 1 and {max}")]
    Name {
        /// Length of the name, in bytes.
        length: usize,
        /// Maximum length, in bytes.
        max: usize,
    },
    /// Redis did not answer, so this node keeps the previous quota. If the error says that it [may
    /// have been charged](StoreError::may_have_charged), the change may have been made; every node
    /// then receives it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

struct Inner {
    client: Client,
    key: String,
    publish: Script,
    restore: Script,
    known: Mutex<Known>,
    roll: Roll,
}

/// The task that reads the hash. Aborted when the last user drops it.
struct Reader(JoinHandle<()>);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl SharedQuotas {
    /// Starts to read the quotas that are published in the keyspace, and waits for the first reply,
    /// at most for the timeout of one command. It is not an error if Redis is unavailable: the
    /// quotas are read later.
    ///
    /// # Panics
    /// If called outside a tokio runtime with a timer.
    pub async fn start(client: Client, keyspace: &Keyspace) -> Self {
        let inner = Arc::new(Inner {
            client,
            key: keyspace.group("rl", &["quotas"]).as_str().to_owned(),
            publish: Script::new("publish_quota", include_str!("../lua/publish_quota.lua")).allow_oom(),
            restore: Script::new("restore_quotas", include_str!("../lua/restore_quotas.lua")).idempotent().allow_oom(),
            known: Mutex::default(),
            roll: Roll::new(keyspace.group("rl", &["quotas"]).key("processes")),
        });
        let _ = inner.read().await;
        let _ = inner.roll.touch(&inner.client).await;
        let reader = {
            let inner = inner.clone();
            tokio::spawn(async move {
                let mut ticks = interval(READ_EVERY);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                let mut touched = Instant::now();
                loop {
                    ticks.tick().await;
                    // During an outage the known quotas are kept.
                    let _ = inner.read().await;
                    if touched.elapsed() >= TOUCH_EVERY {
                        touched = Instant::now();
                        let _ = inner.roll.touch(&inner.client).await;
                    }
                }
            })
        };
        Self { inner, _reader: Arc::new(Reader(reader)) }
    }

    /// Applies the quotas that are published for the limiter's name, immediately and from now on.
    pub fn register(&self, limiter: Arc<dyn Limiter>) {
        self.inner.known().register(limiter);
    }

    /// Changes the quota of all limiters with that name: here now, elsewhere at the next read.
    ///
    /// # Errors
    /// [`PublishError`]. This node's limiters are then unchanged.
    pub async fn publish(&self, limiter: &str, quota: Quota) -> Result<(), PublishError> {
        ensure_name(limiter)?;
        self.inner.change(limiter, Some(quota)).await
    }

    /// Restores the limiters' own quotas for that name, on every node.
    ///
    /// # Errors
    /// [`PublishError`]. This node's limiters are then unchanged.
    pub async fn withdraw(&self, limiter: &str) -> Result<(), PublishError> {
        ensure_name(limiter)?;
        self.inner.change(limiter, None).await
    }

    /// Reads the hash now instead of within half a second.
    ///
    /// # Errors
    /// [`StoreError`] if Redis cannot be reached. The known quotas are kept.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        self.inner.read().await
    }

    /// The published names and quotas that this node knows, without the names in
    /// [`refused`](Self::refused). For a limiter with several windows, only the published ones.
    pub fn published(&self) -> Vec<(String, Quotas)> {
        let known = self.inner.known();
        let accepted = known.fields.iter().filter(|(name, _)| !known.refused.contains_key(*name));
        // Quotas that cannot be parsed are omitted too, also for names not registered here.
        accepted.filter_map(|(name, field)| Some((name.clone(), field.quotas().ok()??))).collect()
    }

    /// The number of live nodes. The value is updated automatically.
    pub fn live_processes(&self) -> LiveProcesses {
        self.inner.roll.live.clone()
    }

    /// The names whose published quota cannot be applied on this node, with the reasons.
    pub fn refused(&self) -> Vec<(String, QuotaError)> {
        self.inner.known().refused.iter().map(|(name, error)| (name.clone(), *error)).collect()
    }

    /// The server's time of the latest change known to this node, in µs. Zero before the first.
    pub fn epoch(&self) -> u64 {
        self.inner.known().fields.values().map(|field| field.date).max().unwrap_or(0)
    }
}

fn ensure_name(name: &str) -> Result<(), PublishError> {
    let (length, max) = (name.len(), MAX_NAME_BYTES);
    if (1..=max).contains(&length) { Ok(()) } else { Err(PublishError::Name { length, max }) }
}

impl Inner {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes to Redis first and then applies the result. Without a reply, or if the future is
    /// dropped, nothing changes on this node.
    async fn change(&self, name: &str, quota: Option<Quota>) -> Result<(), PublishError> {
        for _ in 0..ATTEMPTS {
            let (text, date) = {
                let known = self.known();
                let planned = quota.map(|quota| known.plan(name, quota)).transpose()?;
                (planned.map(|quotas| quotas.to_string()).unwrap_or_default(), known.date(name))
            };
            let args = vec![Arg::from(name), Arg::from(text.as_str()), Arg::from(date)];
            let answer = self.client.run(&self.publish, &[self.key.as_str()], args).await;
            let (is_done, field) = answer.and_then(answered).map_err(store_error)?;
            if is_done {
                let date = field.parse().map_err(|_| StoreError::new("no date of a change").maybe_charged())?;
                self.known().learn(name.to_owned(), Field { date, text });
                return Ok(());
            }
            // Another node made a change first. This change is applied on top of it.
            self.known().learn(name.to_owned(), Field::parse(&field));
        }
        Err(StoreError::new("other nodes change that quota all the time").transient().into())
    }

    async fn read(&self) -> Result<(), StoreError> {
        let hash = Command::new("HGETALL").key(self.key.as_str()).idempotent();
        let answer = self.client.execute(hash).await.and_then(Value::into_map).map_err(store_error)?;
        let lost = {
            let mut known = self.known();
            let mut present = BTreeSet::new();
            for (name, field) in answer {
                let (Ok(name), Ok(field)) = (name.into_text(), field.into_text()) else { continue };
                // A change that was published during this read is newer here, and not lost.
                if !known.learn(name.clone(), Field::parse(&field)) {
                    present.insert(name);
                }
            }
            let lost = known.fields.iter().filter(|(name, _)| !present.contains(*name));
            lost.map(|(name, field)| (name.clone(), field.to_string())).collect::<Vec<_>>()
        };
        if lost.is_empty() { Ok(()) } else { self.tell_again(lost).await }
    }

    /// Writes the changes that this node knows if the server has none or older ones.
    async fn tell_again(&self, lost: Vec<(String, String)>) -> Result<(), StoreError> {
        let args = lost.into_iter().flat_map(|(name, field)| [Arg::from(name), Arg::from(field)]).collect();
        self.client.run(&self.restore, &[self.key.as_str()], args).await.map(drop).map_err(store_error)
    }
}

/// Whether the change was made, with its time. Otherwise the content of the field.
fn answered(answer: Value) -> Result<(bool, String), tidegate_redis::Error> {
    let mut parts = answer.into_array()?.into_iter();
    let is_done = parts.next().map_or(Ok(0), |part| part.as_int())? == 1;
    Ok((is_done, parts.next().map_or_else(|| Ok(String::new()), Value::into_text)?))
}

fn store_error(error: tidegate_redis::Error) -> StoreError {
    match CheckError::from(error) {
        CheckError::Store(error) => error,
        other => StoreError::new(other.to_string()),
    }
}

impl fmt::Debug for SharedQuotas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.inner.known();
        f.debug_struct("SharedQuotas")
            .field("fields", &known.fields)
            .field("refused", &known.refused)
            .finish_non_exhaustive()
    }
}
