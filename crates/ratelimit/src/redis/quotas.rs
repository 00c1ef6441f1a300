//! Quotas that are changed for all nodes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_redis::{Arg, Client, Command, Keyspace, Script};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::{CheckError, Limiter, Quota, QuotaError, StoreError};

/// Quotas that are changed on one node and hold on every node within a second.
///
/// They lie in one small hash in Redis, `{rl:quotas}`, which each node reads twice a second. Limiters are
/// [registered](Self::register) by their names; one whose quota is published there gets it by
/// [`set_quota`](Limiter::set_quota), usage carried over, and its own one back when that is [withdrawn](Self::withdraw). A
/// quota of a name that is not registered here is kept for those nodes on which it is.
///
/// - **In an outage** each node goes on with what it last knew, and learns what has changed since when Redis is back.
/// - **A server that has lost a change** (a failover, a flush) is told again by the nodes that know it.
/// - What can't be applied here, such as a text that another program wrote, changes nothing and is named by
///   [`refused`](Self::refused).
/// - A limiter over several windows ([`Windows`](crate::Windows)) has the one over the quota's period changed; what was published last is
///   what counts.
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
/// The longest name of a limiter that is published.
const MAX_NAME_BYTES: usize = 512;
/// The field that counts changes; no limiter has that name.
const EPOCH: &str = "";

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
}

/// What this node knows.
#[derive(Default)]
struct Known {
    /// How many changes were made before what is known.
    epoch: u64,
    /// Limiter to text.
    published: BTreeMap<String, String>,
    registered: Vec<Registered>,
    /// Names with a text that can't be applied here.
    refused: BTreeMap<String, QuotaError>,
}

