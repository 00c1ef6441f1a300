//! Ledgers: only deposits and withdrawals change the sum of all accounts.

mod account;
mod batch;
mod entry;
mod error;
mod store;
mod transit;
mod update;

use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::OnceCell;
use tokio::time::Instant;

pub use account::{Account, Totals, Version};
pub use entry::{Balances, Change, Completed, Entry, Transfer, Updated};
pub use error::{LedgerError, PartitionError};
pub use store::{
    Credit, Credited, InTransit, LedgerId, LedgerStore, PartitionTotals, Posted, Posting, Settlement, Snapshot,
    TransitPage,
};

use crate::error::StoreError;

const HORIZON: Duration = Duration::from_secs(24 * 3600);
const TRIES: NonZeroU32 = NonZeroU32::new(16).expect("16 is not zero");

/// Balances of accounts, whole numbers from zero to 2^53 − 1.
///
/// A transfer moves both sides or neither, whichever process dies meanwhile. Each posting has an
/// id. If it is repeated with the same id, it is executed once and returns the balances of the
/// first execution, for a horizon of 24 h by default. No balance goes below zero. Amounts are
/// unsigned.
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
/// points.transfer(gift).await?; // if the reply was lost: repeat it
/// assert_eq!(points.balances(&["ada", "bob"]).await?, [Some(70), Some(30)]);
///
/// let refused = points.transfer(Transfer::new("gift-2", "ada", "bob", 71)).await;
/// assert!(matches!(refused, Err(LedgerError::Overdrawn { balance: 70, .. })));
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
///
/// # Partitions
///
/// With one partition, which is the default, all accounts of a ledger are in one slot of a cluster.
/// Each posting is one atomic step and one round trip, and a ledger is as fast as one server.
///
/// [`partitions`](Self::partitions) spreads the accounts over several slots. A transfer between two
/// accounts of one partition is still one step. A transfer between two partitions takes three round
/// trips:
///
/// 1. The debit takes the amount out of the first account and records the transfer there.
/// 2. The credit adds the amount to the second account, once for each transfer.
/// 3. The settlement removes the record.
///
/// Between the first and the second step the amount is *in transit*: [`Account::in_transit`] and
/// [`totals`](Self::totals) show it. If the process dies there, any process completes the transfer:
/// [`complete_transfers`](Self::complete_transfers), or a later transfer from the same partition
/// that finds a record of more than 5 s. If the second account does not exist, or would go over
/// 2^53 − 1, the amount returns to the first one and the transfer is refused.
///
/// A failover that loses an acknowledged step of one server can destroy or create what was in
/// transit. A ledger with one partition loses both sides of such a transfer.
#[derive(Clone)]
pub struct Ledger {
    store: Arc<dyn LedgerStore>,
    id: LedgerId,
    tries: NonZeroU32,
    shared: Arc<Shared>,
}

/// State that the copies of a ledger share.
#[derive(Default)]
struct Shared {
    /// Whether the store has this number of partitions.
    is_checked: OnceCell<()>,
    /// When this process last completed the transfers of others.
    helped: Mutex<Option<Instant>>,
}

impl Ledger {
    /// Creates a handle for the ledger `name`, which can be any text, in `store`.
    pub fn new(store: Arc<dyn LedgerStore>, name: impl Into<String>) -> Self {
        let id = LedgerId { name: name.into(), horizon: HORIZON, partitions: NonZeroU16::MIN };
        Self { store, id, tries: TRIES, shared: Arc::default() }
    }

    /// Sets how long ids are stored.
    #[must_use]
    pub fn horizon(mut self, horizon: Duration) -> Self {
        self.id.horizon = horizon;
        self
    }

    /// Sets the number of partitions over which the accounts are distributed; one by default.
    ///
    /// The first step on a ledger sets the number permanently: any other number is refused with
    /// [`LedgerError::Partitions`]. On a cluster, four partitions for each primary give an even
    /// distribution. More partitions only cost additional round trips of [`totals`](Self::totals)
    /// and [`complete_transfers`](Self::complete_transfers). The first call on a ledger of several
    /// partitions takes one round trip more, so keep the `Ledger` or its clones.
    #[must_use]
    pub fn partitions(mut self, partitions: NonZeroU16) -> Self {
        self.id.partitions = partitions;
        self.shared = Arc::default();
        self
    }

