//! The store of ledgers.

use std::num::NonZeroU16;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;

use crate::error::StoreError;
use crate::fence::Fence;
use crate::ledger::account::{Account, Version};

/// The name of a ledger, and how it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LedgerId {
    /// Name.
    pub name: String,
    /// How long the ids of postings are stored.
    pub horizon: Duration,
    /// Number of partitions over which the accounts are spread.
    pub partitions: NonZeroU16,
}

impl LedgerId {
    /// The partition of an account: FNV-1a over its name, so that it never changes.
    pub fn partition_of(&self, account: &str) -> u16 {
        let hash = account
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        u16::try_from((hash ^ (hash >> 32)) % u64::from(self.partitions.get())).unwrap_or(0)
    }
}

/// A change of one account or two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posting<'a> {
    /// Id of the posting.
    pub id: &'a str,
    /// Account that gives. `None` for a deposit.
    pub from: Option<&'a str>,
    /// Account that receives. `None` for a withdrawal.
    pub to: Option<&'a str>,
    /// Amount, at most 2^53 − 1.
    pub amount: u64,
    /// Fencing token. The posting is refused below the highest token that the partition has seen.
    pub fence: Option<Fence>,
    /// Version that the account that gives must have; for a deposit, the account that receives.
    pub expected: Option<Version>,
}

impl Posting<'_> {
    /// Accounts and amount, which a repetition must have in common with the first posting.
    pub(crate) fn fingerprint(&self) -> String {
        let part = |account: Option<&str>| account.map_or("-".to_owned(), |name| format!("{}:{name}", name.len()));
        format!("{} {} {}", self.amount, part(self.from), part(self.to))
    }

    /// The partition that executes it: that of the account that gives, or for a deposit that of the
    /// account that receives.
    pub(crate) fn partition(&self, ledger: &LedgerId) -> u16 {
        ledger.partition_of(self.from.or(self.to).unwrap_or_default())
    }

    /// The partition of the account that receives, if it is another one.
    pub(crate) fn target(&self, ledger: &LedgerId) -> Option<u16> {
        let target = ledger.partition_of(self.to.filter(|_| self.from.is_some())?);
        (target != self.partition(ledger)).then_some(target)
    }
}

/// Whether a fingerprint is that of a deposit into this account or a withdrawal from it.
pub(crate) fn is_of_account(fingerprint: &str, account: &str) -> bool {
    let one = |from, to| Posting { id: "", from, to, amount: 0, fence: None, expected: None }.fingerprint();
    let accounts = fingerprint.split_once(' ').map(|(_, accounts)| accounts);
    [one(Some(account), None), one(None, Some(account))].iter().any(|print| print.strip_prefix("0 ") == accounts)
}

/// The result of a [`Posting`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Posted {
    /// Posted, now or before. The balance of a missing side is zero.
    Done {
        /// Balance of the giver after it.
        from: u64,
        /// Balance of the taker after it.
        to: u64,
    },
    /// Debited, now or before, and in transit to another partition. It must be
    /// [credited](LedgerStore::credit) there and then [settled](LedgerStore::settle) here.
    InTransit {
        /// Balance of the giver after it.
        from: u64,
        /// Number of the transfer: greater than all before it in this partition.
        number: u64,
        /// All transfers of this partition below this number have ended.
        lowest: u64,
    },
    /// The id was used for another posting.
    Reused,
    /// The token is below the highest seen.
    Fenced {
        /// The highest token.
        highest: Fence,
    },
    /// The giver's account was never opened.
    UnknownFrom,
    /// The taker's account was never opened, and this is no deposit or expects a version.
    UnknownTo,
    /// The account has another version than expected.
    Conflict {
        /// The current account.
        current: Account,
    },
    /// The giver's balance is too small.
    Overdrawn {
        /// This.
        balance: u64,
    },
    /// The taker's balance would exceed 2^53 − 1.
    TooLarge,
}

/// Second half of a transfer between partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credit<'a> {
    /// Partition of the account that gives.
    pub source: u16,
    /// Number of the transfer there.
    pub number: u64,
    /// All transfers of the source below this number have ended. Zero if that is not known.
    pub lowest: u64,
    /// Account that receives.
    pub to: &'a str,
    /// Amount.
    pub amount: u64,
}

/// The result of a [`Credit`]. It is the same for each repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credited {
    /// Credited, now or before.
    Done {
        /// Balance of the taker after it.
        to: u64,
    },
    /// The transfer has ended long ago.
    Before,
    /// Refused permanently: the account was not open at the first attempt.
    UnknownTo,
    /// Refused permanently: the balance would have exceeded 2^53 − 1 at the first attempt.
    TooLarge,
}

/// The end of a transfer between partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Number of the transfer.
    pub number: u64,
    /// Outcome of its credit.
    pub credited: Credited,
}

/// A transfer that was debited and is not settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InTransit {
    /// Number.
    pub number: u64,
    /// Partition of the account that receives.
    pub target: u16,
    /// Id.
    pub id: String,
    /// Account that gives.
    pub from: String,
    /// Account that receives.
    pub to: String,
    /// Amount.
    pub amount: u64,
}

/// A page of transfers in transit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransitPage {
    /// The transfers, in the order of their numbers.
    pub transfers: Vec<InTransit>,
    /// Number behind which the next page begins. `None` on the last page.
    pub next: Option<u64>,
}

/// Sums of all time over the accounts of one partition.
///
/// The sum of their balances is `deposited + received - withdrawn - sent`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionTotals {
    /// Deposits.
    pub deposited: u128,
    /// Withdrawals.
    pub withdrawn: u128,
    /// Debits of transfers to other partitions.
    pub sent: u128,
    /// Credits of transfers from other partitions, and returned debits.
    pub received: u128,
}

