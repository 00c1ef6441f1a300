//! Something held under a lease: renewed in the background, and given back at the end.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::error::StoreError;

/// The shortest lease: below it the renewals would be most of the work.
pub(crate) const SHORTEST_LEASE: Duration = Duration::from_millis(50);
/// Between two tries of a renewal or a release that failed.
const RETRY: Duration = Duration::from_millis(25);

/// Between two tries of a release, at last.
const LONGEST_RETRY: Duration = Duration::from_secs(1);

/// What is held, and where.
#[async_trait]
pub(crate) trait Lease: Send + Sync + 'static {
    /// How long it is held after each extension.
    fn duration(&self) -> Duration;
    /// Extends it. Returns whether it was still held.
    async fn extend(&self) -> Result<bool, StoreError>;
    /// Gives it back.
    async fn release(&self) -> Result<(), StoreError>;
}

/// Whether it is renewed while the guard lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    Automatic,
    None,
}

/// How a lock or a permit is held: for how long, and whether it is renewed.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use tidegate_sync::{LeaseOptions, Lock, MemoryStore};
///
/// let once = LeaseOptions::new().lease(Duration::from_secs(60)).without_renewal();
/// let nightly = Lock::new(Arc::new(MemoryStore::new()), "nightly").lease_options(once);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseOptions {
    pub(crate) duration: Duration,
    pub(crate) renewal: Renewal,
}

impl LeaseOptions {
    /// A lease of 10 s that is renewed in the background.
    pub const fn new() -> Self {
        Self { duration: Duration::from_secs(10), renewal: Renewal::Automatic }
    }

    /// Sets the lease: how long a holder that died keeps others out. Choose it longer than any
    /// pause of the holder and any outage of the store that it should survive. At least 50 ms; a
    /// shorter one is taken as that.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.duration = lease.max(SHORTEST_LEASE);
        self
    }

    /// Holds for one lease and no longer, unless the holder extends it.
    #[must_use]
    pub const fn without_renewal(mut self) -> Self {
        self.renewal = Renewal::None;
        self
    }
}

impl Default for LeaseOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// The builder methods of all that is held under a lease. The argument is the path to its
/// [`LeaseOptions`].
macro_rules! lease_builders {
    ($($options:ident).+) => {
        /// Sets the lease and its renewal.
        #[must_use]
        pub fn lease_options(mut self, options: $crate::LeaseOptions) -> Self {
            self.$($options).+ = options;
            self
        }

        /// Sets the lease, as [`LeaseOptions::lease`](crate::LeaseOptions::lease).
        #[must_use]
        pub fn lease(mut self, lease: std::time::Duration) -> Self {
            self.$($options).+ = self.$($options).+.lease(lease);
            self
        }

        /// Holds for one lease and no longer, unless the guard extends it.
        #[must_use]
        pub fn without_renewal(mut self) -> Self {
            self.$($options).+ = self.$($options).+.without_renewal();
            self
        }
    };
}
pub(crate) use lease_builders;

/// Until when it is certain to be held, by this process's own monotonic clock.
#[derive(Clone, Copy, Debug)]
struct Term {
    until: Instant,
    is_lost: bool,
}

impl Term {
    fn is_over(self) -> bool {
        self.is_lost || Instant::now() >= self.until
    }
}

/// Holds a lease until it is dropped.
pub(crate) struct Hold {
    lease: Arc<dyn Lease>,
    term: watch::Sender<Term>,
    renewer: Option<JoinHandle<()>>,
    runtime: Handle,
    is_given_back: bool,
}

impl Hold {
    /// Holds what was asked for at `asked`. The lease began later, when the store worked on the request: so the end that is
    /// computed from here comes before the store's.
    pub(crate) fn start(lease: Arc<dyn Lease>, asked: Instant, renewal: Renewal) -> Self {
        let term = watch::Sender::new(Term { until: asked + validity(lease.duration()), is_lost: false });
        let renewer = (renewal == Renewal::Automatic).then(|| tokio::spawn(renew(lease.clone(), term.clone())));
        Self { lease, term, renewer, runtime: Handle::current(), is_given_back: false }
    }

    pub(crate) fn is_held(&self) -> bool {
        !self.term.borrow().is_over()
    }

