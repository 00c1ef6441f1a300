//! Many postings in one call.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::transit::Leg;
use super::{Balances, Credited, Entry, Ledger, LedgerError, Posted};
use crate::error::StoreError;

/// Maximum number of postings in one step of a store. Such a script takes about a millisecond.
pub(super) const BATCH: usize = 100;
/// Maximum number of attempts to read the result of a transfer that another process has ended.
const ROUNDS: usize = 3;

type PostResult = Result<Balances, LedgerError>;

impl Ledger {
    /// Posts many entries in few round trips, each with its own result: one may be refused and the
    /// next one posted. The results have the order of the entries.
    ///
    /// Entries whose first account (the one that gives, or for a deposit the one that receives) is
    /// in the same partition are executed in their order, in steps of at most 100, each of which is
    /// one round trip. Partitions are processed concurrently, so there is no order between them.
    /// Transfers between partitions add two rounds for all of them together.
    ///
    /// If a step fails, its entries and the later ones of its partition have
    /// [`LedgerError::Store`]. Some of them may have been posted: call again with the same ids.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use tidegate_sync::{Entry, Ledger, LedgerError, MemoryStore};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let points = Ledger::new(Arc::new(MemoryStore::new()), "points");
    /// let results = points
    ///     .post_all(&[
    ///         Entry::deposit("welcome-ada", "ada", 100),
    ///         Entry::withdrawal("order-1", "ada", 300),
    ///         Entry::withdrawal("order-2", "ada", 30),
    ///     ])
    ///     .await;
    /// assert!(matches!(results[1], Err(LedgerError::Overdrawn { balance: 100, .. })));
    /// assert!(matches!(results[2], Ok(balances) if balances.from == 70));
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
    /// ```
    pub async fn post_all(&self, entries: &[Entry]) -> Vec<Result<Balances, LedgerError>> {
        let checked = self.check_partitions().await;
        let check = |entry: &Entry| match (entry.check(), &checked) {
            (Err(error), _) => Some(Err(error)),
            (Ok(()), Err(error)) => Some(Err(error.clone().into())),
            (Ok(()), Ok(())) => None,
        };
        let mut results: Vec<Option<PostResult>> = entries.iter().map(check).collect();
        for _ in 0..ROUNDS {
            let open: Vec<usize> = (0..entries.len()).filter(|nth| results[*nth].is_none()).collect();
            if open.is_empty() {
                break;
            }
            let legs = self.debit(entries, &open, &mut results).await;
            self.credit(entries, legs, &mut results).await;
        }
        results.into_iter().map(|result| result.unwrap_or_else(|| Err(unsettled().into()))).collect()
    }

    /// Posts the entries at these positions. Returns the debits in transit.
    async fn debit(
        &self,
        entries: &[Entry],
        open: &[usize],
        results: &mut [Option<PostResult>],
    ) -> Vec<(usize, Debit)> {
        let mut groups: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
        for nth in open {
            groups.entry(self.id.partition_of(entries[*nth].account())).or_default().push(*nth);
        }
        let steps = groups.iter().map(|(partition, places)| self.debit_in(*partition, entries, places));
        let mut legs = Vec::new();
        for (nth, answer) in join_all(steps).await.into_iter().flatten() {
            let entry = &entries[nth];
            match answer {
                Ok(Posted::InTransit { from, number, lowest }) => legs.push((nth, Debit { from, number, lowest })),
                Ok(posted) => results[nth] = Some(refused(entry, posted)),
                Err(error) => results[nth] = Some(Err(error.into())),
            }
        }
        legs
    }

    /// Posts the entries of one partition, step by step.
    async fn debit_in(
        &self,
        partition: u16,
        entries: &[Entry],
        places: &[usize],
    ) -> Vec<(usize, Result<Posted, StoreError>)> {
        let mut answers = Vec::with_capacity(places.len());
        let mut failure = None;
        for step in places.chunks(BATCH) {
            let postings: Vec<_> = step.iter().map(|nth| entries[*nth].posting()).collect();
            if failure.is_none() {
                match self.store.post_all(&self.id, partition, &postings).await {
                    Ok(posted) => answers.extend(step.iter().copied().zip(posted.into_iter().map(Ok))),
                    Err(error) => failure = Some(error),
                }
            }
            if let Some(error) = &failure {
                answers.extend(step.iter().map(|nth| (*nth, Err(error.clone()))));
            }
        }
        answers
    }

    /// Completes the debited transfers.
    async fn credit(&self, entries: &[Entry], debits: Vec<(usize, Debit)>, results: &mut [Option<PostResult>]) {
        if debits.is_empty() {
            return;
        }
        let leg = |(nth, debit): &(usize, Debit)| Leg {
            source: self.id.partition_of(entries[*nth].from()),
            target: self.id.partition_of(entries[*nth].to()),
            number: debit.number,
            lowest: debit.lowest,
            to: entries[*nth].to(),
            amount: entries[*nth].amount(),
        };
        let legs: Vec<Leg<'_>> = debits.iter().map(leg).collect();
        for ((nth, debit), (credited, _)) in debits.iter().zip(self.complete(&legs).await) {
            let entry = &entries[*nth];
            results[*nth] = match credited {
                Ok(Credited::Done { to }) => Some(Ok(Balances { from: debit.from, to })),
                Ok(Credited::UnknownTo) => Some(Err(LedgerError::Unknown { account: entry.to().to_owned() })),
                Ok(Credited::TooLarge) => Some(Err(entry.too_large())),
                // Another process has ended it, so its result is known in the first partition.
                Ok(Credited::Before) => None,
                Err(error) => Some(Err(error.maybe_run().into())),
            };
        }
        self.help_others(&legs).await;
    }
}

/// A debit that is in transit.
struct Debit {
    from: u64,
    number: u64,
    lowest: u64,
}

fn refused(entry: &Entry, posted: Posted) -> PostResult {
    Err(match posted {
        Posted::Done { from, to } => return Ok(Balances { from, to }),
        Posted::Reused => LedgerError::Reused { id: entry.id().to_owned() },
        Posted::Fenced { highest } => LedgerError::Fenced { highest },
        Posted::UnknownFrom => LedgerError::Unknown { account: entry.from().to_owned() },
        Posted::UnknownTo => LedgerError::Unknown { account: entry.to().to_owned() },
        Posted::Conflict { current } => LedgerError::Conflict { account: entry.account().to_owned(), current },
        Posted::Overdrawn { balance } => LedgerError::Overdrawn { account: entry.from().to_owned(), balance },
        Posted::TooLarge => entry.too_large(),
        Posted::InTransit { .. } => unsettled().into(),
    })
}

pub(super) fn unsettled() -> StoreError {
    StoreError::new("posting", "the transfer is in transit").transient().maybe_run()
}
