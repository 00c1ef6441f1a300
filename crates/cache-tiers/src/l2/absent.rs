//! Deletes from L2 the value of a key for which a load returned nothing: it is, or will be, stale.

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
    /// Deletes what L2 holds of these keys, under the fences of the load that returned nothing for
    /// them. Values that changed meanwhile stay. If L2 is away, its value expires.
    pub async fn forget_absent(
        self: &Arc<Self>,
        tickets: &mut Tickets,
        keys: impl Iterator<Item = &Key>,
        patience: &mut Patience,
    ) {
        self.forget_loaded(tickets, keys.map(|key| (key, false)), patience).await;
    }

    /// Deletes what L2 holds of a key whose load returned a value that is not stored, and notifies
    /// all processes. A value that changed meanwhile stays.
    ///
    /// If the notification fails, it is owed like an invalidation, provided that a value is known
    /// to have existed. A mere read owes nothing. Otherwise an outage would fill the debts with
    /// keys that were never stored, until they are replaced by an invalidation of everything.
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

    /// Like [`clear`](Self::clear), for several keys of a batch, each with whether L2 had a value.
    pub async fn clear_many(
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

    /// Each key comes with whether all processes are notified even if there was no value. Returns
    /// the keys that L2 has processed.
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

/// Whether other processes may hold values of the class that this process does not know of. A class
/// without a lifetime does not notify them at each load. Otherwise every caller that joins one of
/// their loads would have to load again.
fn is_kept(class: &Class) -> bool {
    !class.ttl.ttl().is_zero()
}

impl RedisTier {
    /// Deletes values under these fences. Notifies others of those that existed, or always if set.
    pub(super) async fn forget_under(&self, fences: &[(Fenced, bool)], patience: &mut Patience) -> Answered<()> {
        let item = |(Fenced { key, fence, past }, always): &(Fenced, bool)| Item {
            names: vec![self.names.value(key), self.names.fence(key)],
            args: vec![fence.into(), past.clone().unwrap_or_default().into(), u64::from(*always).into()],
            bytes: 0,
        };
        let items = fences.iter().map(item).collect();
        // A replica may still hold the deleted value.
        let _changing = self.changing(fences.iter().map(|(fenced, _)| &fenced.key));
        let mut done = run_many(&self.client, &self.scripts.absent_many, &[], items, 1, patience).await;
        let is_to_tell = |answer: &Option<Vec<Value>>| {
            answer.as_ref().and_then(|values| values.first()).is_some_and(|value| value.as_int() == Ok(2))
        };
        let changed = fences.iter().zip(&done.answers).filter(|(_, answer)| is_to_tell(answer));
        let names: Vec<String> = changed.map(|((fenced, _), _)| self.names.value(&fenced.key)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        if !names.is_empty()
            && let Err(error) = patience.spend(self.ways.notify_all(&names)).await
        {
            // A key whose notification failed counts as not done.
            done.answers.iter_mut().for_each(|answer| *answer = None);
            done.failures.push(error);
        }
        let answers = done.answers.into_iter().map(|answer| answer.map(drop)).collect();
        Answered { answers, failures: done.failures }
    }
}
