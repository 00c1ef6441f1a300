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

/// Quotas that are changed on one node and hold on every node within a second.
///
/// They lie in one small hash in Redis, `{rl:quotas}`, which each node reads twice a second. Limiters are
/// [registered](Self::register) by their names; one whose quota is published there gets it by
/// [`set_quota`](Limiter::set_quota), usage carried over, and its own one back when that is [withdrawn](Self::withdraw). A
/// quota of a name that is not registered here is kept for those nodes on which it is.
///
/// - **In an outage** each node goes on with what it last knew, and learns what has changed since when Redis is back.
/// - **A server that has lost a change** (a failover, a flush) is told again by the nodes that know it. Each change has the date at which
///   the server took it, and of two over one limiter the later one counts: what is published after the loss stays, however little the
///   node that published it knew. Between servers with different clocks that order is as good as the clocks; on a node that knew of
///   the earlier change the new one is always later.
/// - What can't be applied here, such as a text that another program wrote, changes nothing and is named by
///   [`refused`](Self::refused).
/// - A limiter over several windows ([`Windows`](crate::Windows)) has the one over the quota's period changed. The others that were
///   published stay, and the rest are each node's own. Publish for such a limiter from a node on which it is registered: elsewhere
///   nobody knows its windows, and a single one that was published is replaced.
/// - What [`set_quota`](Limiter::set_quota) set before the first publish is the limiter's own; what it sets afterwards holds on that node
///   until something else is published or withdrawn.
///
/// Each node also reports every 3 s that it is alive, so that all know how many [live
/// processes](Self::live_processes) share the limits. A node that is gone is counted for up to
/// 20 s more.
///
/// Register the outermost of decorated limiters, so that each of them notices; of a limiter with a
/// [`DynamicQuota`](crate::DynamicQuota) that one. Clones share what they know; the reading ends with
/// the last of them.
#[derive(Clone)]
pub struct SharedQuotas {
    inner: Arc<Inner>,
    _reader: Arc<Reader>,
}

/// How often the hash is read.
const READ_EVERY: Duration = Duration::from_millis(500);
/// How often a node reports that it is alive, which is a write.
const TOUCH_EVERY: Duration = Duration::from_secs(3);
/// The longest name of a limiter that is published.
const MAX_NAME_BYTES: usize = 512;
/// How often a change is tried that others forestall. Each time another one was made.
const ATTEMPTS: usize = 16;

/// Why a quota was not published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The limiter registered here can't apply it; nothing has changed.
    #[error("the limiter can't apply that quota: {0}")]
    Quota(#[from] QuotaError),
    /// A limiter's name is between 1 and 512 bytes long.
    #[error("a limiter's name of {length} bytes is not between 1 and {max}")]
    Name {
        /// The length of the name, in bytes.
        length: usize,
        /// The longest.
        max: usize,
    },
    /// Redis gave no answer, so this node stays with what was before. If it
    /// [may have been charged](StoreError::may_have_charged) the change may have been made: then every node gets it.
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

/// The task that reads; ends with its last user.
struct Reader(JoinHandle<()>);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl SharedQuotas {
    /// Begins to read what is published in that keyspace, and waits for the first answer, for no longer than one command may
    /// take. That Redis is away is no error: what is published there is learned when it is back.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its timer.
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
                    // In an outage what is known stays.
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

    /// Has the limiter follow what is published under its name, from now on and at once.
    pub fn register(&self, limiter: Arc<dyn Limiter>) {
        self.inner.known().register(limiter);
    }

    /// Changes the quota of the limiters of that name: here at once, elsewhere when it is read.
    ///
    /// # Errors
    /// [`PublishError`]; then this node's limiters are as before.
    pub async fn publish(&self, limiter: &str, quota: Quota) -> Result<(), PublishError> {
        ensure_name(limiter)?;
        self.inner.change(limiter, Some(quota)).await
    }

    /// Gives the limiters of that name their own quota back, on every node.
    ///
    /// # Errors
    /// [`PublishError`]; then this node's limiters are as before.
    pub async fn withdraw(&self, limiter: &str) -> Result<(), PublishError> {
        ensure_name(limiter)?;
        self.inner.change(limiter, None).await
    }

    /// Reads now, rather than within half a second.
    ///
    /// # Errors
    /// [`StoreError`] when Redis can't be asked; what was known stays.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        self.inner.read().await
    }

    /// What is published, as far as this node knows: names and quotas, without the names of [`refused`](Self::refused). Of a limiter
    /// over several windows those that were published.
    pub fn published(&self) -> Vec<(String, Quotas)> {
        let known = self.inner.known();
        let accepted = known.fields.iter().filter(|(name, _)| !known.refused.contains_key(*name));
        // What nobody can read is left out too where no limiter of that name is here to refuse it.
        accepted.filter_map(|(name, field)| Some((name.clone(), field.quotas().ok()??))).collect()
    }

    /// The number of nodes that are alive, which follows them by itself.
    pub fn live_processes(&self) -> LiveProcesses {
        self.inner.roll.live.clone()
    }

    /// The names whose published quota can't be applied here, and why.
    pub fn refused(&self) -> Vec<(String, QuotaError)> {
        self.inner.known().refused.iter().map(|(name, error)| (name.clone(), *error)).collect()
    }

    /// The date of the latest change that this node knows of, over all names: the server's time in µs, zero before the first.
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

    /// Asks Redis first and applies what it took: without an answer, or when the future is dropped, nothing has changed here.
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
            // Somebody else was there first: this change goes on top of theirs.
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
                // What was published while this was under way is newer here, and not lost.
                if !known.learn(name.clone(), Field::parse(&field)) {
                    present.insert(name);
                }
            }
            let lost = known.fields.iter().filter(|(name, _)| !present.contains(*name));
            lost.map(|(name, field)| (name.clone(), field.to_string())).collect::<Vec<_>>()
        };
        if lost.is_empty() { Ok(()) } else { self.tell_again(lost).await }
    }

    /// Writes what this node knows where the server has nothing or what is older.
    async fn tell_again(&self, lost: Vec<(String, String)>) -> Result<(), StoreError> {
        let args = lost.into_iter().flat_map(|(name, field)| [Arg::from(name), Arg::from(field)]).collect();
        self.client.run(&self.restore, &[self.key.as_str()], args).await.map(drop).map_err(store_error)
    }
}

/// Whether the change was made, and its date; else what the field holds.
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
