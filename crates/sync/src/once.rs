//! What is to happen once, and its result.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use crate::error::StoreError;
use crate::hold::{Claim, Hold, Lease, Renewal, SHORTEST_LEASE};
use crate::owner;

const LEASE: Duration = Duration::from_secs(10);
const KEEP: Duration = Duration::from_secs(24 * 3600);

/// Names one operation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Operation {
    /// What kind of operation, such as `payment`.
    pub scope: String,
    /// Which one, mostly an idempotency key that the caller sent.
    pub key: String,
}

/// The answer to [`OnceStore::begin`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Begun {
    /// It is the owner's to do.
    Started {
        /// From 1; greater when earlier attempts failed or died.
        attempt: u64,
    },
    /// Another owner is at it.
    Busy {
        /// When that one's lease ends, unless extended.
        ends_in: Duration,
    },
    /// It has been done.
    Done(Bytes),
}

/// A store of operations and their results. Each method is one atomic step and may be repeated by the same owner.
#[async_trait]
pub trait OnceStore: Send + Sync + 'static {
    /// Begins an operation that is neither done nor under way; the record is kept for `keep` from now.
    ///
    /// # Errors
    /// A failing store.
    async fn begin(
        &self,
        operation: &Operation,
        owner: &str,
        lease: Duration,
        keep: Duration,
    ) -> Result<Begun, StoreError>;

    /// Extends the owner's lease. Returns whether nobody has taken the operation over.
    ///
    /// # Errors
    /// A failing store.
    async fn extend(
        &self,
        operation: &Operation,
        owner: &str,
        lease: Duration,
        keep: Duration,
    ) -> Result<bool, StoreError>;

    /// Stores the result, for `keep` from now. Returns whether nobody has taken the operation over.
    ///
    /// # Errors
    /// A failing store.
    async fn complete(
        &self,
        operation: &Operation,
        owner: &str,
        result: Bytes,
        keep: Duration,
    ) -> Result<bool, StoreError>;

    /// Frees the operation for the next attempt, if it is still the owner's.
    ///
    /// # Errors
    /// A failing store.
    async fn fail(&self, operation: &Operation, owner: &str) -> Result<(), StoreError>;
}

/// Idempotency records of one scope: the first who comes does it, the others get its result.
///
/// ```
/// use std::sync::Arc;
/// use tidegate_sync::{Begin, MemoryStore, Once};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let payments = Once::new(Arc::new(MemoryStore::new()), "payment");
/// let receipt = match payments.begin("order-17").await? {
///     Begin::Started(attempt) => {
///         let receipt = "paid"; // what takes long, and must not happen twice
///         attempt.complete(receipt).await?;
///         receipt.into()
///     }
///     Begin::InProgress { retry_after } => return Err(format!("try again in {retry_after:?}").into()),
///     Begin::Done(receipt) => receipt,
/// };
/// assert_eq!(receipt, "paid");
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Clone)]
pub struct Once {
    store: Arc<dyn OnceStore>,
    scope: String,
    lease: Duration,
    keep: Duration,
}

impl Once {
    /// The operations of that scope, any text, in `store`. Results are kept for 24 h, and one who died is succeeded after
    /// 10 s, unless told otherwise.
    pub fn new(store: Arc<dyn OnceStore>, scope: impl Into<String>) -> Self {
        Self { store, scope: scope.into(), lease: LEASE, keep: KEEP }
    }

