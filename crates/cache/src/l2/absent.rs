//! What a load brought nothing to keep for: what L2 still holds of it goes too, stale or about to be.

use std::collections::HashSet;
use std::sync::Arc;

use tidegate_redis::{Arg, Value};

use super::L2;
use super::debts::Debt;
use super::fill_many::Tickets;
use super::patience::Patience;
use super::steps::{Answered, Item, run_many};
use super::ticket::Ticket;
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
        self.forget_loaded(tickets, keys, false, patience).await;
    }

    /// Deletes what L2 holds of a key whose load brought what is kept nowhere, and has all processes told. What was changed
    /// meanwhile stays; what can't be told is owed, as an invalidation.
    pub(crate) async fn clear(self: &Arc<Self>, key: &Key, ticket: Option<Ticket>, patience: &mut Patience) {
        let owing = self.debts.owing(self, vec![Debt::Key(key.clone())]);
        let Some(ticket) = ticket.filter(|_| !self.owes()) else { return };
        if ticket.clear(patience).await {
            owing.settled();
        }
    }

    /// As [`clear`](Self::clear), for several keys of a batch.
    pub(crate) async fn clear_many(
        self: &Arc<Self>,
        tickets: Option<&mut Tickets>,
        keys: &[Key],
        patience: &mut Patience,
    ) {
        if keys.is_empty() {
            return;
        }
        let owing = self.debts.owing(self, keys.iter().cloned().map(Debt::Key).collect());
        let Some(tickets) = tickets else { return };
        let told = self.forget_loaded(tickets, keys.iter(), true, patience).await;
        owing.settled_but(&keys.iter().filter(|key| !told.contains(*key)).cloned().collect());
    }

    /// Tells of which keys L2 has heard.
    async fn forget_loaded(
        self: &Arc<Self>,
        tickets: &mut Tickets,
        keys: impl Iterator<Item = &Key>,
        always_tells: bool,
        patience: &mut Patience,
    ) -> HashSet<Key> {
        let fences: Vec<(Key, String)> = keys.filter_map(|key| Some((key.clone(), tickets.fence(key)?))).collect();
        if fences.is_empty() || self.owes() {
            return HashSet::new();
        }
        let told = self.tier.forget_under(&fences, always_tells, patience).await;
        told.failures.iter().for_each(|error| self.failed("absent", error));
        let heard = fences.into_iter().zip(told.answers).filter_map(|((key, _), answer)| answer.map(|()| key));
        let heard: HashSet<Key> = heard.collect();
        heard.iter().for_each(|key| tickets.ended(key));
        heard
    }
}

impl RedisTier {
    /// Deletes values under these fences. The other processes are told of those that there were, or always.
    pub(super) async fn forget_under(
        &self,
        fences: &[(Key, String)],
        always_tells: bool,
        patience: &mut Patience,
    ) -> Answered<()> {
        let item = |(key, fence): &(Key, String)| Item {
            names: vec![self.names.value(key), self.names.fence(key)],
            args: vec![fence.into()],
            bytes: 0,
        };
        let items = fences.iter().map(item).collect();
        // A replica may hold on to what goes here.
        let _changing = self.changing(fences.iter().map(|(key, _)| key));
        let common = [Arg::from(u64::from(always_tells))];
        let mut done = run_many(&self.client, &self.scripts.absent_many, &common, items, 1, patience).await;
        let is_to_tell = |answer: &Option<Vec<Value>>| {
            answer.as_ref().and_then(|values| values.first()).is_some_and(|value| value.as_int() == Ok(2))
        };
        let changed = fences.iter().zip(&done.answers).filter(|(_, answer)| is_to_tell(answer));
        let names: Vec<String> = changed.map(|((key, _), _)| self.names.value(key)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        if !names.is_empty()
            && let Err(error) = patience.spend(self.ways.tell_all(&names)).await
        {
            // Not told, it counts as not done.
            done.answers.iter_mut().for_each(|answer| *answer = None);
            done.failures.push(error);
        }
        let answers = done.answers.into_iter().map(|answer| answer.map(drop)).collect();
        Answered { answers, failures: done.failures }
    }
}
