//! Writes that are to be known: for values that nothing but L2 has, such as sessions.

use std::sync::Arc;

use super::L2;
use super::tier::{Failure, New, RedisTier, millis};
use crate::key::Key;

/// L2 could not be told, or not for certain, or owes invalidations: what was there may be there still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Untold;

impl L2 {
    /// Stores a value, unless the entry that is there ends so; tells whether it did. In place of a debt there is an error.
    pub(crate) async fn put_unless(self: &Arc<Self>, key: &Key, new: New, ending: &[u8]) -> Result<bool, Untold> {
        if self.owes() {
            return Err(Untold);
        }
        let put = self.tier.put_unless(key, new, ending);
        self.patience().spend(put).await.map_err(|error| {
            self.failed("put", &error);
            Untold
        })
    }
}

impl RedisTier {
    async fn put_unless(&self, key: &Key, new: New, ending: &[u8]) -> Result<bool, Failure> {
        let (epoch, ttl) = (self.open_epoch().await?, millis(new.ttl));
        let tags = self.generations(&new.tags, new.ttl).await?;
        let entry = Self::encode(new, &epoch, tags)?;
        let keys = [self.names.value(key), self.names.fence(key)];
        let args = vec![entry.into(), ttl, ending.into()];
        let _changing = self.changing([key]);
        let is_stored = self.client.run(&self.scripts.put_unless, &keys, args).await?.as_int()? == 1;
        if is_stored {
            self.ways.tell(&keys[0]).await?;
        }
        Ok(is_stored)
    }
}
