//! Optimistic updates of one account.

use std::time::Duration;

use super::store::is_of_account;
use super::{Account, Change, Ledger, LedgerError, Snapshot, Updated};

/// Maximum pause before the third attempt. It doubles with each later one.
const PAUSE: Duration = Duration::from_millis(1);
/// Maximum pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(64);

impl Ledger {
    /// Reads an account, calls `decide`, and posts its result under `id` if the account has not
    /// changed meanwhile. If it has, `decide` is called again with the current account. `None`
    /// leaves the account unchanged.
    ///
    /// Tries [16 times](Self::tries) by default. The second attempt is made immediately. A random
    /// pause precedes each later one and grows to 64 ms. Without contention it costs two round
    /// trips, and each further attempt one or two.
    ///
    /// If an earlier call with this id has posted, nothing is read or decided again: the balance is
    /// that of the earlier call. A call whose reply was lost may therefore be repeated, even if
    /// `decide` would now return something else.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use tidegate_sync::{Account, Change, Ledger, MemoryStore};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let points = Ledger::new(Arc::new(MemoryStore::new()), "points");
    /// points.deposit("welcome-ada", "ada", 1_000).await?;
    /// // At most 300 points, and never more than half of what is there.
    /// let spend = |ada: Account| Some(Change::Withdraw(300.min(ada.balance / 2)));
    /// let half = points.update("order-1", "ada", spend).await?;
    /// assert_eq!((half.balance, half.tries), (700, 1));
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`LedgerError::Contended`] after the last attempt, [`LedgerError::Unknown`],
    /// [`LedgerError::Reused`] if the id was used for a posting of another kind, and the errors of
    /// [`post`](Self::post).
    pub async fn update(
        &self,
        id: &str,
        account: &str,
        mut decide: impl FnMut(Account) -> Option<Change>,
    ) -> Result<Updated, LedgerError> {
        let mut known = None;
        for tries in 1..=self.tries.get() {
            let current = match known.take() {
                Some(current) => current,
                None => match self.read_for_update(id, account).await? {
                    Read::Posted { balance } => return Ok(Updated { balance, tries: tries - 1, is_posted: true }),
                    Read::Account(current) => current,
                },
            };
            let Some(change) = decide(current) else {
                return Ok(Updated { balance: current.balance, tries, is_posted: false });
            };
            match self.post(change.of(id, account, current)).await {
                Ok(balances) => {
                    return Ok(Updated { balance: balances.from + balances.to, tries, is_posted: true });
                }
                Err(LedgerError::Conflict { current, .. }) if tries == 1 => known = Some(current),
                Err(LedgerError::Conflict { .. }) => {
                    if tries < self.tries.get() {
                        tokio::time::sleep(pause(tries)).await;
                    }
                }
                Err(other) => return Err(other),
            }
        }
        Err(LedgerError::Contended { account: account.to_owned(), tries: self.tries.get() })
    }

    async fn read_for_update(&self, id: &str, account: &str) -> Result<Read, LedgerError> {
        self.check_partitions().await?;
        let partition = self.id.partition_of(account);
        let Snapshot { accounts, posted, .. } = self.store.read(&self.id, partition, &[account], Some(id)).await?;
        match (posted, accounts.into_iter().next().flatten()) {
            (Some((print, from, to)), _) if is_of_account(&print, account) => Ok(Read::Posted { balance: from + to }),
            (Some(_), _) => Err(LedgerError::Reused { id: id.to_owned() }),
            (None, Some(current)) => Ok(Read::Account(current)),
            (None, None) => Err(LedgerError::Unknown { account: account.to_owned() }),
        }
    }
}

enum Read {
    /// An earlier call has posted.
    Posted {
        balance: u64,
    },
    Account(Account),
}

/// Between half of the pause and all of it, so that competing callers do not collide again.
fn pause(tries: u32) -> Duration {
    let longest = PAUSE.saturating_mul(1 << tries.saturating_sub(2).min(16)).min(LONGEST_PAUSE);
    longest.mul_f64(rand::random_range(0.5..1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_bounded() {
        for (tries, most) in [(2, 1), (3, 2), (5, 8), (8, 64), (40, 64), (u32::MAX, 64)] {
            let pause = pause(tries);
            let most = Duration::from_millis(most);
            assert!(pause >= most / 2 && pause < most, "{pause:?} after try {tries}");
        }
    }
}
