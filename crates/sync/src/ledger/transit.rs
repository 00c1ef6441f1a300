//! Completion of transfers between partitions.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::batch::BATCH;
use super::{Completed, Credit, Credited, InTransit, Ledger, Settlement};
use crate::error::StoreError;

/// A transfer that is in transit for longer counts as one whose process has died.
const ABANDONED: Duration = Duration::from_secs(5);
/// Minimum time between two attempts of a process to complete the transfers of others.
const HELP: Duration = Duration::from_secs(1);
/// Number of transfers that it then completes.
const HELPED: u32 = 20;

/// The second half of a transfer.
pub(super) struct Leg<'a> {
    pub(super) source: u16,
    pub(super) target: u16,
    pub(super) number: u64,
    pub(super) lowest: u64,
    pub(super) to: &'a str,
    pub(super) amount: u64,
}

type CreditResult = Result<Credited, StoreError>;

impl Ledger {
    /// Completes transfers between partitions that dead processes have left in transit, at most
    /// `limit`. Also completes those of living processes, which does no harm. A ledger with one
    /// partition has none.
    ///
    /// Run it periodically in one process, for example each minute. A later transfer from the same
    /// partition does the same for a few transfers that are older than 5 s, so none remain if there
    /// is traffic.
    ///
    /// # Errors
    /// [`StoreError`] if a partition cannot be read. A transfer whose other partition fails is
    /// counted in [`Completed::left`].
    pub async fn complete_transfers(&self, limit: u32) -> Result<Completed, StoreError> {
        self.check_partitions().await?;
        let mut completed = Completed::default();
        let mut rest = limit;
        for partition in 0..self.id.partitions.get() {
            let (done, failure) = self.complete_from(partition, rest).await;
            rest = rest.saturating_sub(u32::try_from(done.arrived + done.returned + done.left).unwrap_or(rest));
            completed.arrived += done.arrived;
            completed.returned += done.returned;
            completed.left += done.left;
            if let Some(error) = failure {
                return Err(error);
            }
        }
        Ok(completed)
    }

    async fn complete_from(&self, source: u16, limit: u32) -> (Completed, Option<StoreError>) {
        let mut completed = Completed::default();
        let (mut after, mut rest) = (0, limit);
        while rest > 0 {
            let page = match self.store.in_transit(&self.id, source, after, rest.min(100)).await {
                Ok(page) => page,
                Err(error) => return (completed, Some(error)),
            };
            rest = rest.saturating_sub(u32::try_from(page.transfers.len()).unwrap_or(rest));
            let leg = |transfer| leg_of(source, transfer);
            let legs: Vec<Leg<'_>> = page.transfers.iter().map(leg).collect();
            for (credited, is_ended) in self.complete(&legs).await {
                match credited {
                    // Another process was faster.
                    Ok(_) if !is_ended => {}
                    Ok(Credited::Done { .. } | Credited::Before) => completed.arrived += 1,
                    Ok(Credited::UnknownTo | Credited::TooLarge) => completed.returned += 1,
                    Err(_) => completed.left += 1,
                }
            }
            match page.next {
                Some(next) => after = next,
                None => break,
            }
        }
        (completed, None)
    }

    /// Credits and settles. Returns the result of each credit, and whether this call has settled
    /// it.
    pub(super) async fn complete(&self, legs: &[Leg<'_>]) -> Vec<(CreditResult, bool)> {
        let mut results: Vec<(CreditResult, bool)> =
            legs.iter().map(|_| (Err(StoreError::new("crediting", "the store has not answered")), false)).collect();
        let targets = steps(legs, |leg| leg.target).into_iter().map(|(target, places)| async move {
            let credit = |nth: &usize| {
                let Leg { source, number, lowest, to, amount, .. } = legs[*nth];
                Credit { source, number, lowest, to, amount }
            };
            let credits: Vec<Credit<'_>> = places.iter().map(credit).collect();
            let answer = self.store.credit(&self.id, target, &credits).await;
            (places, answer)
        });
        for (places, answer) in join_all(targets).await {
            for (at, nth) in places.into_iter().enumerate() {
                match &answer {
                    Ok(credited) if at < credited.len() => results[nth].0 = Ok(credited[at]),
                    Ok(_) => {}
                    Err(error) => results[nth].0 = Err(error.clone()),
                }
            }
        }
        let credited = &results;
        let sources = steps(legs, |leg| leg.source).into_iter().map(|(source, mut places)| async move {
            places.retain(|nth| credited[*nth].0.is_ok());
            let settlement = |nth: &usize| {
                let credited = *credited[*nth].0.as_ref().ok()?;
                Some(Settlement { number: legs[*nth].number, credited })
            };
            let settlements: Vec<Settlement> = places.iter().filter_map(settlement).collect();
            if settlements.is_empty() {
                return (places, Vec::new());
            }
            // If it fails, a later step settles: the credit is stored until then.
            let ended = self.store.settle(&self.id, source, &settlements).await.unwrap_or_default();
            (places, ended)
        });
        for (places, ended) in join_all(sources).await {
            for (nth, is_ended) in places.into_iter().zip(ended) {
                results[nth].1 = is_ended;
            }
        }
        results
    }

    /// Completes transfers that a dead process has left in the partitions of these transfers. The
    /// lowest number shows its age, because numbers are times in microseconds.
    pub(super) async fn help_others(&self, legs: &[Leg<'_>]) {
        let is_old =
            |leg: &&Leg<'_>| leg.lowest > 0 && Duration::from_micros(leg.number.saturating_sub(leg.lowest)) > ABANDONED;
        let mut sources: Vec<u16> = legs.iter().filter(is_old).map(|leg| leg.source).collect();
        sources.sort_unstable();
        sources.dedup();
        if sources.is_empty() {
            return;
        }
        let now = Instant::now();
        {
            let mut helped = self.shared.helped.lock().unwrap_or_else(PoisonError::into_inner);
            if helped.is_some_and(|helped| now < helped + HELP) {
                return;
            }
            *helped = Some(now);
        }
        for source in sources {
            // Failures are retried by the next transfer.
            self.complete_from(source, HELPED).await;
        }
    }
}

fn leg_of(source: u16, transfer: &InTransit) -> Leg<'_> {
    let InTransit { number, target, ref to, amount, .. } = *transfer;
    Leg { source, target, number, lowest: 0, to, amount }
}

/// The positions of the legs by partition, in steps of bounded size.
fn steps(legs: &[Leg<'_>], partition: impl Fn(&Leg<'_>) -> u16) -> Vec<(u16, Vec<usize>)> {
    let mut groups: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
    for (nth, leg) in legs.iter().enumerate() {
        groups.entry(partition(leg)).or_default().push(nth);
    }
    let chunks = |(partition, places): (u16, Vec<usize>)| {
        places.chunks(BATCH).map(|step| (partition, step.to_vec())).collect::<Vec<_>>()
    };
    groups.into_iter().flat_map(chunks).collect()
}