    /// Sets after how long one who died is succeeded. At least 50 ms; what is shorter is taken as that.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease.max(SHORTEST_LEASE);
        self.keep = self.keep.max(self.lease * 2);
        self
    }

    /// Sets how long a result is kept: a repeat that comes later does it again. At least two leases.
    #[must_use]
    pub fn keep(mut self, keep: Duration) -> Self {
        self.keep = keep.max(self.lease * 2);
        self
    }

    /// Begins the operation `key`, unless it is done or under way.
    ///
    /// # Errors
    /// A failing store. What was begun all the same is given up in the background, or free after one lease.
    pub async fn begin(&self, key: impl Into<String>) -> Result<Begin, StoreError> {
        let lease = Arc::new(OnceLease {
            store: self.store.clone(),
            operation: Operation { scope: self.scope.clone(), key: key.into() },
            owner: owner::generate(),
            lease: self.lease,
            keep: self.keep,
        });
        let mut claim = Claim::new(Unanswered(lease.clone()));
        let asked = Instant::now();
        claim.open();
        let begun = self.store.begin(&lease.operation, &lease.owner, self.lease, self.keep).await;
        if begun.as_ref().map_or_else(|error| !error.may_have_run(), |_| true) {
            claim.close();
        }
        Ok(match begun? {
            Begun::Started { attempt } => {
                let hold = Hold::start(lease.clone(), asked, Renewal::Automatic);
                Begin::Started(Attempt { lease, hold, number: attempt })
            }
            Begun::Busy { ends_in } => Begin::InProgress { retry_after: ends_in },
            Begun::Done(result) => Begin::Done(result),
        })
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").field("scope", &self.scope).finish_non_exhaustive()
    }
}

/// What there is to do.
#[derive(Debug)]
#[must_use = "an attempt that is dropped holds up the others until its lease ends"]
pub enum Begin {
    /// It is yours to do.
    Started(Attempt),
    /// Somebody is at it.
    InProgress {
        /// After this long it is done, or free again if its holder has died, or being extended.
        retry_after: Duration,
    },
    /// It has been done; this is what came of it.
    Done(Bytes),
}

/// An operation under way. Its lease is renewed in the background while this lives. Dropped without
/// [`complete`](Self::complete) or [`fail`](Self::fail), as by a panic, it is free for others when its lease ends: nobody
/// knows how far it got.
pub struct Attempt {
    lease: Arc<OnceLease>,
    hold: Hold,
    number: u64,
}

impl Attempt {
    /// The number of the attempt, from 1. Above 1 an earlier one failed or died, perhaps after its effect.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether nobody else can have begun it, as [`LockGuard::is_held`](crate::LockGuard::is_held).
    pub fn is_held(&self) -> bool {
        self.hold.is_held()
    }

    /// Waits until somebody else may begin it.
    pub async fn lost(&self) {
        self.hold.lost().await;
    }

    /// Stores the result, which is kept whole: a few kilobytes at most. May be repeated after a failure.
    ///
    /// # Errors
    /// [`OnceError::Superseded`] when another attempt has taken over meanwhile; then that one's result counts.
    pub async fn complete(&self, result: impl Into<Bytes>) -> Result<(), OnceError> {
        let OnceLease { store, operation, owner, keep, .. } = &*self.lease;
        if store.complete(operation, owner, result.into(), *keep).await? { Ok(()) } else { Err(OnceError::Superseded) }
    }

    /// Gives up: the next who comes begins anew. May be repeated after a failure.
    ///
    /// # Errors
    /// A failing store; it is free when the lease ends.
    pub async fn fail(&self) -> Result<(), StoreError> {
        self.lease.store.fail(&self.lease.operation, &self.lease.owner).await
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operation = &self.lease.operation;
        f.debug_struct("Attempt").field("operation", operation).field("number", &self.number).finish_non_exhaustive()
    }
}

/// The result of an attempt was not stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnceError {
    /// Another attempt has taken over, or the record has expired.
    #[error("the operation is another attempt's by now")]
    Superseded,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

struct OnceLease {
    store: Arc<dyn OnceStore>,
    operation: Operation,
    owner: String,
    lease: Duration,
    keep: Duration,
}

#[async_trait]
impl Lease for OnceLease {
    fn duration(&self) -> Duration {
        self.lease
    }

    async fn extend(&self) -> Result<bool, StoreError> {
        self.store.extend(&self.operation, &self.owner, self.lease, self.keep).await
    }

    /// Nothing: that an attempt was dropped doesn't say that it had no effect.
    async fn release(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// An operation that was begun, or not: nobody has been told, so nothing of it has been done.
struct Unanswered(Arc<OnceLease>);

#[async_trait]
impl Lease for Unanswered {
    fn duration(&self) -> Duration {
        self.0.lease
    }

    async fn extend(&self) -> Result<bool, StoreError> {
        self.0.extend().await
    }

    async fn release(&self) -> Result<(), StoreError> {
        self.0.store.fail(&self.0.operation, &self.0.owner).await
    }
}
