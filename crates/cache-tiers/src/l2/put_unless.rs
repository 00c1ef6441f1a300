//! Writes with a known outcome, for values that only L2 has, such as sessions, and their ends.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;

use super::bound::Bounded;
use super::debts::Debt;
use super::end::End;
use super::new::{Failure, New};
use super::shared::L2;
use super::tier::RedisTier;
use crate::key::Key;

/// L2 was not reached, or not for certain, or owes invalidations: the old value may still be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Untold;

impl L2 {
    /// Stores a value, unless the existing entry ends with `ending`. Returns whether it did. A
    /// failure is an error and not a debt: a write that has not arrived by then never arrives.
    pub async fn put_unless(self: &Arc<Self>, key: &Key, new: New, ending: &[u8]) -> Result<bool, Untold> {
        if self.owes() {
            return Err(Untold);
        }
        let mut patience = self.patience();
        let put = self.tier.put_unless(key, new, ending, patience.left());
        patience.spend(put).await.map_err(|error| {
            self.failed("put", &error);
            Untold
        })
    }

    /// Stores an end, also while invalidations are owed. If L2 cannot be reached now, the end
    /// itself is owed and stored later.
    pub async fn put_end(self: &Arc<Self>, key: &Key, new: New) -> Result<(), Untold> {
        let end = End { key: key.clone(), new: Arc::new(new) };
        let owing = self.owing(vec![Debt::End(end.clone())]);
        let mut patience = self.patience();
        let put = self.tier.put_end(key, New::clone(&end.new), patience.left());
        match patience.spend(put).await {
            Ok(()) => {
                // Another debt may delete it again. If so, it is stored once more after that.
                if !self.owes() {
                    owing.settled();
                }
                Ok(())
            }
            Err(error) => {
                self.failed("put", &error);
                Err(Untold)
            }
        }
    }

    /// Stores the ends among these debts. If Redis refuses one or is full, deletes the value.
    pub(super) async fn put_ends(&self, debts: &[Debt]) -> Result<(), Failure> {
        let ends = debts.iter().filter_map(|debt| if let Debt::End(end) = debt { Some(end) } else { None });
        let put = ends.map(|end| async move {
            match self.tier.put_end(&end.key, New::clone(&end.new), self.tier.patience).await {
                Err(Failure::Redis(error)) if !error.is_transient() || error.code() == Some("OOM") => {
                    self.tier.forget(&end.key).await?;
                    self.failed("put", &error);
                    Ok(())
                }
                put => put,
            }
        });
        try_join_all(put).await?;
        Ok(())
    }
}

impl RedisTier {
    async fn put_end(&self, key: &Key, end: New, left: Duration) -> Result<(), Failure> {
        self.put_by(&self.scripts.put_end, key, end, left).await
    }

    async fn put_unless(&self, key: &Key, new: New, ending: &[u8], left: Duration) -> Result<bool, Failure> {
        let Bounded { keys, entry, ttl, bound } = self.bounded(key, new, left).await?;
        let args = vec![entry, ttl, ending.into(), bound];
        let _changing = self.changing([key]);
        match self.client.run(&self.scripts.put_unless, &keys, args).await?.as_int()? {
            1 => {
                self.ways.notify(&keys[0]).await?;
                Ok(true)
            }
            0 => Ok(false),
            _ => Err(Failure::Late),
        }
    }
}
