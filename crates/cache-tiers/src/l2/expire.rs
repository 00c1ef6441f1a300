//! Entries whose fresh life is ended by hand: they stay, as stale, for their grace.

use tidegate_redis::{Arg, Error};

use super::batch::{FOREVER, values_of};
use super::entry::FORMAT;
use super::patience::Patience;
use super::steps::{BYTES, Item, run_many};
use super::tier::RedisTier;
use crate::key::Key;

impl RedisTier {
    /// Marks values as stale and deletes fences. The client's time-out bounds each step.
    ///
    /// After an error it is not known which keys L2 has processed.
    pub(super) async fn expire_all(&self, keys: &[&Key]) -> Result<(), Error> {
        if keys.is_empty() {
            return Ok(());
        }
        let _changing = self.changing(keys.iter().copied());
        let names = |key: &Key| vec![self.names.value(key), self.names.fence(key), self.names.expired_mark(key)];
        let item = |key: &&Key| Item { names: names(key), args: Vec::new(), bytes: 0 };
        let items: Vec<Item> = keys.iter().map(item).collect();
        let values = values_of(&items);
        let (common, mut patience) = ([Arg::from(u64::from(FORMAT)), Arg::from(BYTES)], Patience::new(FOREVER));
        run_many(&self.client, &self.scripts.expire_many, &common, items, 1, &mut patience).await.heard()?;
        self.ways.notify_all(&values.iter().map(String::as_str).collect::<Vec<_>>()).await
    }
}
