//! Accounts whose sum nothing changes but deposits and withdrawals.

mod store;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use store::{LedgerId, LedgerStore, Posted, Posting};

use crate::error::{MAX_QUANTITY, QuantityError, StoreError, check_quantity};
use crate::fence::Fence;

const HORIZON: Duration = Duration::from_secs(24 * 3600);

/// Balances of accounts, whole numbers from zero to 2^53 − 1.
///
/// A transfer moves both sides or neither: it is one atomic step of the store, whatever dies meanwhile. Each posting carries
/// an id; repeated with the same id it happens once, and answers with the balances of that time, for a horizon of 24 h
/// unless told otherwise. No account goes below zero.
///
/// All accounts of a ledger lie in one hash, in one slot of a cluster: what can be transferred at all can be transferred
/// atomically, and one ledger is as fast as one server.
///
/// ```
/// use std::sync::Arc;
/// use tidegate_sync::{Ledger, LedgerError, MemoryStore, Transfer};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let points = Ledger::new(Arc::new(MemoryStore::new()), "points");
/// points.deposit("welcome-ada", "ada", 100).await?;
/// points.deposit("open-bob", "bob", 0).await?;
///
/// let gift = Transfer::new("gift-1", "ada", "bob", 30);
/// points.transfer(gift.clone()).await?;
/// points.transfer(gift).await?; // nobody knows whether the first one arrived? Say it again.
/// assert_eq!(points.balances(&["ada", "bob"]).await?, [Some(70), Some(30)]);
///
/// let refused = points.transfer(Transfer::new("gift-2", "ada", "bob", 71)).await;
/// assert!(matches!(refused, Err(LedgerError::Overdrawn { balance: 70, .. })));
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Clone)]
pub struct Ledger {
    store: Arc<dyn LedgerStore>,
    id: LedgerId,
}

/// An order to move an amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    id: String,
    from: String,
    to: String,
    amount: u64,
    fence: Option<Fence>,
}

impl Transfer {
    /// Moves `amount` from one account to another, once for each `id`.
    pub fn new(id: impl Into<String>, from: impl Into<String>, to: impl Into<String>, amount: u64) -> Self {
        Self { id: id.into(), from: from.into(), to: to.into(), amount, fence: None }
    }

    /// Has it refused when the ledger has seen a higher token: the lock under which this one is made is another's by now.
    #[must_use]
    pub fn fence(mut self, fence: Fence) -> Self {
        self.fence = Some(fence);
        self
    }
}

/// The balances after a transfer, as of when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balances {
    /// Of who gave.
    pub from: u64,
    /// Of who got.
    pub to: u64,
}

impl Ledger {
    /// The ledger of that name, any text, in `store`.
    pub fn new(store: Arc<dyn LedgerStore>, name: impl Into<String>) -> Self {
        Self { store, id: LedgerId { name: name.into(), horizon: HORIZON } }
    }

    /// Sets how long ids are remembered.
    #[must_use]
    pub fn horizon(mut self, horizon: Duration) -> Self {
        self.id.horizon = horizon;
        self
    }

    /// Transfers.
    ///
    /// # Errors
    /// [`LedgerError`]; nothing has changed then, but with [`LedgerError::Store`] it may have: call again with the same id.
    pub async fn transfer(&self, transfer: Transfer) -> Result<Balances, LedgerError> {
        let Transfer { id, from, to, amount, fence } = &transfer;
        if from == to {
            return Err(LedgerError::SameAccount { account: from.clone() });
        }
        let amount = check_quantity(*amount)?;
        let posting = Posting { id, from: Some(from), to: Some(to), amount, fence: *fence };
        let (from, to) = self.post(posting).await?;
        Ok(Balances { from, to })
    }

    /// Puts an amount into an account, and opens it if need be: zero does only that. Returns its balance.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn deposit(&self, id: &str, account: &str, amount: u64) -> Result<u64, LedgerError> {
        if amount > MAX_QUANTITY {
            return Err(QuantityError(amount).into());
        }
        Ok(self.post(Posting { id, from: None, to: Some(account), amount, fence: None }).await?.1)
    }

    /// Takes an amount out of an account. Returns its balance.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn withdraw(&self, id: &str, account: &str, amount: u64) -> Result<u64, LedgerError> {
        let amount = check_quantity(amount)?;
        Ok(self.post(Posting { id, from: Some(account), to: None, amount, fence: None }).await?.0)
    }

    /// Reads balances, all of one moment; nothing for an account that was never opened.
    ///
    /// # Errors
    /// A failing store.
    pub async fn balances(&self, accounts: &[&str]) -> Result<Vec<Option<u64>>, StoreError> {
        self.store.balances(&self.id, accounts).await
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.id.name
    }

    async fn post(&self, posting: Posting<'_>) -> Result<(u64, u64), LedgerError> {
        let unknown = |account: Option<&str>| LedgerError::Unknown { account: account.unwrap_or_default().to_owned() };
        match self.store.post(&self.id, posting).await? {
            Posted::Done { from, to } => Ok((from, to)),
            Posted::Reused => Err(LedgerError::Reused { id: posting.id.to_owned() }),
            Posted::Fenced { highest } => Err(LedgerError::Fenced { highest }),
            Posted::UnknownFrom => Err(unknown(posting.from)),
            Posted::UnknownTo => Err(unknown(posting.to)),
            Posted::Overdrawn { balance } => {
                Err(LedgerError::Overdrawn { account: posting.from.unwrap_or_default().to_owned(), balance })
            }
            Posted::TooLarge => Err(QuantityError(posting.amount).into()),
        }
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A ledger refused: nothing was moved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The amount makes no sense, or the balance would go over 2^53 − 1.
    #[error(transparent)]
    Quantity(#[from] QuantityError),
    /// Giver and taker are one.
    #[error("`{account}` can't transfer to itself")]
    SameAccount {
        /// The account.
        account: String,
    },
    /// The id was used for another posting.
    #[error("id `{id}` was used for another posting")]
    Reused {
        /// The id.
        id: String,
    },
    /// A later holder of the lock has written already.
    #[error("the fencing token is out of date: {highest} was seen")]
    Fenced {
        /// The highest token that the ledger has seen.
        highest: Fence,
    },
    /// The account was never opened.
    #[error("there is no account `{account}`")]
    Unknown {
        /// The account.
        account: String,
    },
    /// There is not so much in the account.
    #[error("account `{account}` has only {balance}")]
    Overdrawn {
        /// The account.
        account: String,
        /// What it has.
        balance: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