impl PartitionTotals {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            deposited: self.deposited + other.deposited,
            withdrawn: self.withdrawn + other.withdrawn,
            sent: self.sent + other.sent,
            received: self.received + other.received,
        }
    }
}

/// Some accounts, a posting and the sums of a partition, read atomically.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The accounts; `None` for an account that was never opened.
    pub accounts: Vec<Option<Account>>,
    /// Fingerprint and balances of the posting. `None` if none was requested or it is unknown.
    pub posted: Option<(String, u64, u64)>,
    /// Sums.
    pub totals: PartitionTotals,
}

/// A store of ledgers. Each required method is one atomic step of one partition, and may be
/// repeated.
///
/// A partition does not check that it owns the accounts: [`LedgerId::partition_of`] gives the
/// partition of an account. The first step on a ledger sets its number of partitions; any other
/// number is refused with a [`StoreError`] whose source is a
/// [`PartitionError`](crate::PartitionError), by each step of partition 0.
#[async_trait]
pub trait LedgerStore: Send + Sync + 'static {
    /// Executes each posting in turn, once for each id, each with its own result. One of them may
    /// be refused and the next one posted.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn post_all(
        &self,
        ledger: &LedgerId,
        partition: u16,
        postings: &[Posting<'_>],
    ) -> Result<Vec<Posted>, StoreError>;

    /// Credits transfers from other partitions, once for each source and number.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn credit(
        &self,
        ledger: &LedgerId,
        partition: u16,
        credits: &[Credit<'_>],
    ) -> Result<Vec<Credited>, StoreError>;

    /// Ends transfers from this partition: the amount has arrived, or returns. Returns whether this
    /// step has ended each.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn settle(
        &self,
        ledger: &LedgerId,
        partition: u16,
        settlements: &[Settlement],
    ) -> Result<Vec<bool>, StoreError>;

    /// Reads transfers from this partition that are not settled, with numbers above `after`, at
    /// most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn in_transit(
        &self,
        ledger: &LedgerId,
        partition: u16,
        after: u64,
        limit: u32,
    ) -> Result<TransitPage, StoreError>;

    /// Reads accounts, a posting and the sums atomically.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn read(
        &self,
        ledger: &LedgerId,
        partition: u16,
        accounts: &[&str],
        id: Option<&str>,
    ) -> Result<Snapshot, StoreError>;

    /// Executes one posting, in its partition.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn post(&self, ledger: &LedgerId, posting: Posting<'_>) -> Result<Posted, StoreError> {
        let posted = self.post_all(ledger, posting.partition(ledger), &[posting]).await?;
        posted.first().copied().ok_or_else(|| StoreError::new("posting", "the store has not answered"))
    }

    /// Reads balances, atomically within each partition.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn balances(&self, ledger: &LedgerId, accounts: &[&str]) -> Result<Vec<Option<u64>>, StoreError> {
        let mut balances = vec![None; accounts.len()];
        let mut partitions: Vec<u16> = accounts.iter().map(|name| ledger.partition_of(name)).collect();
        let each = partitions.clone();
        partitions.sort_unstable();
        partitions.dedup();
        let reads = partitions.into_iter().map(|partition| {
            let places: Vec<usize> = (0..accounts.len()).filter(|place| each[*place] == partition).collect();
            async move {
                let names: Vec<&str> = places.iter().map(|place| accounts[*place]).collect();
                let snapshot = self.read(ledger, partition, &names, None).await?;
                Ok::<_, StoreError>((places, snapshot.accounts))
            }
        });
        for read in join_all(reads).await {
            let (places, found) = read?;
            for (place, account) in places.into_iter().zip(found) {
                balances[place] = account.map(|account| account.balance);
            }
        }
        Ok(balances)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_postings_have_different_fingerprints() {
        let print = |from, to, amount| Posting { id: "x", from, to, amount, fence: None, expected: None }.fingerprint();
        assert_ne!(print(Some("a"), Some("b 1:c"), 1), print(Some("a 5:b"), Some("c"), 1));
        assert_ne!(print(None, Some("a"), 1), print(Some("a"), None, 1));
        assert_ne!(print(None, Some("a"), 1), print(None, Some("a"), 11));
    }

    #[test]
    fn a_fingerprint_names_the_one_account_that_it_changes() {
        assert!(is_of_account("30 - 3:ada", "ada") && is_of_account("7 3:ada -", "ada"));
        assert!(!is_of_account("30 3:ada 3:bob", "ada") && !is_of_account("30 - 3:ada", "bob"));
    }

    #[test]
    fn the_partition_of_an_account_never_changes() {
        let ledger = |partitions| LedgerId {
            name: "l".to_owned(),
            horizon: Duration::ZERO,
            partitions: NonZeroU16::new(partitions).unwrap(),
        };
        let of = |partitions| ["", "ada", "bob", "eve"].map(|name| ledger(partitions).partition_of(name));
        assert_eq!(of(1), [0; 4]);
        assert_eq!(of(16), [1, 2, 13, 13]);
    }

    #[test]
    fn accounts_spread_evenly_over_partitions() {
        let ledger =
            LedgerId { name: "l".to_owned(), horizon: Duration::ZERO, partitions: NonZeroU16::new(16).unwrap() };
        let mut counts = [0; 16];
        for nth in 0..16_000 {
            counts[usize::from(ledger.partition_of(&format!("user:{nth}")))] += 1;
        }
        assert!(counts.iter().all(|count| (800..1_200).contains(count)), "{counts:?}");
    }
}
