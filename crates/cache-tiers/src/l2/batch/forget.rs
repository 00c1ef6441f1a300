//! Values and fences that are deleted or compared, and the notices of changes.

use std::time::Duration;

use tidegate_redis::{Arg, Error, Value};

use super::shared::is_one;
use crate::key::Key;
use crate::l2::entry::{EntryId, HEAD};
use crate::l2::patience::Patience;
use crate::l2::steps::{Answered, Item, run_many};
use crate::l2::tier::RedisTier;

/// Longer than the client's limit of any command.
pub(in crate::l2) const FOREVER: Duration = Duration::from_secs(24 * 60 * 60);

impl RedisTier {
    /// Deletes values and fences. Returns for each key whether it is done.
    pub(in crate::l2) async fn forget_many(&self, keys: &[&Key], patience: &mut Patience) -> Answered<()> {
        let _changing = self.changing(keys.iter().copied());
        let mut items = Vec::with_capacity(keys.len());
        for key in keys {
            items.push(Item { names: self.pair(key), args: Vec::new(), bytes: 0 });
        }
        let values = values_of(&items);
        let mut forgotten = run_many(&self.client, &self.scripts.forget_many, &[], items, 1, patience).await;
        self.notify(&values, &mut forgotten, patience).await;
        let answers = forgotten.answers.into_iter().map(|answer| answer.map(|_| ())).collect();
        Answered { answers, failures: forgotten.failures }
    }

    /// Deletes values and fences, each step bounded by the client's time-out alone.
    ///
    /// After an error it is not known which keys L2 has processed.
    pub(in crate::l2) async fn forget_all(&self, keys: &[&Key]) -> Result<(), Error> {
        if let [key] = keys {
            return self.forget(key).await;
        }
        self.forget_many(keys, &mut Patience::new(FOREVER)).await.heard()
    }

    /// Notifies the other processes of changes. If that fails, the change counts as not done.
    pub(super) async fn notify<T>(&self, values: &[String], changed: &mut Answered<T>, patience: &mut Patience) {
        let done = values.iter().zip(&changed.answers).filter(|(_, answer)| answer.is_some());
        let names: Vec<&str> = done.map(|(value, _)| value.as_str()).collect();
        if let Err(error) = patience.spend(self.ways.notify_all(&names)).await {
            changed.answers.iter_mut().for_each(|answer| *answer = None);
            changed.failures.push(error);
        }
    }

    /// Gives fences back. Returns for each key whether its fence was still in force.
    pub(in crate::l2) async fn release_many(
        &self,
        fences: &[(Key, String)],
        patience: &mut Patience,
    ) -> Answered<bool> {
        let mut items = Vec::with_capacity(fences.len());
        for (key, fence) in fences {
            items.push(Item { names: vec![self.names.fence(key)], args: vec![fence.into()], bytes: 0 });
        }
        let released = run_many(&self.client, &self.scripts.release_many, &[], items, 1, patience).await;
        let answers = released.answers.into_iter().map(|answer| answer.map(|answer| is_one(&answer))).collect();
        Answered { answers, failures: released.failures }
    }

    /// Whether the keys hold exactly these entries.
    pub(in crate::l2) async fn hold_many(&self, keys: &[(&Key, EntryId)], patience: &mut Patience) -> Answered<bool> {
        let mut items = Vec::with_capacity(keys.len());
        for (key, _) in keys {
            items.push(Item { names: vec![self.names.value(key)], args: Vec::new(), bytes: 0 });
        }
        let common = [Arg::from(HEAD - 1)];
        let heads = run_many(&self.client, &self.scripts.heads, &common, items, 1, patience).await;
        let is_same = |(answer, (_, id)): (Option<Vec<Value>>, &(&Key, EntryId))| {
            let head = answer?.pop()?.into_bytes().ok()?;
            Some(head[..] == id.head())
        };
        Answered { answers: heads.answers.into_iter().zip(keys).map(is_same).collect(), failures: heads.failures }
    }
}

/// Returns the names of the values that these items change.
pub(in crate::l2) fn values_of(items: &[Item]) -> Vec<String> {
    items.iter().filter_map(|item| item.names.first().cloned()).collect()
}
