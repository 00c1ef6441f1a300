//! What a load brought nothing to keep for: what L2 still holds of it goes too, stale or about to be.

use std::collections::HashSet;
use std::sync::Arc;

use tidegate_redis::Value;

use super::debts::Debt;
use super::patience::Patience;
use super::shared::L2;
use super::steps::{Answered, Item, run_many};
use super::ticket::{Fenced, Ticket};
use super::tickets::Tickets;
use super::tier::RedisTier;
use crate::class::Class;
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
        self.forget_loaded(tickets, keys.map(|key| (key, false)), patience).await;
    }

    /// Deletes what L2 holds of a key whose load brought what is kept nowhere, and has all processes told. What was changed
    /// meanwhile stays. What can't be told is owed, as an invalidation, where something is known to have been there: a mere read
    /// owes nothing, else an outage would fill the book with keys that nobody ever kept, until everything is invalidated in their place.
    pub(crate) async fn clear(
        self: &Arc<Self>,
        key: &Key,
        class: &Class,
        ticket: Option<Ticket>,
        was_there: bool,
        patience: &mut Patience,
    ) {
        let was_there = was_there || ticket.as_ref().is_some_and(Ticket::replaces);
        let debts = if was_there { vec![Debt::Key(key.clone())] } else { Vec::new() };
        let owing = self.owing(debts);
        let Some(ticket) = ticket.filter(|_| !self.owes()) else { return };
        if ticket.clear(was_there || is_kept(class), patience).await {
            owing.settled();
        }
    }

    /// As [`clear`](Self::clear), for several keys of a batch, each with whether something was there.
    pub(crate) async fn clear_many(
        self: &Arc<Self>,
        class: &Class,
        tickets: Option<&mut Tickets>,
        keys: &[(Key, bool)],
        patience: &mut Patience,
    ) {
        if keys.is_empty() {
            return;
        }
        let replaces = |key: &Key| tickets.as_ref().is_some_and(|tickets| tickets.replaces(key));
        let owed = keys.iter().filter(|(key, was_there)| *was_there || replaces(key));
        let owing = self.owing(owed.map(|(key, _)| Debt::Key(key.clone())).collect());
        let Some(tickets) = tickets else { return };
        let keys_told: Vec<(&Key, bool)> =
            keys.iter().map(|(key, was_there)| (key, *was_there || tickets.replaces(key) || is_kept(class))).collect();
        let told = self.forget_loaded(tickets, keys_told.into_iter(), patience).await;
        owing.settled_but(&keys.iter().filter(|(key, _)| !told.contains(key)).map(|(key, _)| key.clone()).collect());
    }

    /// With each key comes whether all processes are told, whatever there was. Tells of which keys L2 has heard.
    async fn forget_loaded<'a>(
        self: &Arc<Self>,
        tickets: &mut Tickets,
        keys: impl Iterator<Item = (&'a Key, bool)>,
        patience: &mut Patience,
    ) -> HashSet<Key> {
        let fences: Vec<(Fenced, bool)> =
            keys.filter_map(|(key, always)| Some((tickets.fenced(key)?, always))).collect();
        if fences.is_empty() || self.owes() {
            return HashSet::new();
        }
        let told = self.tier.forget_under(&fences, patience).await;
        told.failures.iter().for_each(|error| self.failed("absent", error));
        let heard =
            fences.into_iter().zip(told.answers).filter_map(|((fenced, _), answer)| answer.map(|()| fenced.key));
        let heard: HashSet<Key> = heard.collect();
        heard.iter().for_each(|key| tickets.ended(key));
        heard
    }
}

/// Whether other processes may hold values of the class of which this one knows nothing. Where it has no lifetime they are not told at
/// each load, or whoever joins one of theirs would have to load again.
fn is_kept(class: &Class) -> bool {
    !class.ttl.ttl().is_zero()
}

impl RedisTier {
    /// Deletes values under these fences. The other processes are told of those that there were, or always where that is said.
    pub(super) async fn forget_under(&self, fences: &[(Fenced, bool)], patience: &mut Patience) -> Answered<()> {
        let item = |(Fenced { key, fence, past }, always): &(Fenced, bool)| Item {
            names: vec![self.names.value(key), self.names.fence(key)],
            args: vec![fence.into(), past.clone().unwrap_or_default().into(), u64::from(*always).into()],
            bytes: 0,
        };
        let items = fences.iter().map(item).collect();
        // A replica may hold on to what goes here.
        let _changing = self.changing(fences.iter().map(|(fenced, _)| &fenced.key));
        let mut done = run_many(&self.client, &self.scripts.absent_many, &[], items, 1, patience).await;
        let is_to_tell = |answer: &Option<Vec<Value>>| {
            answer.as_ref().and_then(|values| values.first()).is_some_and(|value| value.as_int() == Ok(2))
        };
        let changed = fences.iter().zip(&done.answers).filter(|(_, answer)| is_to_tell(answer));
        let names: Vec<String> = changed.map(|((fenced, _), _)| self.names.value(&fenced.key)).collect();
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
