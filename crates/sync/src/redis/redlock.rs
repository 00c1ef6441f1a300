//! Redlock: one holder at a time over several independent masters.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tidegate_redis::{Arg, Client, Keyspace, Script};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::keys;
use crate::clock::micros;
use crate::error::{AcquireError, StoreError};
use crate::hold::{Claim, Hold, Lease, LeaseOptions};
use crate::owner;

/// Maximum time between two attempts; the minimum is half of it. Random, so that competing clients
/// that split the masters do not collide again.
const RETRY: Duration = Duration::from_millis(40);

/// The Redlock algorithm: a lock over several independent Redis masters. The holder is the owner
/// that has the majority of them. It works while fewer than half of them are unavailable or have
/// lost their data.
///
/// # What it does not guarantee
///
/// - **There is no fencing token**, because independent masters cannot share a counter. This lock
///   cannot stop a holder that is suspended beyond its lease and then writes. If that would do
///   harm, use [`Lock`](crate::Lock) with its token. Use this lock if two concurrent holders are
///   only inefficient.
/// - It relies on the clocks of all masters to run at nearly the same rate (it allows for 2 %), and
///   on a master that restarts without its data to stay away for one lease. Nothing enforces the
///   latter: configure `appendfsync always`, or delay restarts.
/// - Waiters have no order: each retries after 20 to 40 ms.
/// - The lease must be much longer than a round trip to the slowest master of the majority.
/// - The masters must be independent: several clients of one server, or a primary and its replica,
///   fail together.
#[derive(Clone)]
pub struct Redlock {
    masters: Arc<Masters>,
    name: String,
    key: String,
    options: LeaseOptions,
}

struct Masters {
    clients: Vec<Client>,
    take: Script,
    extend: Script,
    release: Script,
}

impl Redlock {
    /// Creates a handle for the lock `name`, which can be any text, over `clients`, one for each
    /// master.
    ///
    /// # Errors
    /// [`RedlockError`] if there are fewer than three, or an even number: four tolerate no more
    /// failures than three.
    pub fn try_new(clients: Vec<Client>, keyspace: &Keyspace, name: impl Into<String>) -> Result<Self, RedlockError> {
        if clients.len() < 3 || clients.len().is_multiple_of(2) {
            return Err(RedlockError { masters: clients.len() });
        }
        let name = name.into();
        let key = keys::redlock(keyspace, &name);
        let masters = Masters {
            clients,
            take: Script::new("redlock_take", include_str!("lua/redlock_take.lua")),
            extend: Script::new("redlock_extend", include_str!("lua/redlock_extend.lua")).idempotent(),
            release: Script::new("redlock_release", include_str!("lua/redlock_release.lua")).idempotent(),
        };
        Ok(Self { masters: Arc::new(masters), name, key, options: LeaseOptions::new() })
    }

    /// Creates a handle for a lock with another name over the same masters.
    #[must_use]
    pub fn named(&self, keyspace: &Keyspace, name: impl Into<String>) -> Self {
        let name = name.into();
        Self { key: keys::redlock(keyspace, &name), name, ..self.clone() }
    }

    crate::hold::lease_builders!(options);

    /// Sends one request to all masters at the same time. Without a majority, the lock is released
    /// on all masters, including those that have not replied.
    ///
    /// # Errors
    /// [`StoreError`] if too few masters are available for a majority.
    pub async fn try_acquire(&self) -> Result<Option<RedlockGuard>, StoreError> {
        let mut claim = Claim::new(MajorityLease {
            masters: self.masters.clone(),
            key: self.key.clone(),
            owner: owner::generate(),
            lease: self.options.duration,
        });
        let asked = Instant::now();
        claim.open();
        if !claim.lease.on_majority("taking a Redlock", |masters| &masters.take).await? {
            return Ok(None);
        }
        claim.close();
        let hold = Hold::start(claim.lease.clone(), asked, self.options.renewal);
        // A lease that took too long to acquire is dropped, which releases it.
        Ok(hold.is_held().then_some(RedlockGuard { hold }))
    }

    /// Retries for at most `timeout`.
    ///
    /// # Errors
    /// [`AcquireError`].
    pub async fn acquire(&self, timeout: Duration) -> Result<RedlockGuard, AcquireError> {
        let deadline = Instant::now() + timeout;
        loop {
            let answer = self.try_acquire().await;
            let now = Instant::now();
            match answer {
                Ok(Some(guard)) => return Ok(guard),
                Ok(None) if now >= deadline => return Err(AcquireError::TimedOut { after: timeout }),
                Err(error) if now >= deadline || !error.is_transient() => return Err(error.into()),
                _ => sleep(RETRY.mul_f64(rand::random_range(0.5..1.0)).min(deadline - now)).await,
            }
        }
    }

