//! Reasons why a ledger refuses a posting.

use std::error::Error;

use crate::error::{QuantityError, StoreError};
use crate::fence::Fence;
use crate::ledger::account::Account;

/// Reason why a ledger refused a posting. Nothing was moved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The amount is invalid, or the balance would exceed 2^53 − 1.
    #[error(transparent)]
    Quantity(#[from] QuantityError),
    /// The account that gives is the account that receives.
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
    /// The account has another version than the posting expects.
    #[error("account `{account}` has changed: it has version {}", current.version)]
    Conflict {
        /// The account.
        account: String,
        /// The current account.
        current: Account,
    },
    /// The account has changed during each attempt of [`Ledger::update`](crate::Ledger::update).
    #[error("account `{account}` has changed during each of {tries} tries")]
    Contended {
        /// The account.
        account: String,
        /// Number of attempts.
        tries: u32,
    },
    /// The balance of the account is too small.
    #[error("account `{account}` has only {balance}")]
    Overdrawn {
        /// The account.
        account: String,
        /// Its balance.
        balance: u64,
    },
    /// The ledger was created with another number of partitions, which cannot be changed.
    #[error(transparent)]
    Partitions(PartitionError),
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for LedgerError {
    fn from(error: StoreError) -> Self {
        match error.source().and_then(|source| source.downcast_ref::<PartitionError>()) {
            Some(partitions) => Self::Partitions(*partitions),
            None => Self::Store(error),
        }
    }
}

/// A ledger was created with another number of partitions. A store returns it as the source of a
/// [`StoreError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ledger has {stored} partitions, not {wanted}")]
pub struct PartitionError {
    /// Number of partitions with which it was created.
    pub stored: u16,
    /// Number of partitions that the caller has set.
    pub wanted: u16,
}