struct Registered {
    limiter: Arc<dyn Limiter>,
    /// Its own quota, for when none is published.
    own: Quota,
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
            publish: Script::new("publish_quota", include_str!("../lua/publish_quota.lua")),
            restore: Script::new("restore_quotas", include_str!("../lua/restore_quotas.lua")).idempotent(),
            known: Mutex::default(),
        });
        let _ = inner.read().await;
        let reader = {
            let inner = inner.clone();
            tokio::spawn(async move {
                let mut ticks = interval(READ_EVERY);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    ticks.tick().await;
                    // In an outage what is known stays.
                    let _ = inner.read().await;
                }
            })
        };
        Self { inner, _reader: Arc::new(Reader(reader)) }
    }

    /// Has the limiter follow what is published under its name, from now on and at once.
    pub fn register(&self, limiter: Arc<dyn Limiter>) {
        let mut known = self.inner.known();
        let registered = Registered { own: limiter.quota(), limiter };
        if let Some(text) = known.published.get(registered.limiter.name()).cloned() {
            known.apply(&registered, Some(&text));
        }
        known.registered.push(registered);
    }

    /// Changes the quota of the limiters of that name: here at once, elsewhere when it is read.
    ///
    /// # Errors
    /// [`PublishError`]; then this node's limiters are as before.
    pub async fn publish(&self, limiter: &str, quota: Quota) -> Result<(), PublishError> {
        ensure_name(limiter)?;
        self.inner.probe(limiter, quota)?;
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

    /// What is published, as far as this node knows: names and quotas, those that are refused here left out.
    pub fn published(&self) -> Vec<(String, Quota)> {
        let known = self.inner.known();
        let parsed = known.published.iter().filter_map(|(name, text)| Some((name.clone(), text.parse().ok()?)));
        parsed.collect()
    }

    /// The names whose published quota can't be applied here, and why.
    pub fn refused(&self) -> Vec<(String, QuotaError)> {
        self.inner.known().refused.iter().map(|(name, error)| (name.clone(), *error)).collect()
    }

    /// How many changes were made until what this node knows, over all names and nodes.
    pub fn epoch(&self) -> u64 {
        self.inner.known().epoch
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

    /// Sees that the limiters of that name can apply the quota: one that can't refuses it, and those before it go back.
    fn probe(&self, name: &str, quota: Quota) -> Result<(), QuotaError> {
        let known = self.known();
        let mut changed = Vec::new();
        for Registered { limiter, .. } in known.registered.iter().filter(|one| one.limiter.name() == name) {
            let before = limiter.quota();
            if let Err(error) = limiter.set_quota(quota) {
                for (limiter, before) in changed {
                    known.put_back(limiter, before);
                }
                return Err(error);
            }
            changed.push((limiter, before));
        }
        Ok(())
    }

    async fn change(&self, name: &str, quota: Option<Quota>) -> Result<(), PublishError> {
        let text = quota.map(|quota| quota.to_string());
        let args = vec![Arg::from(name), Arg::from(text.as_deref().unwrap_or_default())];
        let answer = self.client.run(&self.publish, &[self.key.as_str()], args).await;
        match answer.and_then(|epoch| epoch.as_count()) {
            Ok(epoch) => {
                let mut known = self.known();
                // An older epoch than the next one says that others have changed something too: the next reading tells what.
                known.epoch = if epoch == known.epoch + 1 { epoch } else { known.epoch };
                known.learn_one(name, text);
                Ok(())
            }
            Err(error) => {
                let mut known = self.known();
                let text = known.published.get(name).cloned();
                known.learn_one(name, text);
                Err(PublishError::Store(store_error(error)))
            }
        }
    }

    async fn read(&self) -> Result<(), StoreError> {
        let asked_at = self.known().epoch;
        let hash = Command::new("HGETALL").key(self.key.as_str()).idempotent();
        let answer = self.client.execute(hash).await.and_then(tidegate_redis::Value::into_map).map_err(store_error)?;
        let mut published = BTreeMap::new();
        let mut epoch = 0;
        for (name, text) in answer {
            let (Ok(name), Ok(text)) = (name.into_text(), text.into_text()) else { continue };
            if name == EPOCH {
                epoch = text.parse().unwrap_or(0);
            } else {
                published.insert(name, text);
            }
        }
        let lost = {
            let mut known = self.known();
            if epoch < asked_at {
                Some((known.epoch, known.published.clone()))
            } else if epoch < known.epoch {
                // Asked before a change that this node has made meanwhile: the next reading tells.
                None
            } else {
                known.learn_all(epoch, published);
                None
            }
        };
        match lost {
            Some((epoch, published)) => self.tell_again(epoch, published).await,
            None => Ok(()),
        }
    }

    /// Writes what this node knows over what the server does, if that is still older.
    async fn tell_again(&self, epoch: u64, published: BTreeMap<String, String>) -> Result<(), StoreError> {
        let fields = published.into_iter().flat_map(|(name, text)| [Arg::from(name), Arg::from(text)]);
        let args = std::iter::once(Arg::from(epoch)).chain(fields).collect();
        self.client.run(&self.restore, &[self.key.as_str()], args).await.map(drop).map_err(store_error)
    }
}

fn store_error(error: tidegate_redis::Error) -> StoreError {
    match CheckError::from(error) {
        CheckError::Store(error) => error,
        other => StoreError::new(other.to_string()),
    }
}

impl Known {
    fn learn_all(&mut self, epoch: u64, published: BTreeMap<String, String>) {
        self.epoch = epoch;
        let before = std::mem::take(&mut self.published);
        let names = before.keys().chain(published.keys().filter(|name| !before.contains_key(*name)));
        let changed: Vec<_> = names.filter(|name| before.get(*name) != published.get(*name)).cloned().collect();
        self.published = published;
        for name in changed {
            self.apply_to_all(&name);
        }
    }

    fn learn_one(&mut self, name: &str, text: Option<String>) {
        match text {
            Some(text) => self.published.insert(name.to_owned(), text),
            None => self.published.remove(name),
        };
        self.apply_to_all(name);
    }

    fn apply_to_all(&mut self, name: &str) {
        let registered = std::mem::take(&mut self.registered);
        let text = self.published.get(name).cloned();
        self.refused.remove(name);
        for one in registered.iter().filter(|one| one.limiter.name() == name) {
            self.apply(one, text.as_deref());
        }
        self.registered = registered;
    }

    /// Gives the limiter what is published, or its own quota where nothing is.
    fn apply(&mut self, registered: &Registered, text: Option<&str>) {
        let quota = text.map_or(Ok(registered.own), str::parse);
        let applied = quota.and_then(|quota| {
            // What changes nothing need not walk all keys.
            if registered.limiter.quota() == quota { Ok(()) } else { registered.limiter.set_quota(quota) }
        });
        if let Err(error) = applied {
            self.refused.insert(registered.limiter.name().to_owned(), error);
        }
    }

    fn put_back(&self, limiter: &Arc<dyn Limiter>, quota: Quota) {
        // It was its own before, so it can apply it.
        let _ = limiter.set_quota(quota);
    }
}

impl fmt::Debug for SharedQuotas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.inner.known();
        f.debug_struct("SharedQuotas")
            .field("epoch", &known.epoch)
            .field("published", &known.published)
            .field("refused", &known.refused)
            .finish_non_exhaustive()
    }
}
