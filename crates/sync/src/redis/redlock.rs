//! One holder at a time among several independent masters.

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

/// Between two attempts, at most; at least half of it. Random, so that rivals who split the masters don't meet again.
const RETRY: Duration = Duration::from_millis(40);

/// The Redlock algorithm: a lock over several Redis masters that know nothing of each other, held by whoever has most of
/// them. It stands while fewer than half of them are out or have lost their data.
///
/// # What it does not guarantee
///
/// - **There is no fencing token.** Masters that know nothing of each other can't count together. A holder that is
///   suspended beyond its lease and then writes can't be stopped by this lock: where that would do harm, use
///   [`Lock`](crate::Lock) with its token, and use this one where two at work are merely wasteful.
/// - It trusts the clocks of all masters to run at nearly one speed (it allows for 2 %), and a master that restarts without
///   its data to stay away for one lease, which nothing enforces: run them with `appendfsync always`, or restart slowly.
/// - There is no order among those who wait: each tries again after 20 to 40 ms.
/// - The lease must be much longer than a round trip to the slowest master that counts.
/// - Give it masters that are independent: several clients of one server, or a primary and its replica, are one failure.
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
    /// The lock of that name, any text, over `clients`, one to each master.
    ///
    /// # Errors
    /// [`RedlockError`] when there are fewer than three of them, or an even number: four stand no more failures than three.
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

    /// The lock of another name over the same masters.
    #[must_use]
    pub fn named(&self, keyspace: &Keyspace, name: impl Into<String>) -> Self {
        let name = name.into();
        Self { key: keys::redlock(keyspace, &name), name, ..self.clone() }
    }

    crate::hold::lease_builders!(options);

    /// Asks all masters once, at the same time. Fewer than most of them is nothing, and all are told to forget it, also
    /// those that have not answered.
    ///
    /// # Errors
    /// A [`StoreError`] when so many masters are out that nobody could hold it.
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
        // What is left of a lease that took too long to get is dropped, and with it released.
        Ok(hold.is_held().then_some(RedlockGuard { hold }))
    }

    /// Tries again and again for `timeout`.
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

    /// Its name.
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

/// There can be no majority worth the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a Redlock needs 3, 5, 7 … independent masters, not {masters}")]
pub struct RedlockError {
    masters: usize,
}

/// Most masters say that it is held. Dropped, it is released everywhere in the background.
#[must_use = "the lock is released when its guard is dropped"]
pub struct RedlockGuard {
    hold: Hold,
}

impl RedlockGuard {
    /// Whether it is certain to be held, if the clocks run at nearly one speed.
    pub fn is_held(&self) -> bool {
        self.hold.is_held()
    }

    /// The validity time: for how long it is held if it is not renewed.
    pub fn remaining(&self) -> Duration {
        self.hold.remaining()
    }

    /// Waits until it is lost.
    pub async fn lost(&self) {
        self.hold.lost().await;
    }

    /// Extends it on most masters. Returns whether it is still held.
    ///
    /// # Errors
    /// Too many masters are out.
    pub async fn extend(&self) -> Result<bool, StoreError> {
        self.hold.extend().await
    }

    /// Releases it on all masters.
    ///
    /// # Errors
    /// When a master could not be told; the background goes on trying until the lease has ended.
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
    /// Runs a script on all masters at once until most have said one thing. Errs when too few have answered at all. What
    /// is under way then goes on, since it can't be recalled.
    async fn on_majority(&self, doing: &'static str, script: fn(&Masters) -> &Script) -> Result<bool, StoreError> {
        let most = self.masters.clients.len() / 2 + 1;
        // No master may use up the lease: one that takes longer counts as out.
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

/// Most masters took too long.
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

    /// On every master, also those that did not answer when it was taken: what was sent to them may yet arrive, and this
    /// arrives behind it.
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