    /// The name of the lock.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for Redlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redlock")
            .field("name", &self.name)
            .field("masters", &self.masters.clients.len())
            .finish_non_exhaustive()
    }
}

/// The number of masters allows no useful majority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a Redlock needs 3, 5, 7 … independent masters, not {masters}")]
pub struct RedlockError {
    masters: usize,
}

/// A lock that is held on the majority of masters. When it is dropped, it is released on all
/// masters in the background.
#[must_use = "the lock is released when its guard is dropped"]
pub struct RedlockGuard {
    hold: Hold,
}

impl RedlockGuard {
    /// Whether the lock is certainly held, if the clocks run at nearly the same rate.
    pub fn is_held(&self) -> bool {
        self.hold.is_held()
    }

    /// The validity time: remaining time without a renewal.
    pub fn remaining(&self) -> Duration {
        self.hold.remaining()
    }

    /// Waits until the lock is lost.
    pub async fn lost(&self) {
        self.hold.lost().await;
    }

    /// Extends the lease on the majority of masters. Returns whether the lock is still held.
    ///
    /// # Errors
    /// [`StoreError`] if too many masters are unavailable.
    pub async fn extend(&self) -> Result<bool, StoreError> {
        self.hold.extend().await
    }

    /// Releases the lock on all masters.
    ///
    /// # Errors
    /// [`StoreError`] if a master could not be reached. The release is then retried in the
    /// background until the lease has ended.
    pub async fn release(self) -> Result<(), StoreError> {
        self.hold.release().await
    }
}

impl fmt::Debug for RedlockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedlockGuard").field("is_held", &self.is_held()).finish_non_exhaustive()
    }
}

struct MajorityLease {
    masters: Arc<Masters>,
    key: String,
    owner: String,
    lease: Duration,
}

impl MajorityLease {
    /// Runs a script on all masters at once until a majority has agreed. Returns an error if too
    /// few have replied. Running requests continue, because they cannot be cancelled.
    async fn on_majority(&self, doing: &'static str, script: fn(&Masters) -> &Script) -> Result<bool, StoreError> {
        let most = self.masters.clients.len() / 2 + 1;
        // No master may use up the lease: one that takes longer counts as unavailable.
        let patience = self.lease / 4;
        let mut asked = JoinSet::new();
        for client in self.masters.clients.clone() {
            let (script, key) = (script(&self.masters).clone(), self.key.clone());
            let args: Vec<Arg> = vec![(&self.owner).into(), (micros(self.lease) / 1_000).into()];
            asked.spawn(async move {
                let answer = timeout(patience, client.run(&script, &[&*key], args)).await.ok()?;
                Some(answer.and_then(|value| value.as_int()))
            });
        }
        let (mut yes, mut no, mut failure) = (0, 0, None);
        while let Some(answer) = asked.join_next().await {
            match answer {
                Ok(Some(Ok(1))) => yes += 1,
                Ok(Some(Ok(_))) => no += 1,
                Ok(Some(Err(error))) => failure = Some(error),
                Ok(None) | Err(_) => {}
            }
            if yes >= most {
                asked.detach_all();
                return Ok(true);
            }
        }
        match failure {
            _ if yes + no >= most => Ok(false),
            Some(error) => Err(StoreError::redis(doing, error)),
            None => Err(StoreError::new(doing, Unanswered).transient().maybe_run()),
        }
    }
}

/// The majority of masters took too long.
#[derive(Debug, thiserror::Error)]
#[error("most masters have not answered in time")]
struct Unanswered;

#[async_trait]
impl Lease for MajorityLease {
    fn duration(&self) -> Duration {
        self.lease
    }

    async fn extend(&self) -> Result<bool, StoreError> {
        self.on_majority("extending a Redlock", |masters| &masters.extend).await
    }

    /// On every master, including those that did not reply: a request to them may still arrive, and
    /// this one arrives after it.
    async fn release(&self) -> Result<(), StoreError> {
        let mut told = JoinSet::new();
        for client in self.masters.clients.clone() {
            let (script, key, owner) = (self.masters.release.clone(), self.key.clone(), self.owner.clone());
            told.spawn(async move { client.run(&script, &[&*key], vec![owner.into()]).await });
        }
        let mut failure = None;
        while let Some(answer) = told.join_next().await {
            if let Ok(Err(error)) = answer {
                failure = Some(StoreError::redis("releasing a Redlock", error));
            }
        }
        failure.map_or(Ok(()), Err)
    }
}
