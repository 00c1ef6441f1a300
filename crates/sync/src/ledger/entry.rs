//! Postings and their results.

use crate::error::{MAX_QUANTITY, QuantityError, check_quantity};
use crate::fence::Fence;
use crate::ledger::account::{Account, Version};
use crate::ledger::error::LedgerError;
use crate::ledger::store::Posting;

/// An order to move an amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    entry: Entry,
}

impl Transfer {
    /// Moves `amount` from one account to another, once for each `id`.
    pub fn new(id: impl Into<String>, from: impl Into<String>, to: impl Into<String>, amount: u64) -> Self {
        Self { entry: Entry::of(id.into(), Some(from.into()), Some(to.into()), amount) }
    }

    /// Makes the ledger refuse it if it has seen a higher token: another process holds the lock by
    /// now.
    ///
    /// With several partitions, the partition of the account that gives decides.
    #[must_use]
    pub fn fence(self, fence: Fence) -> Self {
        Self { entry: self.entry.fence(fence) }
    }

    /// Makes the ledger refuse it if the giver has another version, see [`Entry::if_version`].
    #[must_use]
    pub fn if_version(self, version: Version) -> Self {
        Self { entry: self.entry.if_version(version) }
    }
}

/// A posting: a deposit, a withdrawal or a transfer, with an id under which it is executed once.
///
/// ```
/// use std::sync::Arc;
/// use tidegate_sync::{Entry, Ledger, LedgerError, MemoryStore};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let points = Ledger::new(Arc::new(MemoryStore::new()), "points");
/// points.deposit("welcome-ada", "ada", 1_000).await?;
///
/// let seen = points.account("ada").await?.expect("it was opened");
/// points.post(Entry::withdrawal("order-1", "ada", 300).if_version(seen.version)).await?;
/// // Ada has another version by now.
/// let late = points.post(Entry::withdrawal("order-2", "ada", 300).if_version(seen.version)).await;
/// assert!(matches!(late, Err(LedgerError::Conflict { current, .. }) if current.balance == 700));
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    id: String,
    from: Option<String>,
    to: Option<String>,
    amount: u64,
    fence: Option<Fence>,
    expected: Option<Version>,
}

impl Entry {
    /// Deposits an amount into an account. Opens the account if it does not exist, even with a zero
    /// amount.
    pub fn deposit(id: impl Into<String>, account: impl Into<String>, amount: u64) -> Self {
        Self::of(id.into(), None, Some(account.into()), amount)
    }

    /// Withdraws an amount from an account.
    pub fn withdrawal(id: impl Into<String>, account: impl Into<String>, amount: u64) -> Self {
        Self::of(id.into(), Some(account.into()), None, amount)
    }

    /// Moves an amount from one account to another.
    pub fn transfer(id: impl Into<String>, from: impl Into<String>, to: impl Into<String>, amount: u64) -> Self {
        Transfer::new(id, from, to, amount).into()
    }

    fn of(id: String, from: Option<String>, to: Option<String>, amount: u64) -> Self {
        Self { id, from, to, amount, fence: None, expected: None }
    }

    /// Makes the ledger refuse it if it has seen a higher token, see [`Transfer::fence`].
    #[must_use]
    pub fn fence(mut self, fence: Fence) -> Self {
        self.fence = Some(fence);
        self
    }

    /// Makes the ledger refuse it with [`LedgerError::Conflict`] if the account has another
    /// version. The account is the one that gives; for a deposit, the one that receives, which must
    /// then exist.
    ///
    /// A repetition with the same id returns the result of the first one, whatever the current
    /// version is.
    #[must_use]
    pub fn if_version(mut self, version: Version) -> Self {
        self.expected = Some(version);
        self
    }

    /// The id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The account whose partition executes the posting first: the one that gives, or for a deposit
    /// the one that receives.
    pub(super) fn account(&self) -> &str {
        self.from.as_deref().or(self.to.as_deref()).unwrap_or_default()
    }

    pub(super) fn from(&self) -> &str {
        self.from.as_deref().unwrap_or_default()
    }

    pub(super) fn to(&self) -> &str {
        self.to.as_deref().unwrap_or_default()
    }

    pub(super) fn amount(&self) -> u64 {
        self.amount
    }

    /// Returns an error if no ledger could execute it.
    pub(super) fn check(&self) -> Result<(), LedgerError> {
        if let (Some(from), Some(to)) = (&self.from, &self.to)
            && from == to
        {
            return Err(LedgerError::SameAccount { account: from.clone() });
        }
        let opens = self.from.is_none() && self.amount <= MAX_QUANTITY;
        if !opens {
            check_quantity(self.amount)?;
        }
        Ok(())
    }

    pub(super) fn too_large(&self) -> LedgerError {
        QuantityError(self.amount).into()
    }

    pub(super) fn posting(&self) -> Posting<'_> {
        Posting {
            id: &self.id,
            from: self.from.as_deref(),
            to: self.to.as_deref(),
            amount: self.amount,
            fence: self.fence,
            expected: self.expected,
        }
    }
}

impl From<Transfer> for Entry {
    fn from(transfer: Transfer) -> Self {
        transfer.entry
    }
}

/// The balances after a posting, as of when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balances {
    /// Balance of the account that gave; zero for a deposit.
    pub from: u64,
    /// Balance of the account that received; zero for a withdrawal.
    pub to: u64,
}

/// Change that [`Ledger::update`](crate::Ledger::update) makes to the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Deposits an amount.
    Deposit(u64),
    /// Withdraws an amount.
    Withdraw(u64),
}

impl Change {
    pub(super) fn of(self, id: &str, account: &str, seen: Account) -> Entry {
        let entry = match self {
            Self::Deposit(amount) => Entry::deposit(id, account, amount),
            Self::Withdraw(amount) => Entry::withdrawal(id, account, amount),
        };
        entry.if_version(seen.version)
    }
}

/// The result of [`Ledger::update`](crate::Ledger::update).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Updated {
    /// Balance after it.
    pub balance: u64,
    /// Number of calls of the caller's decision: 1 without contention, 0 if an earlier call with
    /// the same id had posted.
    pub tries: u32,
    /// Whether an amount was posted under this id, now or by an earlier call.
    pub is_posted: bool,
}

/// The result of [`Ledger::complete_transfers`](crate::Ledger::complete_transfers).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Completed {
    /// Number of transfers that have arrived.
    pub arrived: u64,
    /// Number of transfers whose amount was returned, because the account that receives does not
    /// exist or would exceed 2^53 − 1.
    pub returned: u64,
    /// Number of transfers that are still in transit, because a partition could not be reached.
    pub left: u64,
}