    /// Sets how often [`update`](Self::update) tries, by default 16 times.
    #[must_use]
    pub fn tries(mut self, tries: NonZeroU32) -> Self {
        self.tries = tries;
        self
    }

    /// Transfers. One round trip within a partition, three between two of them.
    ///
    /// # Errors
    /// [`LedgerError`]. Nothing has changed then, except possibly with [`LedgerError::Store`]: call
    /// again with the same id.
    pub async fn transfer(&self, transfer: Transfer) -> Result<Balances, LedgerError> {
        self.post(transfer.into()).await
    }

    /// Deposits an amount into an account. Opens the account if it does not exist, even with a zero
    /// amount. Returns the balance.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn deposit(&self, id: &str, account: &str, amount: u64) -> Result<u64, LedgerError> {
        Ok(self.post(Entry::deposit(id, account, amount)).await?.to)
    }

    /// Withdraws an amount from an account. Returns the balance.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn withdraw(&self, id: &str, account: &str, amount: u64) -> Result<u64, LedgerError> {
        Ok(self.post(Entry::withdrawal(id, account, amount)).await?.from)
    }

    /// Posts one entry, as [`transfer`](Self::transfer) does.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn post(&self, entry: Entry) -> Result<Balances, LedgerError> {
        let mut results = self.post_all(std::slice::from_ref(&entry)).await;
        results.pop().unwrap_or_else(|| Err(batch::unsettled().into()))
    }

    /// Reads balances, `None` for an account that was never opened. Accounts of one partition are
    /// read atomically. One round trip to each partition.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn balances(&self, accounts: &[&str]) -> Result<Vec<Option<u64>>, StoreError> {
        if accounts.is_empty() {
            return Ok(Vec::new());
        }
        self.check_partitions().await?;
        self.store.balances(&self.id, accounts).await
    }

    /// Reads an account with its version. `None` if it was never opened. One round trip.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn account(&self, account: &str) -> Result<Option<Account>, StoreError> {
        self.check_partitions().await?;
        let partition = self.id.partition_of(account);
        let snapshot = self.store.read(&self.id, partition, &[account], None).await?;
        Ok(snapshot.accounts.into_iter().next().flatten())
    }

    /// Reads the sums over all accounts. Does not look at the accounts: one round trip to each
    /// partition, two with several partitions.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn totals(&self) -> Result<Totals, StoreError> {
        self.check_partitions().await?;
        let read = async || {
            let all = (0..self.id.partitions.get()).map(|partition| self.store.read(&self.id, partition, &[], None));
            let all: Result<Vec<_>, _> = join_all(all).await.into_iter().collect();
            let sum = PartitionTotals::default();
            Ok::<_, StoreError>(all?.into_iter().fold(sum, |sum, snapshot| sum.plus(snapshot.totals)))
        };
        // Credits are read before debits, so that each credit that counts has a debit that counts.
        let received = if self.id.partitions == NonZeroU16::MIN { None } else { Some(read().await?.received) };
        let PartitionTotals { deposited, withdrawn, sent, received: same } = read().await?;
        let signed = |sum| i128::try_from(sum).unwrap_or(i128::MAX);
        Ok(Totals { deposited, withdrawn, in_transit: signed(sent) - signed(received.unwrap_or(same)) })
    }

    /// The name of the ledger.
    pub fn name(&self) -> &str {
        &self.id.name
    }

    /// Has the store confirm the number of partitions, once. With one partition each step does so.
    async fn check_partitions(&self) -> Result<(), StoreError> {
        if self.id.partitions == NonZeroU16::MIN {
            return Ok(());
        }
        // A step without a transfer: it changes nothing else, and a full server takes it.
        let check = async || self.store.settle(&self.id, 0, &[]).await.map(drop);
        self.shared.is_checked.get_or_try_init(check).await.copied()
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("id", &self.id).finish_non_exhaustive()
    }
}
