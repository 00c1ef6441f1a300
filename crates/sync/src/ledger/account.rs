//! Accounts, their versions, and totals.

use std::fmt;

/// The version of an account, which increases with each posting to it.
///
/// It is the store's clock in microseconds, or one more than the version before. So an account that
/// was lost and opened again has no version that it had before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u64);

impl Version {
    /// Creates a version with the given number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number of the version, below 2^53.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An account at one point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Balance, without what is in transit.
    pub balance: u64,
    /// Version, for [`Entry::if_version`](crate::Entry::if_version).
    pub version: Version,
    /// Amount of all transfers out of this account to other partitions that are not settled. The
    /// last step of a transfer settles it, so the amount may already be in the other account:
    /// [`Totals::in_transit`] leaves it out then.
    pub in_transit: u64,
}

/// Sums over all accounts of a ledger.
///
/// The sum of all balances is `deposited - withdrawn - in_transit`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Sum of all deposits.
    pub deposited: u128,
    /// Sum of all withdrawals.
    pub withdrawn: u128,
    /// Amount of all transfers between partitions that have been debited and not yet credited. A
    /// transfer that runs during the read may count although it has arrived. Always zero with one
    /// partition, and negative only after a failover of a server that lost an acknowledged debit.
    pub in_transit: i128,
}