    /// For how long it is held if it is not renewed; zero when it was lost.
    pub(crate) fn remaining(&self) -> Duration {
        let term = *self.term.borrow();
        if term.is_lost { Duration::ZERO } else { term.until.saturating_duration_since(Instant::now()) }
    }

    /// Waits until it is lost.
    pub(crate) async fn lost(&self) {
        let mut changes = self.term.subscribe();
        loop {
            let term = *changes.borrow_and_update();
            if term.is_over() {
                return;
            }
            tokio::select! {
                _ = changes.changed() => {}
                () = sleep_until(term.until) => {}
            }
        }
    }

    /// Extends it now. Returns whether it is still held.
    pub(crate) async fn extend(&self) -> Result<bool, StoreError> {
        if !self.is_held() {
            return Ok(false);
        }
        extend(&*self.lease, &self.term).await
    }

    /// Gives it back, once; if that fails, the background goes on trying.
    pub(crate) async fn release(mut self) -> Result<(), StoreError> {
        self.stop_renewing();
        self.lease.release().await?;
        self.is_given_back = true;
        Ok(())
    }

    fn stop_renewing(&mut self) {
        if let Some(renewer) = self.renewer.take() {
            renewer.abort();
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.stop_renewing();
        if !self.is_given_back {
            let lease = self.lease.clone();
            self.runtime.spawn(async move { give_back(&*lease).await });
        }
    }
}

/// What is certain of a lease: two clocks that each are a percent wrong still agree on it.
fn validity(lease: Duration) -> Duration {
    lease - lease / 50
}

async fn extend(lease: &dyn Lease, term: &watch::Sender<Term>) -> Result<bool, StoreError> {
    let asked = Instant::now();
    let is_extended = lease.extend().await?;
    // A reply that comes after the end comes too late: somebody may have been told.
    if is_extended && !term.borrow().is_over() {
        term.send_modify(|term| term.until = asked + validity(lease.duration()));
        return Ok(true);
    }
    term.send_modify(|term| term.is_lost = true);
    Ok(false)
}

async fn renew(lease: Arc<dyn Lease>, term: watch::Sender<Term>) {
    let pause = validity(lease.duration()) / 3;
    loop {
        let until = term.borrow().until;
        sleep_until(until - pause * 2).await;
        loop {
            if term.borrow().is_over() {
                term.send_modify(|term| term.is_lost = true);
                return;
            }
            match timeout_at(until, extend(&*lease, &term)).await {
                Ok(Ok(true)) => break,
                Ok(Ok(false)) => return,
                // Whatever the store's trouble is, it may be over before the lease is.
                Ok(Err(_)) => sleep_until((Instant::now() + RETRY).min(until)).await,
                Err(_) => {}
            }
        }
    }
}

/// An attempt to get something: dropped while open, whether by an error, a time-out or because the caller stopped waiting,
/// it gives back what it may have got.
pub(crate) struct Claim<L: Lease> {
    pub(crate) lease: Arc<L>,
    is_open: bool,
}

impl<L: Lease> Claim<L> {
    /// Nothing was sent yet.
    pub(crate) fn new(lease: L) -> Self {
        Self { lease: Arc::new(lease), is_open: false }
    }

    /// From here on there may be something of it in the store. Returns whether there could be before.
    pub(crate) fn open(&mut self) -> bool {
        std::mem::replace(&mut self.is_open, true)
    }

    /// There is nothing of it in the store, or it is held by another.
    pub(crate) fn close(&mut self) {
        self.is_open = false;
    }
}

impl<L: Lease> Drop for Claim<L> {
    fn drop(&mut self) {
        if let (true, Ok(runtime)) = (self.is_open, Handle::try_current()) {
            let lease = self.lease.clone();
            runtime.spawn(async move { give_back(&*lease).await });
        }
    }
}

/// Tries to give back until it has worked, or the lease has ended anyway.
async fn give_back(lease: &dyn Lease) {
    let end = Instant::now() + lease.duration();
    let mut pause = RETRY;
    while Instant::now() < end {
        match timeout_at(end, lease.release()).await {
            Ok(Err(error)) if error.is_transient() => sleep(pause).await,
            _ => return,
        }
        pause = (pause * 2).min(LONGEST_RETRY);
    }
}
