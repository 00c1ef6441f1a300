//! Leases: renewed in the background, and released at the end.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::error::StoreError;

/// Minimum lease: a shorter one would cause mostly renewals.
pub(crate) const SHORTEST_LEASE: Duration = Duration::from_millis(50);
/// Time between two attempts of a failed renewal, and before the second attempt of a release.
const RETRY: Duration = Duration::from_millis(25);

/// Maximum time between two attempts of a release.
const LONGEST_RETRY: Duration = Duration::from_secs(1);

/// A permit or operation that is held under a lease.
#[async_trait]
pub(crate) trait Lease: Send + Sync + 'static {
    /// Duration of the lease after each extension.
    fn duration(&self) -> Duration;
    /// Extends the lease. Returns whether it was still held.
    async fn extend(&self) -> Result<bool, StoreError>;
    /// Releases it.
    async fn release(&self) -> Result<(), StoreError>;
}

/// Whether the lease is renewed while the guard exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    Automatic,
    None,
}

/// Options of a lease: its duration, and whether it is renewed.
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
    /// pause of the holder and any outage of the store that it must survive. At least 50 ms;
    /// shorter values are raised to that.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.duration = lease.max(SHORTEST_LEASE);
        self
    }

    /// Disables renewal: the lease ends after its duration, unless the holder extends it.
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

/// Builder methods for types with a lease. The argument is the path to the [`LeaseOptions`].
macro_rules! lease_builders {
    ($($options:ident).+) => {
        /// Sets the lease and its renewal.
        #[must_use]
        pub fn lease_options(mut self, options: $crate::LeaseOptions) -> Self {
            self.$($options).+ = options;
            self
        }

        /// Sets the lease, see [`LeaseOptions::lease`](crate::LeaseOptions::lease).
        #[must_use]
        pub fn lease(mut self, lease: std::time::Duration) -> Self {
            self.$($options).+ = self.$($options).+.lease(lease);
            self
        }

        /// Disables renewal: the lease ends after its duration, unless the guard extends it.
        #[must_use]
        pub fn without_renewal(mut self) -> Self {
            self.$($options).+ = self.$($options).+.without_renewal();
            self
        }
    };
}
pub(crate) use lease_builders;

/// The time until which the lease is certainly held, on this process's monotonic clock.
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
    /// Holds a lease that was requested at `asked`. The lease began later, when the store processed
    /// the request, so the end that is computed here is before the store's.
    pub(crate) fn start(lease: Arc<dyn Lease>, asked: Instant, renewal: Renewal) -> Self {
        let term = watch::Sender::new(Term { until: asked + validity(lease.duration()), is_lost: false });
        let renewer = (renewal == Renewal::Automatic).then(|| tokio::spawn(renew(lease.clone(), term.clone())));
        Self { lease, term, renewer, runtime: Handle::current(), is_given_back: false }
    }

    pub(crate) fn is_held(&self) -> bool {
        !self.term.borrow().is_over()
    }

    /// Remaining time without a renewal. Zero if the lease was lost.
    pub(crate) fn remaining(&self) -> Duration {
        let term = *self.term.borrow();
        if term.is_lost { Duration::ZERO } else { term.until.saturating_duration_since(Instant::now()) }
    }

    /// Waits until the lease is lost.
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

    /// Extends the lease now. Returns whether it is still held.
    pub(crate) async fn extend(&self) -> Result<bool, StoreError> {
        if !self.is_held() {
            return Ok(false);
        }
        extend(&*self.lease, &self.term).await
    }

    /// Releases the lease once. If that fails, dropping it retries in the background.
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

/// The certain part of a lease, which allows each of two clocks an error of one percent.
fn validity(lease: Duration) -> Duration {
    lease - lease / 50
}

async fn extend(lease: &dyn Lease, term: &watch::Sender<Term>) -> Result<bool, StoreError> {
    let asked = Instant::now();
    let is_extended = lease.extend().await?;
    // A reply after the end is too late: another owner may have the permit.
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
                // Whatever the store's error is, it may be over before the lease ends.
                Ok(Err(_)) => sleep_until((Instant::now() + RETRY).min(until)).await,
                Err(_) => {}
            }
        }
    }
}

/// An attempt to acquire a lease. If it is dropped while open, because of an error, a timeout or a
/// cancelled caller, it releases what it may have acquired.
pub(crate) struct Claim<L: Lease> {
    pub(crate) lease: Arc<L>,
    is_open: bool,
}

impl<L: Lease> Claim<L> {
    /// Creates a claim for which nothing was sent yet.
    pub(crate) fn new(lease: L) -> Self {
        Self { lease: Arc::new(lease), is_open: false }
    }

    /// Marks that the store may contain it from now on. Returns whether that was the case before.
    pub(crate) fn open(&mut self) -> bool {
        std::mem::replace(&mut self.is_open, true)
    }

    /// Marks that the store does not contain it, or that a hold owns it.
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

/// Retries the release until it succeeds or the lease has ended.
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
