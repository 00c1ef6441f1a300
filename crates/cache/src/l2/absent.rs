//! What a batch's loader had nothing for: what L2 still holds of it goes too, stale or about to be.

use std::sync::Arc;

use tidegate_redis::Value;

use super::L2;
use super::fill_many::Tickets;
use super::patience::Patience;
use super::steps::{Answered, Item, run_many};
use super::tier::RedisTier;
use crate::key::Key;

impl L2 {
    /// Deletes what L2 holds of these keys, under the fences of the load that brought nothing for them. What was changed
    /// meanwhile stays; where L2 can't be told, what it holds lasts until its time is over.
    pub(crate) async fn forget_absent(
        self: &Arc<Self>,
        tickets: &mut Tickets,
        keys: impl Iterator<Item = &Key>,
        patience: &mut Patience,
    ) {
        let fences: Vec<(Key, String)> = keys.filter_map(|key| Some((key.clone(), tickets.fence(key)?))).collect();
        if fences.is_empty() || self.owes() {
            return;
        }
        let told = self.tier.forget_under(&fences, patience).await;
        told.failures.iter().for_each(|error| self.failed("absent", error));
        for ((key, _), answer) in fences.iter().zip(told.answers) {
            if answer.is_some() {
                tickets.ended(key);
            }
        }
    }
}

impl RedisTier {
    async fn forget_under(&self, fences: &[(Key, String)], patience: &mut Patience) -> Answered<()> {
        let item = |(key, fence): &(Key, String)| Item {
            names: vec![self.names.value(key), self.names.fence(key)],
            args: vec![fence.into()],
            bytes: 0,
        };
        let items = fences.iter().map(item).collect();
        // A replica may hold on to what goes here.
        let _changing = self.changing(fences.iter().map(|(key, _)| key));
        let mut done = run_many(&self.client, &self.scripts.absent_many, &[], items, 1, patience).await;
        let is_deleted = |answer: &Option<Vec<Value>>| {
            answer.as_ref().and_then(|values| values.first()).is_some_and(|value| value.as_int() == Ok(2))
        };
        let deleted = fences.iter().zip(&done.answers).filter(|(_, answer)| is_deleted(answer));
        let names: Vec<String> = deleted.map(|((key, _), _)| self.names.value(key)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        if !names.is_empty()
            && let Err(error) = patience.spend(self.ways.tell_all(&names)).await
        {
            done.failures.push(error);
        }
        let answers = done.answers.into_iter().map(|answer| answer.map(drop)).collect();
        Answered { answers, failures: done.failures }
    }
}
