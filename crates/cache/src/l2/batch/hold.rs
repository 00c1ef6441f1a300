//! Fences that are given back, and comparison of held entries.

use tidegate_redis::{Arg, Value};

use super::shared::is_one;
use crate::key::Key;
use crate::l2::entry::{EntryId, HEAD};
use crate::l2::patience::Patience;
use crate::l2::steps::{Answered, Item, run_many};
use crate::l2::tier::RedisTier;

impl RedisTier {
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
