//! Operations that are executed once, and their results.

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

/// The name of one operation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Operation {
    /// Kind of the operation, such as `payment`.
    pub scope: String,
    /// Key within the scope, usually an idempotency key of the caller.
    pub key: String,
}

/// The result of [`OnceStore::begin`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Begun {
    /// The owner must execute the operation.
    Started {
        /// Number of the attempt, from 1. Greater if earlier attempts failed or died.
        attempt: u64,
    },
    /// Another owner is executing it.
    Busy {
        /// Time until that owner's lease ends, unless it is extended.
        ends_in: Duration,
    },
    /// It has been completed, with this result.
    Done(Bytes),
}

/// A store of operations and their results. Each method is one atomic step and may be repeated by
/// the same owner.
#[async_trait]
pub trait OnceStore: Send + Sync + 'static {
    /// Begins an operation that is neither completed nor running. The record is kept for `keep`
    /// from now.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn begin(
        &self,
        operation: &Operation,
        owner: &str,
        lease: Duration,
        keep: Duration,
    ) -> Result<Begun, StoreError>;

    /// Extends the owner's lease. Returns `false` if another owner has taken the operation over.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn extend(
        &self,
        operation: &Operation,
        owner: &str,
        lease: Duration,
        keep: Duration,
    ) -> Result<bool, StoreError>;

    /// Stores the result for `keep` from now. Returns `false` if another owner has taken the
    /// operation over.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn complete(
        &self,
        operation: &Operation,
        owner: &str,
        result: Bytes,
        keep: Duration,
    ) -> Result<bool, StoreError>;

    /// Frees the operation for the next attempt, if the owner still holds it.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn fail(&self, operation: &Operation, owner: &str) -> Result<(), StoreError>;
}

/// Idempotency records of one scope: the first caller executes the operation, the others get its
/// result.
///
/// ```
/// use std::sync::Arc;
/// use tidegate_sync::{Begin, MemoryStore, Once};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let payments = Once::new(Arc::new(MemoryStore::new()), "payment");
/// let receipt = match payments.begin("order-17").await? {
///     Begin::Started(attempt) => {
///         let receipt = "paid"; // a slow operation that must not be executed twice
///         attempt.complete(receipt).await?;
///         receipt.into()
///     }
///     Begin::InProgress { retry_after } => {
///         return Err(format!("try again in {retry_after:?}").into());
///     }
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
    /// Creates a handle for the operations of `scope`, which can be any text, in `store`. By
    /// default results are kept for 24 h, and an attempt that died is replaced after 10 s.
    pub fn new(store: Arc<dyn OnceStore>, scope: impl Into<String>) -> Self {
        Self { store, scope: scope.into(), lease: LEASE, keep: KEEP }
    }

    /// Sets the time after which an attempt that died is replaced. At least 50 ms; shorter values
    /// are raised to that.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease.max(SHORTEST_LEASE);
        self.keep = self.keep.max(self.lease * 2);
        self
    }

    /// Sets how long a result is kept. A later repetition executes the operation again. At least
    /// two leases.
    #[must_use]
    pub fn keep(mut self, keep: Duration) -> Self {
        self.keep = keep.max(self.lease * 2);
        self
    }

    /// Begins the operation `key`, unless it is completed or running.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails. If the operation was begun nevertheless, it is cancelled
    /// in the background, or free after one lease.
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

/// The result of [`Once::begin`].
#[derive(Debug)]
#[must_use = "an attempt that is dropped holds up the others until its lease ends"]
pub enum Begin {
    /// The caller must execute the operation.
    Started(Attempt),
    /// Another attempt is executing it.
    InProgress {
        /// After this time it is completed, its lease was extended, or it is free because its
        /// holder has died.
        retry_after: Duration,
    },
    /// It has been completed, with this result.
    Done(Bytes),
}

/// A running operation. Its lease is renewed in the background as long as this exists. If it is
/// dropped without [`complete`](Self::complete) or [`fail`](Self::fail), for example by a panic, it
/// is free for others when its lease ends, because its progress is unknown.
pub struct Attempt {
    lease: Arc<OnceLease>,
    hold: Hold,
    number: u64,
}

impl Attempt {
    /// The number of the attempt, from 1. Above 1 an earlier one failed or died, possibly after its
    /// effect.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether certainly no other attempt has begun, as in
    /// [`LockGuard::is_held`](crate::LockGuard::is_held).
    pub fn is_held(&self) -> bool {
        self.hold.is_held()
    }

    /// Waits until another attempt may begin.
    pub async fn lost(&self) {
        self.hold.lost().await;
    }

    /// Stores the result as a whole, so it should be at most a few kilobytes. May be repeated after
    /// an error.
    ///
    /// # Errors
    /// [`OnceError::Superseded`] if another attempt has taken over in the meantime. Its result then
    /// applies.
    pub async fn complete(&self, result: impl Into<Bytes>) -> Result<(), OnceError> {
        let OnceLease { store, operation, owner, keep, .. } = &*self.lease;
        if store.complete(operation, owner, result.into(), *keep).await? { Ok(()) } else { Err(OnceError::Superseded) }
    }

    /// Cancels the attempt: the next caller begins again. May be repeated after an error.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails. The operation is then free when the lease ends.
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

/// Reason why the result of an attempt was not stored.
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

    /// Does nothing, because a dropped attempt may have had an effect.
    async fn release(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// An operation that may have been begun. The caller does not know, so it has had no effect.
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
